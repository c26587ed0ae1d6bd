"""Whether the wall clock can be believed: nothing is deleted by a clock that was just set.

A clock that goes ahead by more than what the time since boot explains is doubted. So is one that is
a good deal later when somebody looks who cannot know how long nobody did: after another boot, or on
another host. It counts as right when it was set back, when it has gone on evenly for a bounded
time, or when an administrator says so.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from joblauncher.shared import status_xml
from pywps_hpc.jobs import JobStore
from pywps_hpc.timing import TIMING, Timing

#: Name of the fact in the job table.
FACT = "clock"


@dataclass(frozen=True)
class Reading:
    """What was seen of the clocks at one moment.

    Attributes:
        wall: seconds since the epoch, by the clock that can be set.
        uptime: seconds by one that cannot.
        place: what ``uptime`` counts from: a boot of a host.
        ahead: seconds by which ``wall`` went ahead of what is explained; 0: it is believed.
        trial: seconds until it is believed all the same.
    """

    wall: float
    uptime: float
    place: str = ""
    ahead: float = 0.0
    trial: float = 0.0

    @property
    def doubt(self) -> str:
        """Why nothing may be deleted because of its age, and until when, as a message for
        the administrator; empty if the clock is believed."""
        if not self.ahead:
            return ""
        return (
            f"the clock jumped ahead by {_span(self.ahead)} to {status_xml.utc(self.wall)}: "
            "nothing is removed because of its age until it is set back, or for "
            f"{_span(self.trial)}; if it is right, run: pywps-hpc purge --clock-is-right"
        )


def follow(
    last: Reading | None, wall: float, uptime: float, place: str, timing: Timing = TIMING
) -> Reading:
    """What is to be thought of the clocks now: pure.

    Args:
        last: the reading before; ``None`` if there was none.
    """
    if last is None:
        return Reading(wall, uptime, place)
    if place == last.place and uptime >= last.uptime:
        passed = uptime - last.uptime
    else:
        passed = min(max(wall - last.wall, 0.0), timing.unwatched)
    step = wall - last.wall - passed
    ahead, trial = last.ahead, last.trial - passed
    if step > timing.clock_leap:
        ahead, trial = ahead + step, timing.clock_trial
    elif step < -timing.clock_leap:
        ahead += step
    if ahead <= timing.clock_leap or trial <= 0:
        ahead = trial = 0.0
    return Reading(wall, uptime, place, ahead, trial)


def look(store: JobStore, wall: float, uptime: float) -> Reading:
    """Look at the clocks, and record what is thought of them.

    Args:
        wall: seconds since the epoch.
        uptime: seconds since this host's boot.
    """
    with store.facts() as facts:
        now = follow(_read(facts.get(FACT, "")), wall, uptime, boot_id())
        facts[FACT] = json.dumps(asdict(now))
    return now


def doubt(store: JobStore) -> str:
    """Why the clock was not believed when somebody looked last; empty if it was."""
    last = _read(store.fact(FACT))
    return last.doubt if last else ""


def confirm(store: JobStore, wall: float, uptime: float) -> None:
    """Believe the clock from now on: an administrator says that it is right."""
    with store.facts() as facts:
        facts[FACT] = json.dumps(asdict(Reading(wall, uptime, boot_id())))


def _span(seconds: float) -> str:
    days, hours = seconds / 86400, seconds / 3600
    return f"{days:.0f} days" if days >= 2 else f"{hours:.1f} h"


def _read(text: str) -> Reading | None:
    try:
        return Reading(**json.loads(text))
    except (ValueError, TypeError):
        return None


def boottime() -> float:
    """Seconds since this host's boot, whatever the clock is set to."""
    # Unlike the monotonic clock it goes on while the host sleeps (clock_gettime(2)).
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """What tells this boot of the kernel from all others (random(4)); empty if nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
