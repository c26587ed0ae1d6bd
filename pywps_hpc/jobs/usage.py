"""What jobs asked for and used, in groups: counts, times, processor time, memory, failures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pywps_hpc.jobs.job import TERMINAL, Cause, Job, State

#: By what jobs are put into groups.
KEYS = ("process", "owner", "account", "month")


@dataclass(frozen=True)
class Group:
    """Jobs that have something in common. ``None``: not known of any of them.

    Attributes:
        keys: the values of the keys, in their order.
        jobs: how many there are, of which so many ``succeeded``, ``failed`` and were ``dismissed``;
            the others have not ended.
        queue_p50, queue_p95: seconds from the submission to the batch system until the start.
        run_p50, run_p95: seconds from start to end.
        cpu_asked: core seconds that they held: cores by run time.
        cpu_used: processor seconds of those of which it is known.
        memory_asked, memory_used: MiB of the one that had most.
        memory_used_p95: MiB that 95 % of them did not exceed.
        measured: of how many it is known what they used.
        causes: why jobs failed, with how many.
    """

    keys: tuple[str, ...]
    jobs: int
    succeeded: int
    failed: int
    dismissed: int
    queue_p50: float | None
    queue_p95: float | None
    run_p50: float | None
    run_p95: float | None
    cpu_asked: float | None
    cpu_used: float | None
    memory_asked: int | None
    memory_used: float | None
    memory_used_p95: float | None
    measured: int
    causes: dict[str, int]


def grouped(jobs: Iterable[Job], by: Sequence[str]) -> list[Group]:
    """The jobs in groups, in the order of their keys.

    Args:
        by: some of :data:`KEYS`; none: all jobs are one group. A month is that in which a job was
            accepted (UTC), as ``2026-11``.
    """
    groups: dict[tuple[str, ...], _Sums] = defaultdict(_Sums)
    for job in jobs:
        groups[tuple(_key(job, name) for name in by)].add(job)
    return [groups[keys].group(keys) for keys in sorted(groups)]


def _key(job: Job, name: str) -> str:
    if name == "month":
        return datetime.fromtimestamp(job.created, timezone.utc).strftime("%Y-%m")
    return str(getattr(job, name))


@dataclass
class _Sums:
    """What is kept of the jobs of a group: a few numbers of each, since there may be millions."""

    states: Counter[State] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    queued: list[float] = field(default_factory=list)
    ran: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    asked: int = 0

    def add(self, job: Job) -> None:
        self.states[job.state] += 1
        if job.state is State.FAILED:
            self.causes[job.cause.value or Cause.SYSTEM.value] += 1
        if job.started and job.submitted:
            self.queued.append(max(0.0, job.started - job.submitted))
        if job.started and job.finished and job.state in TERMINAL:
            self.ran.append(_elapsed(job))
            if job.cpus:
                self.held.append(_elapsed(job) * job.cpus)
        if job.cpu_seconds is not None:
            self.cpu.append(job.cpu_seconds)
        if job.peak_memory is not None:
            self.used.append(job.peak_memory)
        self.asked = max(self.asked, job.memory)

    def group(self, keys: tuple[str, ...]) -> Group:
        for values in (self.queued, self.ran, self.used):
            values.sort()
        return Group(
            keys=keys,
            jobs=sum(self.states.values()),
            succeeded=self.states[State.SUCCEEDED],
            failed=self.states[State.FAILED],
            dismissed=self.states[State.DISMISSED],
            queue_p50=percentile(self.queued, 50),
            queue_p95=percentile(self.queued, 95),
            run_p50=percentile(self.ran, 50),
            run_p95=percentile(self.ran, 95),
            cpu_asked=sum(self.held) if self.held else None,
            cpu_used=sum(self.cpu) if self.cpu else None,
            memory_asked=self.asked or None,
            memory_used=self.used[-1] if self.used else None,
            memory_used_p95=percentile(self.used, 95),
            measured=len(self.cpu),
            causes=dict(sorted(self.causes.items())),
        )


def _elapsed(job: Job) -> float:
    return max(0.0, job.finished - job.started)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The least of these values, which are in ascending order, that so many per cent of them do
    not exceed (nearest rank); ``None`` of none."""
    if not values:
        return None
    return values[max(1, math.ceil(len(values) * percent / 100)) - 1]
