"""Remove ended jobs: first the folder moves away, then its row goes, then its files.

Nothing turns an ended job back, so whoever read such a row may go on with it later. After a kill at
any point the next round finds what is left: the row of a job whose folder has moved, or a folder
that moved and has no row. A folder with no row that nobody moved is another matter: that is what
is left when the job table was lost, see clean.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from joblauncher.shared.files import size_of
from pywps_hpc.jobs import TERMINAL, JobStore, State
from pywps_hpc.jobs.retention import Expired, choose
from pywps_hpc.settings import Retention
from pywps_hpc.spool import Spool

log = logging.getLogger(__name__)


class Purger:
    """Measures and removes ended jobs.

    Args:
        store: the job table.
        spool: the job folders.
        heartbeat: called now and then during long work.
    """

    def __init__(
        self, store: JobStore, spool: Spool, heartbeat: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._spool, self._heartbeat = store, spool, heartbeat
        self._stuck: set[str] = set()  # ids of jobs of which something could not be deleted

    def has_left_overs(self) -> bool:
        """Whether :meth:`tidy` or :meth:`empty` has something to do."""
        noted = any(self._spool.discarded_work())
        return noted or any(job_id not in self._stuck for job_id in self._spool.discarded())

    def measure(self, *, limit: int | None = None) -> int:
        """Count the bytes of jobs that ended since; each is counted once. How many were.

        Raises:
            OSError: the spool is missing.
        """
        jobs, noted = self._store.unmeasured(limit=limit), set(self._spool.discarded_work())
        for job in jobs:
            if job.id in noted:
                continue  # it is about to become smaller
            self._heartbeat()
            self._spool.require()
            size = size_of(self._spool.open(job.id).path, self._heartbeat)
            self._store.note(job, size=size)
        return len(jobs)

    def due(self, retention: Retention, now: float, *, limit: int | None = None) -> list[Expired]:
        """The jobs that are to go.

        Args:
            limit: how many to look at, from the oldest on.
        """
        if not (retention.age or retention.size):
            return []
        total = self._store.ended_size() if retention.size else 0
        return list(choose(self._store.ended(limit=limit), retention, total=total, now=now))

    def remove(self, expired: Expired) -> None:
        """Forget one job; its files wait for :meth:`empty`.

        Raises:
            OSError: its folder cannot be moved; its row stays.
        """
        self._heartbeat()
        self._spool.discard(expired.job.id)
        self._store.remove(expired.job.id)
        log.info("%s: removed: %s", expired.job.id, expired.reason)

    def tidy(self) -> None:
        """Delete what jobs that are over no longer need, of dismissed ones the outputs, too."""
        for job_id in list(self._spool.discarded_work()):
            row = self._store.get(job_id)
            if row is not None and row.state not in TERMINAL:
                continue  # its end is being written
            dismissed = row is not None and row.state is State.DISMISSED
            for error in self._spool.delete_work(job_id, outputs=dismissed):
                self._tell(job_id, error)

    def empty(self) -> int:
        """Delete the files of removed jobs, also of those that somebody who was killed had begun
        to remove; how many jobs that concerned."""
        left = [job_id for job_id in self._spool.discarded() if job_id not in self._stuck]
        arrays = set()
        for job_id in left:
            self._store.remove(job_id)
            arrays.add(self._spool.array_of_discarded(job_id))
            try:
                self._spool.delete_discarded(job_id)
            except OSError as error:
                self._tell(job_id, error)
        self._spool.remove_orphaned(filter(None, arrays))
        return len(left)

    def _tell(self, job_id: str, error: OSError) -> None:
        """Once: it may stay so for long."""
        if job_id not in self._stuck:
            self._stuck.add(job_id)
            log.warning("%s: some of its files cannot be removed: %s", job_id, error.strerror)
