"""What jobs asked for and used, in groups: counts, times, processor time, memory, failures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    groups: dict[tuple[str, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        groups[tuple(_key(job, name) for name in by)].append(job)
    return [_group(keys, groups[keys]) for keys in sorted(groups)]


def _key(job: Job, name: str) -> str:
    if name == "month":
        return datetime.fromtimestamp(job.created, timezone.utc).strftime("%Y-%m")
    return str(getattr(job, name))


def _group(keys: tuple[str, ...], jobs: Sequence[Job]) -> Group:
    states = Counter(job.state for job in jobs)
    began = [job for job in jobs if job.started and job.submitted]
    queued = sorted(max(0.0, job.started - job.submitted) for job in began)
    ended = [job for job in jobs if job.started and job.finished and job.state in TERMINAL]
    ran = sorted(_elapsed(job) for job in ended)
    cpu = [job.cpu_seconds for job in jobs if job.cpu_seconds is not None]
    memory = sorted(job.peak_memory for job in jobs if job.peak_memory is not None)
    held = [_elapsed(job) * job.cpus for job in ended if job.cpus]
    failed = [job for job in jobs if job.state is State.FAILED]
    causes = Counter(job.cause.value or Cause.SYSTEM.value for job in failed)
    return Group(
        keys=keys,
        jobs=len(jobs),
        succeeded=states[State.SUCCEEDED],
        failed=states[State.FAILED],
        dismissed=states[State.DISMISSED],
        queue_p50=percentile(queued, 50),
        queue_p95=percentile(queued, 95),
        run_p50=percentile(ran, 50),
        run_p95=percentile(ran, 95),
        cpu_asked=sum(held) if held else None,
        cpu_used=sum(cpu) if cpu else None,
        memory_asked=max((job.memory for job in jobs if job.memory), default=None),
        memory_used=memory[-1] if memory else None,
        memory_used_p95=percentile(memory, 95),
        measured=len(cpu),
        causes=dict(sorted(causes.items())),
    )


def _elapsed(job: Job) -> float:
    return max(0.0, job.finished - job.started)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The least of these values, which are in ascending order, that so many per cent of them do
    not exceed (nearest rank); ``None`` of none."""
    if not values:
        return None
    return values[max(1, math.ceil(len(values) * percent / 100)) - 1]
