"""Carry out control requests of clients and administrators: dismiss, pause, resume."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joblauncher.shared import failpoint
from pywps_hpc.dispatch import finish
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.schedulers.base import SchedulerError, SchedulerUnavailable
from pywps_hpc.jobs import ControlRequest, Job, State

log = logging.getLogger(__name__)

#: What forgets a control request that was carried out.
_DONE: dict[str, Any] = {"control": ControlRequest.NONE.value}


@dataclass(frozen=True)
class _Ordered:
    """What the batch system was last told about a job.

    Attributes:
        at: when, in seconds since the epoch.
        pause: seconds until it is told so again, if that shows no effect.
        refusal: why it refused; empty if it did not.
    """

    at: float
    pause: float
    refusal: str = ""

    def is_over(self, now: float) -> bool:
        """Whether the pause is; a negative age is none: the clock was set back."""
        return not 0 <= now - self.at < self.pause


class Controller:
    """Carries out control requests. Each stands until its effect shows, or it is refused.

    Attributes:
        ordered: about how many jobs the batch system was told something in the latest turn.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.ordered = 0
        # By the batch system's id.
        self._ordered: dict[tuple[str, ControlRequest], _Ordered] = {}

    def run(self) -> None:
        """One turn.

        Raises:
            SchedulerUnavailable: the rest has to wait.
        """
        context = self._context
        self.ordered = 0
        jobs = context.store.requested()
        standing = {(job.native_id, job.control) for job in jobs}
        self._ordered = {key: one for key, one in self._ordered.items() if key in standing}
        orders: dict[ControlRequest, list[Job]] = {}
        for job in jobs:
            if job.state is State.SUBMITTING:
                continue  # nobody knows yet where it is
            if job.state is State.STAGING and job.control is not ControlRequest.DISMISS:
                continue  # it waits for its inputs in any case
            with context.guard(job):
                if not job.native_id:
                    self._act_here(job)
                elif job.control is not ControlRequest.DISMISS and _is_done(job):
                    context.changes.add(job, **_DONE, request=job.control)
                elif self._is_due(job):
                    orders.setdefault(job.control, []).append(job)
        for request, concerned in orders.items():
            context.heartbeat()
            self._order(request, concerned)

    def _act_here(self, job: Job) -> None:
        """The batch system never heard of this job."""
        context = self._context
        if job.control is ControlRequest.DISMISS:
            finish.end(context, job, State.DISMISSED, messages.DISMISSED, rewrite=True)
            return
        wanted = State.PAUSED if job.control is ControlRequest.PAUSE else State.ACCEPTED
        to = wanted if job.state is not wanted else None
        context.changes.add(job, to, **_DONE, request=job.control)

    def _order(self, request: ControlRequest, jobs: Sequence[Job]) -> None:
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
                for job in jobs:
                    self._order(request, [job])
                return
            self._refused(request, jobs[0], str(error))
            return
        self.ordered += len(jobs)
        timing, is_dismissal = context.timing, request is ControlRequest.DISMISS
        pause = timing.repeat_dismissal if is_dismissal else timing.repeat_control
        for job in jobs:
            log.info("%s: told the batch system to %s it", job.id, request.value)
            self._ordered[job.native_id, request] = _Ordered(context.clock(), pause)

    def _refused(self, request: ControlRequest, job: Job, why: str) -> None:
        """A pause or resumption is forgotten then; a dismissal stands, and is repeated after pauses
        that grow. The log is told of each reason once."""
        context, timing = self._context, self._context.timing
        last, pause = self._ordered.get((job.native_id, request)), timing.refused_dismissal
        if last is not None and last.refusal:
            pause = min(2 * last.pause, timing.longest_refused_dismissal)
        if last is None or last.refusal != why:
            log.warning("%s: cannot %s: %s", job.id, request.value, why)
        self._ordered[job.native_id, request] = _Ordered(context.clock(), pause, why)
        message = f"cannot {request.value}: {why}"
        if job.message != message:
            context.changes.add(job, message=message)
        if request is not ControlRequest.DISMISS:
            context.changes.add(job, **_DONE, request=request)

    def _is_due(self, job: Job) -> bool:
        last = self._ordered.get((job.native_id, job.control))
        return last is None or last.is_over(self._context.clock())


def _is_done(job: Job) -> bool:
    """Whether a pause or resumption shows."""
    if job.control is ControlRequest.RESUME and job.message == messages.SIGNAL_SENT:
        return False  # whatever stands still of it is to go on
    return (job.state is State.PAUSED) is (job.control is ControlRequest.PAUSE)
