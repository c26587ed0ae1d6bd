"""Carry out what clients and administrators wish: dismiss, pause, resume."""

from __future__ import annotations

import logging

from pywps_hpc.dispatch import words
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.schedulers.base import SchedulerError, SchedulerUnavailable
from pywps_hpc.jobs import Job, State, Wish

log = logging.getLogger(__name__)

#: Seconds until an order that has had no effect is given again. Slurm was seen to lose a signal to
#: a job that had only just started, with exit status 0.
REPEAT = {Wish.DISMISS: 60.0, Wish.PAUSE: 5.0, Wish.RESUME: 5.0}


class Wishes:
    """Carries out wishes. Each stands until the batch system shows its effect, or says no."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ordered: dict[tuple[str, Wish], float] = {}

    def was_cancelled(self, job: Job) -> bool:
        """Whether the batch system took the order to end this job."""
        return (job.id, Wish.DISMISS) in self._ordered

    def run(self) -> int:
        """One turn; how many jobs changed.

        Raises:
            SchedulerUnavailable: the rest has to wait.
        """
        context = self._context
        jobs = context.store.wished()
        standing = {(job.id, job.wish) for job in jobs}
        self._ordered = {key: at for key, at in self._ordered.items() if key in standing}
        changed = 0
        # First those for which nobody need be asked.
        for job in sorted(jobs, key=lambda job: bool(job.native_id)):
            if job.state is State.SUBMITTING:
                continue  # nobody knows yet where it is
            with context.guard(job):
                if job.native_id:
                    changed += self._ask(job)
                else:
                    changed += self._grant_here(job)
        return changed

    def _grant_here(self, job: Job) -> bool:
        """The batch system never heard of this job."""
        context = self._context
        if job.wish is Wish.DISMISS:
            return context.end(job, State.DISMISSED, words.DISMISSED, rewrite=True)
        wanted = State.PAUSED if job.wish is Wish.PAUSE else State.ACCEPTED
        if job.state is not wanted and context.store.move(job, wanted) is None:
            return False
        return context.store.grant(job)

    def _ask(self, job: Job) -> bool:
        """Tell the batch system, and the user if it says no."""
        context = self._context
        if job.wish is not Wish.DISMISS and (job.state is State.PAUSED) is (job.wish is Wish.PAUSE):
            return context.store.grant(job)
        if not self._is_due(job):
            return False
        context.beat()
        scheduler = context.scheduler
        orders = {
            Wish.DISMISS: scheduler.cancel,
            Wish.PAUSE: scheduler.pause,
            Wish.RESUME: scheduler.resume,
        }
        try:
            orders[job.wish]([job.native_id])
        except SchedulerUnavailable:
            raise
        except SchedulerError as error:
            log.warning("%s: cannot %s: %s", job.id, job.wish.value, error)
            context.store.note(job, message=f"cannot {job.wish.value}: {error}")
            return job.wish is Wish.DISMISS or context.store.grant(job)
        log.info("%s: told the batch system to %s it", job.id, job.wish.value)
        self._ordered[job.id, job.wish] = context.clock()
        return True

    def _is_due(self, job: Job) -> bool:
        last = self._ordered.get((job.id, job.wish))
        return last is None or self._context.clock() - last >= REPEAT[job.wish]
