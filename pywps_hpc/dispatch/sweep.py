"""Keep the spool clean: ended jobs go when their time is over, and so does what a web server left
when it was killed before it recorded a job."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from pywps_hpc import clock
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.purge import Purger
from pywps_hpc.spool import JobDir

log = logging.getLogger(__name__)

#: Seconds between two looks for folders left behind, and age from which one counts as such.
INTERVAL = 3600.0
#: Seconds at most between two looks at the ended jobs.
RETENTION_INTERVAL = 60.0
#: Jobs to measure and to remove before the dispatcher looks after the others again.
ROUND = 100


class Sweeper:
    """Removes expired jobs, and folders of jobs that were never accepted."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._purger = Purger(context.store, context.spool, context.beat)
        self._emptying: threading.Thread | None = None
        self._last_purge = self._last = float("-inf")
        self._doubt = ""
        age = context.settings.retention.age
        self._pause = max(1.0, min(age / 10, RETENTION_INTERVAL)) if age else RETENTION_INTERVAL

    def run(self) -> int:
        """One turn, if it is time for one; how many folders of jobs never accepted went."""
        now, removed = self._context.uptime(), 0
        try:
            if now - self._last_purge >= self._pause:
                self._last_purge = now
                self._doubt_clock()
                self._purge()
            if now - self._last >= INTERVAL and not self._doubt:
                self._last = now
                removed = self._sweep()
        except OSError as error:
            log.warning("the spool cannot be swept: %s", error.strerror)
        return removed

    def _doubt_clock(self) -> None:
        """Ages do not count after the clock was set ahead, before it is known to be right."""
        reading = clock.look(self._context.store, self._context.clock(), self._context.uptime())
        if reading.doubt and not self._doubt:
            log.warning("%s", reading.doubt)
        elif self._doubt and not reading.doubt:
            log.info("the clock is believed again")
        self._doubt = reading.doubt

    def _purge(self) -> None:
        """Remove what has expired; a large heap takes several rounds."""
        context, purger = self._context, self._purger
        retention, now = context.settings.retention, context.clock()
        if self._doubt:
            retention = replace(retention, age=0.0)
        # A large folder takes its time: it is walked only where somebody wants to know.
        measured = purger.measure(limit=ROUND) if retention.size else 0
        due = purger.due(retention, now, limit=ROUND)
        for expired in due:
            with context.guard(expired.job):
                purger.remove(expired)
        if ROUND in (measured, len(due)):
            self._last_purge = float("-inf")
        at_work = self._emptying is not None and self._emptying.is_alive()
        if not at_work and any(context.spool.discarded()):
            # A large folder takes longer than the dispatcher may be silent.
            self._emptying = threading.Thread(target=purger.empty, daemon=True)
            self._emptying.start()

    def _sweep(self) -> int:
        # Ages of files are told by the file system's own clock.
        now, removed = self._context.spool.now(), 0
        for job_id in self._context.spool.job_ids():
            self._context.beat()
            folder = self._context.spool.open(job_id)
            if self._is_left_behind(folder, now):
                log.info("%s: was never accepted; its folder is removed", job_id)
                self._context.spool.remove(job_id)
                removed += 1
        self._context.spool.remove_orphaned(self._context.spool.arrays())
        return removed

    def _is_left_behind(self, folder: JobDir, now: float) -> bool:
        try:
            age = now - folder.path.stat().st_mtime
        except OSError:
            return False
        # A job that was submitted once has a script: should the table be lost, its results stay.
        if age < INTERVAL or folder.script.exists() or _has_outputs(folder):
            return False
        return self._context.store.get(folder.job_id) is None


def _has_outputs(folder: JobDir) -> bool:
    return folder.storage.is_dir() and any(folder.storage.iterdir())
