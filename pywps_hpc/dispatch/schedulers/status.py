"""Where a job stands in a batch system, and how it ended: one answer, in the same terms for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Phase(Enum):
    """Where a job stands in the batch system."""

    QUEUED = "queued"  # waits for resources or its turn
    HELD = "held"  # waits until somebody releases it
    RUNNING = "running"
    SUSPENDED = "suspended"  # started, then stopped; goes on when resumed
    FINISHED = "finished"  # over; the outcome says how


class Outcome(Enum):
    """Why a finished job ended, as far as the batch system knows."""

    EXITED = "exited"  # by itself, see exit_code (0 is the only good one)
    SIGNALLED = "signalled"  # killed by a signal of its own, see signal
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    NODE_FAILURE = "node failure"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    COULD_NOT_START = "could not start"
    UNKNOWN = "unknown"  # over, but the batch system does not say how


@dataclass(frozen=True)
class JobStatus:
    """One answer about one job.

    Attributes:
        phase: where the job stands.
        outcome: why it ended; ``None`` unless ``phase`` is ``FINISHED``.
        exit_code: the job script's exit code, 0 to 255; ``None`` where not known.
        signal: number of the signal that ended it; ``None`` where none did.
        detail: the scheduler's own text (state, reason), for the user and the log.
        waits: why a waiting job waits, for its client: a clause that follows "it waits: …"; empty
            where the batch system does not say.
        hopeless: a waiting job that can never start as it stands (e.g. ``PartitionTimeLimit``).
        maintenance: a waiting job whose queue the administrators have closed for now.
        by_signal: suspended only as far as somebody sent the job a stop signal: the batch system
            does not know whether it reached all processes, or any.
        restarts: how often the batch system itself started the job anew.
        elapsed: seconds from its latest start to its end, without those for which it was suspended;
            ``None`` where not told.
        cpu_seconds: of processor time, where whoever supervised the job measured it; ``None`` where
            not.
        name: the job's name, for an element that of its array; empty where the answer lacks it.
            Ids are used again: the name distinguishes a job from an earlier one of the same id.
    """

    phase: Phase
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    waits: str = ""
    hopeless: bool = False
    maintenance: bool = False
    by_signal: bool = False
    restarts: int = 0
    elapsed: int | None = None
    cpu_seconds: float | None = None
    name: str = ""

    @classmethod
    def ended(cls, end: Mapping[str, Any], **more: Any) -> JobStatus:
        """Of a job that has ended, as the program that supervised it wrote that down.

        Args:
            end: ``outcome`` and ``detail``, and ``exit_code``, ``signal`` and ``cpu_seconds`` where
                there are any.
            more: further fields.
        """
        return cls(
            Phase.FINISHED,
            Outcome(end["outcome"]),
            exit_code=end.get("exit_code"),
            signal=end.get("signal"),
            detail=end["detail"],
            cpu_seconds=end.get("cpu_seconds"),
            **more,
        )


def merge(*answers: Mapping[str, JobStatus]) -> dict[str, JobStatus]:
    """Later answers win: ``merge(poll, history)`` keeps what only one of them knows."""
    merged: dict[str, JobStatus] = {}
    for answer in answers:
        merged.update(answer)
    return merged
