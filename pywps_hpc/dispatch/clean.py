"""Keep the spool clean: what ended jobs no longer need goes, they themselves when their time is
over, and so does what a web server left when it was killed before it recorded a job, or a launcher
that worked on, on a node that the batch system had lost, after its job's end.

All of it is done aside: a process may leave millions of files, a file system may be slow, and the
dispatcher has other jobs to look after. What has to go is noted in the spool first, so whoever
leads next goes on with it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from joblauncher.shared import probing
from pywps_hpc.dispatch.background import Background
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.purge import Purger
from pywps_hpc.jobs import TERMINAL, State, clock
from pywps_hpc.spool import JobDir

log = logging.getLogger(__name__)

#: Jobs to measure and to remove in one round.
ROUND = 100


class Sweeper:
    """Removes expired jobs, what ended ones no longer need, and folders of jobs that were never
    accepted."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # Sends no heartbeat: those are the loop's.
        self._purger = Purger(context.store, context.spool)
        self._choosing, self._emptying = Background(self._choose), Background(self._empty)
        self._last_purge = self._last = float("-inf")
        self._doubt = ""
        age, longest = context.settings.retention.age, context.timing.retention_look
        self._pause = max(1.0, min(age / 10, longest)) if age else longest

    def run(self) -> None:
        """Begin with what it is time for."""
        now = self._context.uptime()
        due = (
            now - self._last_purge >= self._pause
            or now - self._last >= self._context.timing.left_over_age
        )
        if due:
            self._choosing.start()
        self._empty_aside()

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until what was begun is done, for so many seconds at most."""
        for aside in (self._choosing, self._emptying):
            aside.wait(timeout)

    def _empty_aside(self) -> None:
        if self._purger.has_left_overs():
            self._emptying.start()

    def _choose(self) -> None:
        now = self._context.uptime()
        if now - self._last_purge >= self._pause:
            self._last_purge = now
            self._doubt_clock()
            self._purge()
        if now - self._last >= self._context.timing.left_over_age and not self._doubt:
            self._last = now
            self._sweep()
        self._empty_aside()

    def _empty(self) -> None:
        self._purger.tidy()
        self._purger.empty()

    def _doubt_clock(self) -> None:
        """Ages do not count after the clock was set ahead, before it is known to be right."""
        reading = clock.look(self._context.store, self._context.clock(), self._context.uptime())
        if reading.doubt and not self._doubt:
            log.warning("%s", reading.doubt)
        elif self._doubt and not reading.doubt:
            log.info("the clock is trusted again")
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
        if not self._doubt:
            context.store.forget_removed(now - (retention.age or context.timing.removed_known))
        if ROUND in (measured, len(due)):
            self._last_purge = float("-inf")

    def _sweep(self) -> None:
        """Look at the folders in which nothing was made or removed for long."""
        # Ages of files are told by the file system's own clock.
        now = self._context.spool.now()
        for job_id in self._context.spool.job_ids():
            folder = self._context.spool.open(job_id)
            if _age(folder, now) >= self._context.timing.left_over_age:
                self._sweep_folder(folder)
        self._context.spool.remove_orphaned(self._context.spool.arrays())

    def _sweep_folder(self, folder: JobDir) -> None:
        job_id, spool = folder.job_id, self._context.spool
        row = self._context.store.get(job_id)
        if row is None:
            if _is_left_behind(folder):
                log.info("%s: was never accepted; its folder is removed", job_id)
                spool.discard(job_id)
            return
        outputs = row.state is State.DISMISSED
        # A launcher that lives on, or its process, made them after they had been removed, or worked
        # in them meanwhile.
        if row.state in TERMINAL and spool.has_work(job_id, outputs=outputs):
            spool.discard_work(job_id)


def _age(folder: JobDir, now: float) -> float:
    """Seconds since something was made or removed in a folder; 0 if somebody else has removed it.

    Args:
        now: by the file system's clock.
    """
    try:
        return now - folder.path.stat().st_mtime
    except OSError:
        return 0.0


def _is_left_behind(folder: JobDir) -> bool:
    """Whether a folder without a row goes."""
    try:
        if probing.is_order(folder.dump):  # of a check that was killed
            return True
        # One that was submitted has a script: should the table be lost, its results stay.
        return not (folder.script.exists() or _has_outputs(folder))
    except OSError:  # its process took us the rights
        return False


def _has_outputs(folder: JobDir) -> bool:
    return folder.storage.is_dir() and any(folder.storage.iterdir())
