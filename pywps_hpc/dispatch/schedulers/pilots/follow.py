"""What becomes of the pilots, as the batch system tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

from joblauncher.shared.pilotdir import NOBODY, TAKEN
from pywps_hpc.dispatch.schedulers.base import (
    JobStatus,
    Outcome,
    Phase,
    SchedulerError,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.schedulers.pilots import lease
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.fleet import Fleet
from pywps_hpc.dispatch.schedulers.pilots.pilot import Pilot

log = logging.getLogger(__name__)


class PilotFollower:
    """Takes over what the batch system says of pilots.

    Args:
        context: of the pilots.
        fleet: which there are.
    """

    def __init__(self, context: Context, fleet: Fleet) -> None:
        self._context, self._fleet = context, fleet

    def take_answer(self, answer: Mapping[str, JobStatus], now: float) -> None:
        """Take over an answer.

        Args:
            answer: to a poll, in which the pilots were asked about.
            now: when that was; whoever is held up since then knows no more for it.
        """
        missing = []
        for pilot in list(self._fleet.alive()):
            status = answer.get(pilot.native)
            if not pilot.native:
                self._look_up(pilot, now)
            elif self._is_another(pilot, pilot.dir.holder):
                continue  # which is asked about by the next poll
            elif status is not None and status.name in ("", pilot.own["name"]):
                pilot.missing_since = 0.0
                self._set(pilot, status)
            elif pilot.native not in self._context.scheduler.unpolled:
                missing.append(pilot)
        if not missing:
            return
        try:
            ended = self._context.scheduler.history([pilot.native for pilot in missing])
        except SchedulerUnavailable:
            return
        for pilot in missing:
            pilot.missing_since = pilot.missing_since or now
            status = ended.get(pilot.native)
            if status is not None and status.name in ("", pilot.own["name"]):
                self._set(pilot, status)
            elif now - pilot.missing_since > self._context.settings.grace:
                lost = "the batch system does not know the pilot any more"
                self._set(pilot, JobStatus(Phase.FINISHED, Outcome.UNKNOWN, detail=lost))

    def _look_up(self, pilot: Pilot, now: float) -> None:
        """Find a pilot whose submission had no clear answer."""
        pilot.missing_since = pilot.missing_since or now
        found = self._context.scheduler.find(pilot.own["name"])
        if found:
            pilot.submitted_as(lease.among(found, pilot.dir.holder))
            pilot.missing_since = 0.0
        elif now - pilot.missing_since > self._context.timing.pilot_shows:
            lost = "the batch system did not accept the pilot"
            self._set(pilot, JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail=lost))

    def _is_another(self, pilot: Pilot, holder: str) -> bool:
        """Whether another batch job than the known one is this pilot; then it takes its place."""
        native, former = lease.other_than(pilot.native, holder), pilot.native
        if not native:
            return False
        pilot.submitted_as(native)
        pilot.status, pilot.missing_since = JobStatus(Phase.RUNNING), 0.0
        log.warning("%s: the batch system has this pilot twice; it is %s", pilot.id, native)
        if former:
            with suppress(SchedulerError):  # it does nothing when it starts
                self._context.scheduler.cancel([former])
        return True

    def _set(self, pilot: Pilot, status: JobStatus) -> None:
        if status.phase is not Phase.FINISHED:
            if status.hopeless and not (pilot.status and pilot.status.hopeless):
                log.warning(
                    "%s: the pilot can never start, jobs are submitted by themselves: %s",
                    pilot.id,
                    status.detail,
                )
                self._fleet.refuse(pilot.own["group"])
                self._context.scheduler.cancel([pilot.native])
            pilot.status = status
            return
        # Whoever starts from now on does nothing.
        if self._is_another(pilot, pilot.dir.take_lease(NOBODY)):
            return
        pilot.ended(status)
        log.info("%s: the pilot has ended: %s", pilot.id, status.detail or status.outcome)
        reason = pilot.refusal()
        if reason:
            log.warning(
                "no warm starts on %s, jobs are submitted by themselves: %s. It takes user "
                "namespaces for plain users and Linux 5.2; [hpc.container] warm = no stops trying.",
                pilot.node(),
                reason,
            )
        elif not pilot.dir.closed.exists() and not pilot.dir.names(TAKEN):
            reason = "it ended before it could take a job"
            log.warning("%s: %s: see %s/job.log", pilot.id, reason, pilot.dir.path)
        if reason:
            self._fleet.refuse(pilot.own["group"])
