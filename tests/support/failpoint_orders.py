"""Orders at the steps at which a fault test can break a process of the test cluster off."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

import cluster_site as site
import servers
from joblauncher.shared import failpoint
from joblauncher.shared.jobdir import JobDir

#: Of a launcher: its orders stand in its job's folder.
IN_JOB = "failpoints"


#: Step -> what has just happened there. Fault tests break a process off at every one of them.
STEPS = {
    # the web server accepts a job
    "accept.1": "its folder is made",
    "accept.2": "its dump is written",
    "accept.3": "its document is written",
    "accept.4": "its report is written, its row is not",
    "accept.5": "its row is written, the client has no answer",
    # the dispatcher fetches its inputs
    "stage.1": "an input has arrived",
    "stage.2": "all inputs have arrived, the row does not say so",
    # the dispatcher submits it
    "submit.1": "its row says submitting",
    "submit.2": "its script is written",
    "submit.3": "the batch system is about to be called",
    "submit.4": "the batch system took it, the row does not know the id",
    "submit.5": "its row knows the id",
    "resolve.1": "it was found in the queue, the row does not know the id",
    # the dispatcher follows it
    "follow.1": "the batch system has answered",
    "follow.2": "its row says where it stands",
    "order.1": "the batch system is about to be told to end it",
    "order.2": "the batch system was told to end it",
    # the dispatcher ends it
    "end.1": "its end is decided",
    "end.2": "its document says so, its report does not",
    "end.3": "document and report say so, its row does not",
    "end.4": "its working folder is gone, its row is open",
    "end.5": "its row is closed",
    # the launcher runs it
    "launch.1": "its lease is taken",
    "launch.2": "its dump is verified",
    "publish.1": "the process's outputs are known, no document has them",
    "publish.2": "the document of success is written, the report is not",
    "conclude.1": "the process has ended",
    "conclude.2": "the document of failure is written, the report is not",
    "conclude.3": "the last report is written",
}


class Orders:
    """What is to happen at which step.

    Args:
        folder: where the orders stand; made here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, site.user())

    @property
    def environment(self) -> dict[str, str]:
        """For the process that is to obey."""
        return {failpoint.VARIABLE: str(self.folder)}

    def give(self, step: str, what: str = "kill") -> None:
        """Order something for whoever comes to this step first."""
        assert step in STEPS
        order = self.folder / f".{step}"
        order.write_text(what, encoding="ascii")
        shutil.chown(order, site.user())
        os.replace(order, self.folder / step)

    def await_done(self, step: str, limit: float = 120.0) -> None:
        """Wait until somebody came there."""
        servers.wait_for(
            lambda: not (self.folder / step).exists(), f"somebody comes to {step}", limit
        )


def of_job(job: JobDir) -> Orders:
    """Orders for the launcher of one job, whose service has :data:`JOB_SECTION`."""
    return Orders(job.path / IN_JOB)


#: ``[hpc.container]`` of a service whose launchers obey.
JOB_SECTION: Mapping[str, object] = {"environment": f"{failpoint.VARIABLE}={IN_JOB}"}


def suspend(server: servers.HpcServer, process: psutil.Process) -> None:
    """Stop a dispatcher (SIGSTOP), but not while it has the job table locked: with SQLite nobody
    else could write before it goes on."""
    path = server.settings.database_url.removeprefix("sqlite:///").partition("?")[0]

    def stop() -> bool:
        process.suspend()
        servers.wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "it stands still")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as table:
            try:
                table.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                resume(process)
                return False
            table.execute("ROLLBACK")
            return True

    servers.wait_for(stop, "it stands still without a lock")


def resume(process: psutil.Process) -> None:
    """Let a process go on that was stopped."""
    process.resume()
    parent = process.parent()
    if parent is not None and parent.name() == "runuser":  # which stops along with its child
        parent.resume()


@contextlib.contextmanager
def held(server: servers.HpcServer) -> Iterator[None]:
    """The server's dispatcher stands still meanwhile."""
    dispatcher = server.part("dispatcher")
    suspend(server, dispatcher)
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            resume(dispatcher)


class Dispatcher:
    """A dispatcher beside a server, and beside the server's own if it has one. As a context, it
    ends with it.

    Args:
        server: whose jobs it is for.
        name: of its orders' folder.
        environment: for it alone.
    """

    def __init__(
        self, server: servers.HpcServer, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._server = server
        self.orders = Orders(server.folder.parent / name)
        self.log = server.folder.parent / f"{name}.log"
        own = self.orders.environment | dict(environment or {})
        command = server.program("dispatcher")
        self._started = server.spawn(command, log=self.log, environment=own)
        self.process = servers.wait_for(self._find, f"dispatcher {name} runs")

    def _find(self) -> psutil.Process | None:
        found = servers.processes_marked(failpoint.VARIABLE, str(self.orders.folder))
        return next((one for one in found if one.name() != "runuser"), None)

    def says(self, words: str) -> int:
        """How often its log has these words."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(words)

    def tail(self, lines: int = 30) -> str:
        """What its log ends with, under its name."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join([f"{self.log.name}:", *text.splitlines()[-lines:]])

    def is_stopped(self) -> bool:
        """Whether SIGSTOP has reached it."""
        return bool(self.process.status() == psutil.STATUS_STOPPED)

    def suspend(self) -> None:
        """Stop it, see :func:`suspend`."""
        suspend(self._server, self.process)

    def resume(self) -> None:
        """Let it go on."""
        resume(self.process)

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End it, whatever it is doing."""
        for process in servers.processes_marked(failpoint.VARIABLE, str(self.orders.folder)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._started.wait(120)
