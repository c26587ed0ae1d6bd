"""When the batch system is polled: often while something happens, ever less while nothing does."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pywps_hpc.settings import Settings
from pywps_hpc.timing import Timing


@dataclass(slots=True)
class Pace:
    """The times between two polls of the batch system. All times are seconds, by a clock that
    nobody can set.

    Args:
        settings: of the installation: ``poll_interval``, ``poll_backoff``.
        timing: how long things take.
        is_cheap: whether asking costs nobody anything, so that the pauses need not grow.

    Attributes:
        took: for which the latest poll kept the batch system busy. It is spared for longer then.
    """

    settings: Settings
    timing: Timing
    is_cheap: bool
    took: float = 0.0
    _due: float = 0.0
    _polled: float = 0.0
    _pause: float = 0.0
    _ends_seen: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._pause = self.settings.poll_interval

    def start_anew(self) -> None:
        """Let the next turn poll."""
        self._due = 0.0

    def begin_turn(self) -> bool:
        """Whether this turn polls."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._polled = now
        return True

    def end_turn(self, *, polled: bool, active: bool, ends_expected: bool) -> None:
        """Plan the next poll.

        Args:
            polled: whether this turn polled.
            active: whether a job has changed, or may change soon.
            ends_expected: whether a job runs whose end is told by its own document.
        """
        settings, now = self.settings, time.monotonic()
        if ends_expected:
            self._pause = min(settings.poll_interval, self.timing.hurried_poll)
        elif active:
            self._pause = settings.poll_interval
        elif polled:
            self._pause = min(self._pause * self.timing.poll_growth, self._longest_pause)
        due = now + max(self._pause, self.took * self.timing.poll_share)
        self._due = due if polled else min(self._due, due)

    def hurry(self, seen: frozenset[str], *, told: bool) -> None:
        """Poll soon, for jobs that have told an end.

        Args:
            seen: ids of those whose documents somebody has read.
            told: whether the report of another one tells its end.
        """
        if told or seen - self._ends_seen:
            soon = min(self.timing.hurried_poll, self.settings.poll_interval)
            spared = self.took * (1 + self.timing.poll_share)
            self._due = min(self._due, self._polled + max(soon, spared))
        self._ends_seen = seen

    def due_in(self) -> float:
        """Until the next poll; not positive if it is due."""
        return self._due - time.monotonic()

    @property
    def _longest_pause(self) -> float:
        interval = self.settings.poll_interval
        return interval if self.is_cheap else max(interval, self.settings.poll_backoff)
