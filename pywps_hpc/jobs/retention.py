"""Which ended jobs go, and when: decided from their rows alone, without a look at a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pywps_hpc.jobs.job import TERMINAL, Job
from pywps_hpc.settings import Retention


@dataclass(frozen=True)
class Expired:
    """A job that goes.

    Attributes:
        job: as last read.
        reason: for the log.
    """

    job: Job
    reason: str


def expires(job: Job, retention: Retention) -> float | None:
    """When a job and all that is left of it goes because of its age.

    Returns:
        Seconds since the epoch; ``None`` for a job that has not ended, or that has no such end. It
        may go earlier where there is a limit of size.
    """
    if job.state not in TERMINAL or not retention.age:
        return None
    return (job.finished or job.changed) + retention.age


def is_expired(job: Job, retention: Retention, now: float) -> bool:
    """Whether a job counts as unknown by now, even if it has not been removed yet."""
    end = expires(job, retention)
    return end is not None and end <= now


def choose(
    ended: Iterable[Job], retention: Retention, *, total: int, now: float
) -> Iterator[Expired]:
    """The jobs that go, oldest first.

    Args:
        ended: jobs that are over, in the order in which they ended.
        retention: how long they are kept.
        total: bytes of them all.
        now: seconds since the epoch.
    """
    for job in ended:
        if job.state not in TERMINAL:
            continue
        if is_expired(job, retention, now):
            yield Expired(job, "its age limit is reached")
        elif retention.size and total > retention.size:
            yield Expired(job, "the size limit is reached")
        else:
            continue
        total -= job.size or 0
