"""A dispatcher on the harness: real job table and spool, batch system in memory, clock by hand."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fake_scheduler import DONE, RUNNING, FakeScheduler
from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.dispatcher import Dispatcher
from pywps_hpc.jobs import Job, JobStore, job_name, new_id
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING, Timing

ACCEPTED = (
    b'<wps:ExecuteResponse xmlns:wps="http://www.opengis.net/wps/1.0.0">'
    b'<wps:Status creationTime="2026-01-01T00:00:00Z">'
    b"<wps:ProcessAccepted>accepted</wps:ProcessAccepted></wps:Status>"
    b"</wps:ExecuteResponse>"
)
GRACE = 60.0


def _hurry(connection: Any, _record: Any) -> None:
    """No test here cuts the power."""
    connection.execute("PRAGMA synchronous=OFF")


@dataclass
class DispatcherHarness:
    """Everything that outlives a dispatcher, and a way to get a new one.

    Attributes:
        root: folder of all that it needs.
        now: what its clock says.
        database: URL of an empty one; by default SQLite in ``root``.
        timeout: of the database, in seconds.
        set_ahead: seconds of ``now`` that never passed.
        timing: of dispatchers that are started from now on.
        holder: name of them all; another run of the tests on this host has others.
    """

    root: Path
    scheduler: FakeScheduler = field(default_factory=FakeScheduler)
    now: float = field(default_factory=time.time)
    database: str = ""
    timeout: float = 15.0
    set_ahead: float = 0.0
    timing: Timing = TIMING
    holder: str = field(default_factory=lambda: f"the-dispatcher-{new_id()}")
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        spool = self.root / "spool"
        spool.mkdir(mode=0o700)
        self.settings = Settings(
            spool=spool,
            database=self.database or f"sqlite:///{self.root / 'jobs.sqlite'}",
            database_timeout=self.timeout,
            grace=GRACE,
            command_timeout=30.0,
            defaults=ProcessSettings(
                Resources(memory=2048, walltime=600), Container(runtime="none")
            ),
        )
        self.store = JobStore(self.settings.database_url, self.timeout)
        if self.store.engine.dialect.name == "sqlite":
            sa.event.listen(self.store.engine, "connect", _hurry)
        self.store.create()
        self.spool = Spool(spool)
        self.dispatcher = self.restart()

    def restart(self, *, store: Any = None, scheduler: Any = None) -> Dispatcher:
        """A new dispatcher over the same table, spool and batch system, as after kill -9."""
        self.dispatcher = Dispatcher(
            self.settings,
            store or self.store,
            self.spool,
            scheduler or self.scheduler,
            clock=lambda: self.now,
            uptime=lambda: self.now - self.set_ahead,
            holder=self.holder,
            timing=self.timing,
        )
        return self.dispatcher

    def cycle(self, *, later: float = 0.0) -> int:
        """One turn of the dispatcher, some seconds later."""
        self.now += later
        changed = self.turn()
        self.dispatcher._sweeper.wait()
        self.dispatcher._notifier.wait()
        return changed

    def turn(self) -> int:
        """The same now, whatever is still done aside."""
        if not self.dispatcher.leads:
            self.dispatcher.lead()
        return self.dispatcher.cycle()

    def accept(self, urls: Mapping[Event, str] | None = None, **changes: Any) -> Job:
        """What the web server does.

        Args:
            urls: the addresses that are told of it, by the event.
            changes: attributes of the job.
        """
        job_id = new_id()
        folder = self.spool.create(job_id)
        atomic_write(folder.status, ACCEPTED)
        outcome.Report(job=job_id, process="hello").write(folder)
        job = Job(job_id, job_name("w", job_id), "hello", "d" * 64, created=self.now)
        return self.store.add(dataclasses.replace(job, **changes), urls=urls)

    def queued(self) -> Job:
        """An accepted job that the batch system has."""
        job = self.accept()
        self.cycle()
        return self.row(job)

    def running(self) -> Job:
        """A job that runs, its process at work."""
        job = self.queued()
        self.scheduler.say(job.native_id, RUNNING)
        self.begin(job)
        self.cycle()
        return self.row(job)

    def row(self, job: Job) -> Job:
        """The job as the table has it now."""
        found = self.store.get(job.id)
        assert found is not None
        return found

    def told(self) -> str:
        """What the dispatcher in charge tells whoever looks at its heartbeats."""
        leader = self.store.dispatcher()
        assert leader is not None
        return leader.message

    def folder(self, job: Job) -> JobDir:
        """The job's folder."""
        return self.spool.open(job.id)

    def status(self, job: Job) -> status_xml.Status:
        """What the job's document says."""
        return status_xml.parse(self.folder(job).status.read_bytes())

    def report(self, job: Job) -> outcome.Report:
        """The job's report."""
        found = outcome.read(self.folder(job))
        assert found is not None
        return found

    def begin(self, job: Job) -> None:
        """What the launcher leaves when the process starts."""
        self._leave(job, "started", percent=10)

    def succeed(self, job: Job, **facts: Any) -> None:
        """What the launcher leaves after a success."""
        self._leave(job, "succeeded", percent=100, message="done", finished=self.now, **facts)

    def fail(self, job: Job, message: str, cause: str, **facts: Any) -> None:
        """What the launcher leaves after a failure."""
        facts = {"percent": 100, "finished": self.now} | facts
        self._leave(job, "failed", message=message, cause=cause, **facts)

    def succeed_in_queue(self, job: Job, **facts: Any) -> None:
        """The whole rest of a job's life."""
        self.succeed(job, **facts)
        self.scheduler.say(self.row(job).native_id, DONE)

    def _leave(self, job: Job, state: str, **facts: Any) -> None:
        folder = self.folder(job)
        facts = {"message": "", "percent": 0} | facts
        status = status_xml.Status(state, facts["percent"], facts["message"])
        atomic_write(folder.status, status_xml.replace(folder.status.read_bytes(), status))
        outcome.Report(job=job.id, process="hello", state=state, started=self.now, **facts).write(
            folder
        )
