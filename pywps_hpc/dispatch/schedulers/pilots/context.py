"""What the parts of a scheduler with pilots share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing


@dataclass(frozen=True)
class Context:
    """The surroundings of pilots.

    Attributes:
        scheduler: the batch system in which they are jobs.
        settings: of the installation.
        clock: seconds, never set back.
        timing: durations.
    """

    scheduler: Scheduler
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    timing: Timing = TIMING
