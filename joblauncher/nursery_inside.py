"""The half of a nursery in a container: ``python -I -m joblauncher.nursery_inside FOLDER ROOM``.

It has imported what jobs need, and sees none of their folders: at the spool's place is a folder of
its own. Standard input is the socket on which the half outside asks for launchers
(:mod:`joblauncher.nursery_outside`); each is a fork that shuts itself in
(:mod:`joblauncher.enclosure`) before it says that it is ready, and reads nothing of the job until
it is told to go.

The container lives as long as the process that was started in it. So that one only waits: for the
nursery, and for the first process of each job's namespaces.

::

    FOLDER/nursery.json   see :class:`Inside`
    FOLDER/learned.json   FOLDER/home    see :mod:`joblauncher.imports`
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from joblauncher import enclosure, processor_time, warm
from joblauncher.command_line import retitle
from joblauncher.descriptors import write_to
from joblauncher.halves import END, GO, KEEP, READY, SPENT
from joblauncher.imports import Imports, start_anew
from joblauncher.shared import prctl
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.warm_home import HOME

LOGGER = logging.getLogger(__name__)

_MOST = 180_000
_STANDARD_INPUT = 0
#: Seconds after which it ends if the half outside does not say that it lives.
_ALONE = 60.0


class Inside:
    """``nursery.json`` has ``paths``, folders with modules of the service; ``network``, whether
    jobs use the container's; ``writable``, where the administrator has it bind folders to write to;
    ``changeable``, folders of modules that are not the image's, or ``None`` if that is a folder.

    Args:
        folder: its own, at the place of the spool.
    """

    def __init__(self, folder: Path) -> None:
        self._environment = dict(os.environ)
        self._own = {
            name: value for name, value in os.environ.items() if name not in ("HOME", "TMPDIR")
        }
        os.environ |= {"HOME": HOME, "TMPDIR": HOME}
        self._folder = folder
        self._facts: dict[str, Any] = json.loads((folder / "nursery.json").read_text())
        paths, changeable = self._facts["paths"], self._facts["changeable"]
        self._imports = Imports(folder, paths, self._start_anew, changeable)
        self._account = processor_time.Account()

    def run(self) -> None:
        """Fork launchers as long as the half outside lives."""
        self._imports.prepare()
        listener = socket.socket(fileno=os.dup(_STANDARD_INPUT))
        outside: socket.socket | None = None
        while True:
            sources = [listener, self._imports.reports, *([outside] if outside else [])]
            ready, _, _ = select.select(sources, [], [], None if outside else _ALONE)
            if outside in ready or not ready:
                return
            if self._imports.reports in ready:
                self._imports.learn()
            if listener not in ready:
                continue
            with contextlib.suppress(OSError, ValueError):
                connection, _ = listener.accept()
                connection.settimeout(1.0)
                text, descriptors, _, _ = socket.recv_fds(connection, _MOST, 2)
                if text == KEEP:
                    outside = self._try(connection, *descriptors)
                elif text:
                    self._start(connection, json.loads(text), *descriptors)
                    connection.close()
                for number in descriptors:
                    os.close(number)

    def _try(self, connection: socket.socket, mount: int) -> socket.socket:
        """Say whether jobs can be shut in here."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            with _reporting_to(writer):
                enclosure.leave(network=self._facts["network"])
                if first := os.fork():
                    os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
                enclosure.enclose(JobDir(self._folder / "trial"), mount, self._facts["writable"])
                os._exit(0)
            os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            reason = pipe.read()
        if os.waitpid(pid, 0)[1]:
            connection.send(reason or b"a job cannot be shut in")
            sys.exit(1)
        connection.send(READY)
        self._imports.announce()
        self._account.settle()  # the start is no job's
        return connection

    def _start(
        self, connection: socket.socket, request: dict[str, Any], mount: int, log: int
    ) -> None:
        """Fork a job's launcher."""
        if reason := self._imports.is_stale():
            connection.close()
            self._start_anew(reason)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        spent, network = self._account.settle(), self._facts["network"]
        account = os.geteuid(), os.getegid()
        try:
            pid, is_first = enclosure.fork(network=network), True
        except OSError:
            pid, is_first = os.fork(), False
        if pid == 0:
            with _reporting_to(connection.fileno()):
                os.setsid()
                write_to(log, connection.fileno(), mount, *self._imports.descriptors())
                if is_first:
                    enclosure.arrive(*account, network=network)
                else:
                    enclosure.leave(network=network)
                    if os.fork():
                        os._exit(0)  # the next above the job is the waiting process
                self._stand_above(connection, request, mount, spent)
        if not is_first:
            os.waitpid(pid, 0)

    def _stand_above(
        self, connection: socket.socket, request: dict[str, Any], mount: int, spent: float
    ) -> NoReturn:
        """As the first process of a job's namespaces: start its launcher, tell of its end.

        Not as the launcher itself: the first one is spared by signals of those below
        (pid_namespaces(7)). Whatever is left ends with it.

        Args:
            spent: processor seconds that count to the job beside those of its processes.
        """
        with _reporting_to(connection.fileno()):
            order = self._order(request["order"])
            enclosure.enclose(JobDir(Path(order["folder"])), mount, self._facts["writable"])
            os.chdir(order["folder"])
            warm.point_home(Path(order["folder"]))  # the nursery's own is mounted elsewhere
            pid = os.fork()
            if pid == 0:
                self._become(connection, order, tuple(request["mark"]), spent)
            write_to(2, connection.fileno())
            retitle(sys.executable, "-I", "-m", "joblauncher.nursery_inside", "above a job")
            prctl.shut_out()
            _await_either(pid, connection)
            _, status = os.waitpid(pid, 0)
            connection.send(END.pack(status, processor_time.whole()))
        os._exit(0)

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        """The order with the environment and interpreter of this container."""
        own = {**self._own, "HOME": order["home"], "PWD": order["folder"]}
        job = JobDir(Path(order["folder"]))
        shown = ",".join(map(str, (job.path, job.dump, job.log, job.inputs)))
        for name in ("APPTAINER_BIND", "SINGULARITY_BIND"):  # as the job's own container has it
            if own.get(name, "").endswith(f"{self._folder}"):
                own[name] = own[name].removesuffix(f"{self._folder}") + shown
        return {**order, "python": sys.executable, "environment": own}

    def _become(
        self, connection: socket.socket, order: dict[str, Any], mark: Any, spent: float
    ) -> NoReturn:
        with _reporting_to(connection.fileno()):
            os.setsid()
            connection.settimeout(None)
            connection.send(READY + SPENT.pack(spent))
            if connection.recv(_MOST) != GO:
                os._exit(1)
        connection.close()
        self._imports.become(order, mark)

    def _start_anew(self, reason: str) -> NoReturn:
        program = [sys.executable, "-I", "-m", "joblauncher.nursery_inside", *sys.argv[1:3]]
        start_anew(reason, [*program, "anew"], self._environment, [])


def _await_either(pid: int, connection: socket.socket) -> None:
    """Wait for a job's launcher to end. Whoever supervises the job keeps its limits: without him
    this process ends, and all of the job with it."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # Linux 5.2
        return
    # Not made non-blocking, which the launcher, who has the same socket, would be with it.
    own = socket.socket(fileno=os.dup(connection.fileno()))
    sources: list[Any] = [handle, own]
    while handle not in select.select(sources, [], [])[0]:
        try:
            if not own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                os._exit(1)
        except BlockingIOError:
            continue
        time.sleep(0.01)  # what has come is for the launcher
    own.close()
    os.close(handle)


@contextlib.contextmanager
def _reporting_to(descriptor: int) -> Any:
    """Write there what goes wrong, and end this process."""
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(descriptor, str(error.strerror or error).encode())
        os._exit(1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main(folder: Path, *, again: bool) -> None:
    """Be the nursery; the first process waits for all others."""
    os.umask(0o077)
    if not again:
        prctl.adopt_orphans()
        if os.fork():
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.wait()
            os._exit(0)
    Inside(folder).run()


if __name__ == "__main__":
    # The second argument is room for what ps(1) shall show of launchers.
    main(Path(sys.argv[1]), again=sys.argv[3:] == ["anew"])
