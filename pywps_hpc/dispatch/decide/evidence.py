"""What a job left in its folder, as facts to be judged: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pywps_hpc.jobs.job import Cause


class Left(Enum):
    """What a job left in its folder."""

    OPEN = auto()  # nothing final: accepted, started, or nothing to be seen
    SUCCESS = auto()  # a document of success
    FAILURE = auto()  # a document of failure that says all there is to say
    CUT_SHORT = auto()  # a failure told by one who knows that it ended, but not why


@dataclass(frozen=True)
class Evidence:
    """What the job's folder says.

    Attributes:
        left: the verdict.
        message: of the document, if it failed.
        closed: whether the launcher has written its last report.
        begun: whether any start of the job has got as far as its launcher.
        stopped: whether the launcher was asked to stop.
        stop_signal: by which it was, where no report of it follows; empty: it was not.
        attempt: which start of the job tells all this, from 0.
        out_of_memory: whether the process could get no more memory.
        cause: why it failed, as far as its launcher knows that.
        elapsed: seconds that the process took; ``None`` if not known.
        peak_memory: MiB that its largest process used at most; ``None`` if not known.
        cpu_seconds: of processor time that the process used; ``None`` if not known.
        started, finished: seconds since the epoch; 0 means not known.
    """

    left: Left = Left.OPEN
    message: str = ""
    closed: bool = False
    begun: bool = False
    stopped: bool = False
    stop_signal: str = ""
    attempt: int = 0
    out_of_memory: bool = False
    cause: Cause = Cause.UNKNOWN
    elapsed: float | None = None
    peak_memory: float | None = None
    cpu_seconds: float | None = None
    started: float = 0.0
    finished: float = 0.0
