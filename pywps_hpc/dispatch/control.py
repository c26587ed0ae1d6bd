"""Carry out control requests of clients and administrators: dismiss, pause, resume."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from joblauncher.shared import failpoint
from pywps_hpc.dispatch import finish
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.schedulers.base import SchedulerError, SchedulerUnavailable
from pywps_hpc.jobs import ControlRequest, Job, State

log = logging.getLogger(__name__)


class Controller:
    """Carries out control requests. Each stands until its effect shows, or it is refused."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ordered: dict[tuple[str, ControlRequest], float] = {}  # by the batch system's id

    def run(self) -> int:
        """One turn; how many jobs changed.

        Raises:
            SchedulerUnavailable: the rest has to wait.
        """
        context = self._context
        jobs = context.store.requested()
        standing = {(job.native_id, job.control) for job in jobs}
        self._ordered = {key: at for key, at in self._ordered.items() if key in standing}
        changed = 0
        orders: dict[ControlRequest, list[Job]] = {}
        for job in jobs:
            if job.state is State.SUBMITTING:
                continue  # nobody knows yet where it is
            if job.state is State.STAGING and job.control is not ControlRequest.DISMISS:
                continue  # it waits for its inputs in any case
            with context.guard(job):
                if not job.native_id:
                    changed += self._act_here(job)
                elif job.control is not ControlRequest.DISMISS and _is_done(job):
                    changed += context.store.clear_request(job)
                elif self._is_due(job):
                    orders.setdefault(job.control, []).append(job)
        for request, concerned in orders.items():
            context.heartbeat()
            changed += self._order(request, concerned)
        return changed

    def _act_here(self, job: Job) -> bool:
        """The batch system never heard of this job."""
        context = self._context
        if job.control is ControlRequest.DISMISS:
            return finish.end(context, job, State.DISMISSED, messages.DISMISSED, rewrite=True)
        wanted = State.PAUSED if job.control is ControlRequest.PAUSE else State.ACCEPTED
        if job.state is not wanted and context.store.move(job, wanted) is None:
            return False
        return context.store.clear_request(job)

    def _order(self, request: ControlRequest, jobs: Sequence[Job]) -> int:
        """Tell the batch system about all of them at once, and the user if it says no."""
        context = self._context
        scheduler = context.scheduler
        orders = {
            ControlRequest.DISMISS: scheduler.cancel,
            ControlRequest.PAUSE: scheduler.pause,
            ControlRequest.RESUME: scheduler.resume,
        }
        failpoint.reach("order.1")
        try:
            orders[request]([job.native_id for job in jobs])
            failpoint.reach("order.2")
        except SchedulerUnavailable:
            raise
        except SchedulerError as error:
            if len(jobs) > 1:  # whom of them does it concern?
                return sum(self._order(request, [job]) for job in jobs)
            (job,) = jobs
            log.warning("%s: cannot %s: %s", job.id, request.value, error)
            context.store.note(job, message=f"cannot {request.value}: {error}")
            return request is ControlRequest.DISMISS or context.store.clear_request(job)
        for job in jobs:
            log.info("%s: told the batch system to %s it", job.id, request.value)
            self._ordered[job.native_id, request] = context.clock()
        return len(jobs)

    def _is_due(self, job: Job) -> bool:
        last = self._ordered.get((job.native_id, job.control))
        timing, is_dismissal = self._context.timing, job.control is ControlRequest.DISMISS
        pause = timing.repeat_dismissal if is_dismissal else timing.repeat_control
        if last is None:
            return True
        # A negative age is none: the clock was set back.
        return not 0 <= self._context.clock() - last < pause


def _is_done(job: Job) -> bool:
    """Whether a pause or resumption shows."""
    if job.control is ControlRequest.RESUME and job.message == messages.SIGNAL_SENT:
        return False  # whatever stands still of it is to go on
    return (job.state is State.PAUSED) is (job.control is ControlRequest.PAUSE)
