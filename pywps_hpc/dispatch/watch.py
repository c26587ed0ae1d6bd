"""Whether the batch system answers: asked at start, when something fails, and now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pywps_hpc.dispatch.schedulers.base import Scheduler, SchedulerError
from pywps_hpc.jobs import Reach
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing


class Watch:
    """What is known of the way to the batch system.

    Args:
        settings: of the installation.
        scheduler: the batch system.
        clock: seconds since the epoch.

    Attributes:
        reach: whether it answers, and since when.
        trouble: why it does not, and what to do, for the administrator; empty if it does.
    """

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        clock: Callable[[], float],
        timing: Timing = TIMING,
    ) -> None:
        self.reach = Reach(settings.scheduler)
        self.trouble = ""
        self._settings, self._scheduler, self._clock = settings, scheduler, clock
        self._interval = timing.probe
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether it is time to ask: at once while it does not answer."""
        return not self.reach.reachable or time.monotonic() >= self._due

    def ask(self) -> None:
        """Ask now."""
        before, system, self.trouble = self.reach, self.reach.system, ""
        try:
            system = self._scheduler.probe()
        except SchedulerError as error:
            self.trouble = self._advised(error)
        reachable = not self.trouble
        since = before.since if before.reachable is reachable else self._clock()
        self.reach = Reach(system, reachable, since)
        self._due = time.monotonic() + self._interval

    def _advised(self, error: SchedulerError) -> str:
        """What is wrong, in one line, with the key that may mend it."""
        problem = " ".join((str(error) or type(error).__name__).split())
        if self._settings.channel == "local":
            for name, value in self._settings.command_environment.items():
                if value.startswith("/") and ":" not in value and not Path(value).exists():
                    advice = f"[hpc] command_environment: {name}={value}: there is no such file"
                    return f"{problem} — {advice}"
        answer = f"{problem}\n{error.output}".lower()
        advice = next((advice for sign, advice in self._scheduler.remedies if sign in answer), "")
        return f"{problem} — {advice}" if advice and "[hpc]" not in problem else problem
