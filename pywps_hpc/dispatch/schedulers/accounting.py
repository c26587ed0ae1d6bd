"""What a batch system's accounting says that ended jobs used, in the same terms for all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accounted:
    """What the accounting says of one job. ``None``: not known.

    Attributes:
        name: the job's; for an element that of its array.
        queued: seconds from its submission to its start.
        elapsed: seconds from its start to its end.
        cpu_seconds: of processor time, of all its processes on all its nodes.
        peak_memory: MiB that its steps had at most.
    """

    name: str
    queued: float | None = None
    elapsed: float | None = None
    cpu_seconds: float | None = None
    peak_memory: float | None = None
