"""What the parts of the dispatcher share: where things are, and how a job is brought to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from joblauncher.shared import failpoint, storage
from pywps_hpc.dispatch import evidence
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.reconcile import Evidence
from pywps_hpc.dispatch.leader import LeadershipLost
from pywps_hpc.dispatch.schedulers.base import Scheduler, SchedulerUnavailable
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import ControlRequest, Job, JobStore, State, TableUnavailable
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool

log = logging.getLogger(__name__)

#: Seconds for which the end of a job waits for a storage that is full, read-only or away. Then its
#: row tells the end, and its document is made from that.
PATIENCE = 300.0


@dataclass
class Context:
    """The dispatcher's surroundings.

    Attributes:
        clock: seconds since the epoch.
        uptime: seconds by a clock that nobody can set.
        heartbeat: sends a heartbeat; raises :class:`~pywps_hpc.dispatch.leader.LeadershipLost`.
    """

    settings: Settings
    store: JobStore
    spool: Spool
    scheduler: Scheduler
    scripts: Scripts
    clock: Callable[[], float]
    uptime: Callable[[], float]
    heartbeat: Callable[[], None]
    _said: dict[str, str] = field(default_factory=dict)
    _troubled: dict[str, float] = field(default_factory=dict)  # since when, by job id

    @contextmanager
    def guard(self, job: Job) -> Iterator[None]:
        """A job that cannot be attended to must not stop the others: its error is logged, once.

        What concerns all of them, the batch system or the database, goes through.
        """
        try:
            yield
        except (SchedulerUnavailable, TableUnavailable, SQLAlchemyError, LeadershipLost):
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            if self._said.get(job.id) == told:
                return
            self._said[job.id] = told
            if why := storage.trouble(error):
                log.warning("%s: cannot be attended to: %s", job.id, why)
            else:
                log.exception("%s: cannot be attended to", job.id)

    def end(
        self,
        job: Job,
        state: State,
        reason: str,
        *,
        rewrite: bool,
        overrule: bool = False,
        seen: Evidence | None = None,
    ) -> bool:
        """Bring a job to its end: its document first, its row last.

        In this order a dispatcher that is killed in between does the same again. A job whose
        dismissal is recorded by now is dismissed, however it ended.

        Args:
            job: as last read.
            state: SUCCEEDED, FAILED or DISMISSED.
            reason: for the user.
            rewrite: whether its document has to be replaced by one that says so, unless it tells
                of a success. Right only when nobody else can write there any more.
            overrule: whether a document of success is replaced, too.
            seen: what its folder said.

        Returns:
            Whether it is over now, and was not before.

        Raises:
            OSError: the storage is in trouble, and there is time left to wait for it.
        """
        self.heartbeat()
        current = self.store.get(job.id)
        if current is None or current.state is not job.state:
            return False
        if current.control is ControlRequest.DISMISS or state is State.DISMISSED:
            state, reason, rewrite, overrule = State.DISMISSED, messages.DISMISSED, True, True
        self.heartbeat()  # whoever was replaced must not touch the document
        now = self.clock()
        failpoint.reach("end.1")
        if not self._close(job, reason, now, rewrite=rewrite, overrule=overrule):
            # A success that was there before stands: nobody would ever end the job otherwise that
            # is waiting here while an earlier submission of it, taken for lost, ran.
            state, reason = State.SUCCEEDED, ""
            self._close(job, reason, now, rewrite=False, overrule=False)
        failpoint.reach("end.3")
        self.spool.discard_work(job.id)
        failpoint.reach("end.4")
        seen = seen or Evidence()
        # The job says itself when it ended: its files are kept from then on.
        finished = seen.finished if job.created <= seen.finished <= now else now
        facts = {"started": job.started or seen.started, "finished": finished}
        facts |= {"missing_since": 0.0, "end_seen": 0}
        if self.store.move(job, state, message=reason, **facts) is None:
            return False  # if it was dismissed just now, the next turn sees to it
        failpoint.reach("end.5")
        self._said.pop(job.id, None)
        self._troubled.pop(job.id, None)
        log.info("%s: %s", job.id, f"failed: {reason}" if state is State.FAILED else state.value)
        return True

    def _close(self, job: Job, reason: str, now: float, *, rewrite: bool, overrule: bool) -> bool:
        """Leave the last word in a job's folder; false if it was to be of a failure, and there is
        one of success that stands.

        Whatever the process made of its folder, that takes a bounded time: without a document, the
        row tells the end.

        Raises:
            OSError: as :meth:`end`.
        """
        folder = self.spool.open(job.id)
        if not evidence.exists(folder):
            log.warning("%s: its folder is gone, there is no document to end", job.id)
            return True
        try:
            if rewrite:
                return evidence.replace(folder, job.process, reason, now, overrule=overrule)
            evidence.complete(folder, job.process, now)
        except OSError as error:
            since = self._troubled.setdefault(job.id, now)
            # A negative time is none: the clock was set back.
            if storage.trouble(error) and 0 <= now - since < PATIENCE:
                raise
            log.warning("%s: its document cannot be ended: %s", job.id, error.strerror)
        return True
