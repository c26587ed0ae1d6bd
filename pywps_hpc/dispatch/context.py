"""What the parts of the dispatcher share: where things are, and how a job is brought to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from joblauncher import failpoint
from joblauncher.documents import DocumentError
from pywps_hpc.dispatch import evidence
from pywps_hpc.dispatch.lead import Deposed
from pywps_hpc.dispatch.reconcile import Evidence
from pywps_hpc.dispatch.schedulers.base import Scheduler, SchedulerUnavailable
from pywps_hpc.dispatch.script import Scripts
from pywps_hpc.jobs import Job, JobStore, State, TableUnavailable
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool

log = logging.getLogger(__name__)


@dataclass
class Context:
    """The dispatcher's surroundings.

    Attributes:
        clock: seconds since the epoch.
        uptime: seconds by a clock that nobody can set.
        beat: shows a sign of life; raises :class:`~pywps_hpc.dispatch.lead.Deposed`.
    """

    settings: Settings
    store: JobStore
    spool: Spool
    scheduler: Scheduler
    scripts: Scripts
    clock: Callable[[], float]
    uptime: Callable[[], float]
    beat: Callable[[], None]
    _said: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def guard(self, job: Job) -> Iterator[None]:
        """A job that cannot be attended to must not stop the others: its error is logged, once.

        What concerns all of them, the batch system or the database, goes through.
        """
        try:
            yield
        except (SchedulerUnavailable, TableUnavailable, SQLAlchemyError, Deposed):
            raise
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if self._said.get(job.id) != words:
                self._said[job.id] = words
                log.exception("%s: cannot be attended to", job.id)

    def end(
        self,
        job: Job,
        state: State,
        words: str,
        *,
        rewrite: bool,
        seen: Evidence | None = None,
    ) -> bool:
        """Bring a job to its end: its document first, its row last.

        In this order a dispatcher that is killed in between does the same again.

        Args:
            job: as last read.
            state: SUCCEEDED, FAILED or DISMISSED.
            words: for the user.
            rewrite: whether its document has to be replaced by one that says so, unless it tells
                of a success. Right only when nobody else can write there any more.
            seen: what its folder said.

        Returns:
            Whether it is over now, and was not before.
        """
        self.beat()
        current = self.store.get(job.id)
        if current is None or current.state is not job.state:
            return False
        self.beat()  # whoever was replaced must not touch the document
        now = self.clock()
        failpoint.reach("end.1")
        if rewrite and not self._rewrite(job, words, now):
            # A success that was there before stands: nobody would ever end the job otherwise that
            # is waiting here while an earlier submission of it, taken for lost, ran.
            state, words, rewrite = State.SUCCEEDED, "", False
        if not rewrite:
            evidence.complete(self.spool.open(job.id), job.process, now)
        failpoint.reach("end.3")
        self.spool.discard_work(job.id)
        failpoint.reach("end.4")
        seen = seen or Evidence()
        # The job says itself when it ended: its files are kept from then on.
        finished = seen.finished if job.created <= seen.finished <= now else now
        times = {"started": job.started or seen.started, "finished": finished}
        if self.store.move(job, state, message=words, missing_since=0.0, **times) is None:
            return False
        failpoint.reach("end.5")
        self._said.pop(job.id, None)
        log.info("%s: %s", job.id, f"failed: {words}" if state is State.FAILED else state.value)
        return True

    def _rewrite(self, job: Job, words: str, now: float) -> bool:
        folder = self.spool.open(job.id)
        if not evidence.exists(folder):
            log.warning("%s: its folder is gone, there is no document to end", job.id)
            return True
        try:
            return evidence.replace(folder, job.process, words, now)
        except DocumentError as error:
            log.warning("%s: its document cannot be ended: %s", job.id, error)
            return True
