"""Remove job folders that a web server left when it was killed before it recorded the job."""

from __future__ import annotations

import logging

from pywps_hpc.dispatch.context import Context
from pywps_hpc.spool import JobDir

log = logging.getLogger(__name__)

#: Seconds between two sweeps, and age from which a folder without a row counts as left behind.
INTERVAL = 3600.0


class Sweeper:
    """Removes folders of jobs that were never accepted."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last = float("-inf")

    def run(self) -> int:
        """One turn, at most once in an hour; how many folders went."""
        now = self._context.clock()
        if now - self._last < INTERVAL:
            return 0
        self._last = now
        removed = 0
        for job_id in self._context.spool.job_ids():
            self._context.beat()
            folder = self._context.spool.open(job_id)
            if self._is_left_behind(folder, now):
                log.info("%s: was never accepted; its folder is removed", job_id)
                self._context.spool.remove(job_id)
                removed += 1
        return removed

    def _is_left_behind(self, folder: JobDir, now: float) -> bool:
        try:
            age = now - folder.path.stat().st_mtime
        except OSError:
            return False
        # A job that was submitted once has a script: should the table be lost, its results stay.
        if age < INTERVAL or folder.script.exists() or folder.outputs.exists():
            return False
        return self._context.store.get(folder.job_id) is None
