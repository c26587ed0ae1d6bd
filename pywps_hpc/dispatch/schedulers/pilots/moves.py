"""Jobs that a pilot does not run: they go on elsewhere, in another pilot or by themselves, under
their first ids."""

from __future__ import annotations

import logging
from collections.abc import Collection

from pywps_hpc.dispatch.schedulers.base import (
    Outcome,
    Phase,
    SchedulerError,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.fleet import Fleet
from pywps_hpc.dispatch.schedulers.pilots.lookup import ID, MOST_MOVES
from pywps_hpc.dispatch.schedulers.pilots.pilot import Look, Pilot

log = logging.getLogger(__name__)


class Moves:
    """Lets jobs go on, and knows where.

    Args:
        context: of the pilots.
        fleet: which there are.
    """

    def __init__(self, context: Context, fleet: Fleet) -> None:
        self._context, self._fleet = context, fleet
        self._targets: dict[str, str] = {}  # a job's id -> the id under which it went on
        self._retry: dict[str, float] = {}  # job name -> when it is submitted again

    def first_ids(self, native: Collection[str]) -> Collection[str]:
        """These ids of the batch system, and those of jobs that went on under them."""
        return {*native, *(job for job, target in self._targets.items() if target in native)}

    def target(self, job: str) -> str:
        """The id under which a job went on, if it did."""
        target = self._targets.get(job, job)
        for _ in range(MOST_MOVES):
            match = ID.fullmatch(target)
            pilot = self._fleet.get(match[1]) if match else None
            moved = pilot.moved_to(match[2]) if pilot is not None and match else ""
            if not moved:
                break
            target = self._targets[job] = moved
        return target

    def tend(self) -> dict[str, Look]:
        """Let jobs go on elsewhere that wait for a pilot in vain; what there is in each folder."""
        now, looks = self._context.clock(), {}
        for pilot in self._fleet.all():
            if pilot.settled_since is not None:
                if now - pilot.settled_since > self._context.timing.pilot_known:
                    self._fleet.forget(pilot)
                continue
            look = pilot.look()
            waiting = {name: pilot.first_seen.get(name, now) for name in look.waiting}
            pilot.first_seen = waiting
            is_hopeless = pilot.status is not None and pilot.status.hopeless
            is_closed = pilot.is_closed() or is_hopeless
            if is_closed:
                late = set(waiting)
            elif pilot.phase is Phase.RUNNING:
                patience = self._context.timing.pilot_patience
                late = {name for name, since in waiting.items() if now - since > patience}
            else:
                late = set()
            for name in sorted(look.stranded | {name for name in late if pilot.take_back(name)}):
                self._go_on(pilot, name, now, alone=not is_closed)
            if late or look.stranded:
                look = pilot.look()
            looks[pilot.id], pilot.told = look, look.ended
            if pilot.is_over and not (look.waiting or look.held or look.stranded):
                pilot.settle(now)
        return looks

    def _go_on(self, pilot: Pilot, name: str, now: float, *, alone: bool) -> None:
        """Submit a job that was taken back.

        Args:
            alone: whether by itself, rather than in another pilot.
        """
        if now < self._retry.get(name, 0.0):
            return
        try:
            others = [other for other in self._fleet.having(name) if other is not pilot]
            native = others[0].job_id(name) if others else ""
            job = pilot.batch_job(name)
            if not native and not alone and not pilot.dir.refused.exists():
                native = self._fleet.take(job, pilot.own["group"], but=pilot)
            if not native:
                native = (
                    next(iter(self._context.scheduler.find(name)), "")
                    or self._context.scheduler.submit(job)[0]
                )
        except SubmissionRefused as error:
            end = {"outcome": Outcome.COULD_NOT_START.value, "detail": str(error)}
            pilot.dir.write_end(name, end)
        except (SchedulerError, ValueError) as error:
            log.warning("%s: cannot be submitted by itself now: %s", name, error)
            self._retry[name] = now + self._context.timing.pilot_retry
        else:
            self._retry.pop(name, None)
            pilot.move(name, native)
            log.info("%s: goes on as %s", pilot.job_id(name), native)
