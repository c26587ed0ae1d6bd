"""Jobs that the batch system would not take for now: when they are offered again.

Jobs with the same settings have the same script but for their ids, so what keeps one of them out
will mostly keep out the others. They wait together, for pauses that grow, while jobs with other
settings, and newcomers, are offered without delay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from pywps_hpc.jobs.job import InLine, Job
from pywps_hpc.timing import TIMING, Timing

#: Single jobs in a row that were not taken, after which the others are not offered before the next
#: pause has passed: too many for all of them to have a trouble of their own.
ENOUGH = 3


#: Groups that are remembered: jobs may each ask for something else.
_MOST_GROUPS = 1000


@dataclass
class Group:
    """Jobs with the same settings.

    Attributes:
        size: most of them to offer as one array: fewer after one that was not taken, for the limit
            may be on its size; more again after one that was.
        pause: seconds until those that wait are offered again.
        offered: when they were offered last, in seconds since the epoch.
        waited: job id -> seconds for which it has waited. They are summed up over the pauses, so
            that a clock that is set takes no job's time away.
        tries: job id -> how often it was offered by itself.
    """

    size: int
    pause: float = TIMING.first_deferral
    offered: float = 0.0
    waited: dict[str, float] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    timing: Timing = TIMING

    def is_due(self, now: float) -> bool:
        """Whether those that wait may be offered again; a negative age is none."""
        return not 0 <= now - self.offered < self.pause

    def candidates(self, jobs: Iterable[InLine], now: float) -> list[InLine]:
        """Those to offer now: newcomers, then those that were offered least often."""
        due = self.is_due(now)
        chosen = [job for job in jobs if due or job.id not in self.waited]
        return sorted(chosen, key=lambda job: (job.id in self.waited, self.tries.get(job.id, 0)))

    def postpone(self, jobs: Sequence[Job], now: float) -> None:
        """These were not taken: they wait with the others."""
        if not self.waited:
            self.offered, self.pause = now, self.timing.first_deferral
        elif self.is_due(now):
            passed = min(max(now - self.offered, 0.0), self.pause + self.timing.longest_deferral)
            for job_id in self.waited:
                self.waited[job_id] += passed
            self.offered, self.pause = now, min(2 * self.pause, self.timing.longest_deferral)
        for job in jobs:
            self.waited.setdefault(job.id, 0.0)

    def forget(self, job_ids: Iterable[str]) -> None:
        """These wait no longer."""
        for job_id in job_ids:
            self.waited.pop(job_id, None)
            self.tries.pop(job_id, None)


class Deferral:
    """All jobs that wait for the batch system to take them.

    Args:
        size: most jobs in one array; 1: there are none.
        patience: seconds after which a reason that is not known to pass is taken for final.
    """

    def __init__(self, size: int, patience: float, timing: Timing = TIMING) -> None:
        self._timing = timing
        self._size = size
        self._patience = patience
        self._groups: dict[str, Group] = {}

    def is_due(self, now: float) -> bool:
        """Whether some that wait may be offered again."""
        return any(group.waited and group.is_due(now) for group in self._groups.values())

    def group(self, key: str) -> Group:
        """The jobs with these settings."""
        return self._groups.setdefault(key, Group(self._size, timing=self._timing))

    def is_over(self, job: Job) -> bool:
        """Whether this job has waited long enough for a reason that may not pass."""
        return any(
            group.waited.get(job.id, -1.0) >= self._patience for group in self._groups.values()
        )

    def taken(self, key: str, count: int) -> None:
        """So many were taken at once: more may be, next time."""
        group = self.group(key)
        group.size = min(self._size, max(group.size, 2 * count))

    def forget(self, job_ids: Iterable[str]) -> None:
        """These jobs are no longer accepted only."""
        gone = list(job_ids)
        for group in self._groups.values():
            group.forget(gone)

    def keep(self, job_ids: Collection[str]) -> None:
        """No other jobs wait; of many groups those are forgotten in which none does."""
        for group in self._groups.values():
            group.forget([job_id for job_id in group.waited if job_id not in job_ids])
        if len(self._groups) > _MOST_GROUPS:
            self._groups = {key: one for key, one in self._groups.items() if one.waited}
