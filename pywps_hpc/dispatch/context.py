"""What the parts of the dispatcher share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from joblauncher.shared import storage
from pywps_hpc.dispatch.leader import LeadershipLost
from pywps_hpc.dispatch.pending import PendingChanges
from pywps_hpc.dispatch.schedulers.base import Scheduler, SchedulerUnavailable
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job, JobStore, State, TableUnavailable
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING, Timing

log = logging.getLogger(__name__)


@dataclass
class Context:
    """The dispatcher's surroundings.

    Attributes:
        clock: seconds since the epoch.
        uptime: seconds by a clock that nobody can set.
        wake: lets the loop look at once; other threads may call it.
        heartbeat: sends a heartbeat; raises :class:`~pywps_hpc.dispatch.leader.LeadershipLost`.
        changes: of jobs, which are made together.
        submitted: jobs that the batch system was given since it was last polled.
        ended: called with a job, its last state and its facts when its row tells its end.
        storage_trouble: job id -> since when its end waits for the storage, by ``clock``.
    """

    settings: Settings
    store: JobStore
    spool: Spool
    scheduler: Scheduler
    scripts: Scripts
    clock: Callable[[], float]
    uptime: Callable[[], float]
    heartbeat: Callable[[], None]
    timing: Timing = TIMING
    wake: Callable[[], object] = lambda: None
    ended: Callable[[Job, State, Mapping[str, Any]], None] = lambda job, state, facts: None
    changes: PendingChanges = field(init=False)
    submitted: list[Job] = field(default_factory=list)
    storage_trouble: dict[str, float] = field(default_factory=dict)
    _logged: dict[str, str] = field(default_factory=dict)  # the last error, by job id

    def __post_init__(self) -> None:
        self.changes = PendingChanges(self.store, self.complain, self.timing)

    def has_submitted(self, job: Job, native_id: str) -> None:
        """Have it recorded that the batch system has a job, under this id."""
        self.changes.add(
            job,
            State.QUEUED,
            then=partial(self.submitted.append, replace(job, native_id=native_id)),
            native_id=native_id,
            missing_since=0.0,
            message="",
        )

    @contextmanager
    def guard(self, job: Job) -> Iterator[None]:
        """A job that cannot be handled now must not stop the others: its error is logged, once.

        What concerns all of them, the batch system or the database, goes through.
        """
        try:
            yield
        except (SchedulerUnavailable, TableUnavailable, SQLAlchemyError, LeadershipLost):
            raise
        except Exception as error:
            self.complain(job, error)

    def complain(self, job: Job, error: Exception) -> None:
        """Log, once, why a job cannot be handled now."""
        told = f"{type(error).__name__}: {error}"
        if self._logged.get(job.id) == told:
            return
        self._logged[job.id] = told
        if why := storage.trouble(error):
            log.warning("%s: cannot be handled now: %s", job.id, why)
        else:
            log.error("%s: cannot be handled now", job.id, exc_info=error)

    def forget(self, job: Job) -> None:
        """It is over: nothing that was remembered of it matters any more."""
        self._logged.pop(job.id, None)
        self.storage_trouble.pop(job.id, None)
