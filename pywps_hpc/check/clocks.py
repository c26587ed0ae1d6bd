"""Whether the clocks of this host, of the database, of the file system and of a node agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.jobs import JobStore, TableUnavailable
from pywps_hpc.jobs import clock as doubts
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING

_REMEDY = "synchronise the clocks of all hosts (chrony, ntpd): timedatectl shows whether they are"


def look(own: Settings, store: JobStore | None) -> Iterator[Finding]:
    """The clocks that can be read from here."""
    others: dict[str, Callable[[], float]] = {"file system": Spool(own.spool).now}
    if store is not None and not store.url.startswith("sqlite"):  # which has this host's
        others["database"] = store.clock
    told = False
    for name, read in others.items():
        before = time.time()
        try:
            there = read()
        except (OSError, TableUnavailable):
            continue  # told by the checks of spool and table
        finding = differs(f"clock of the {name}", there, before, time.time())
        told = told or finding is not None
        if finding:
            yield finding
    doubt = ""
    if store is not None:
        try:
            doubt = doubts.doubt(store)
        except TableUnavailable:
            doubt = ""
    if doubt:
        what, _, remedy = doubt.partition("; if it is right, run: ")
        yield warning("clock", what, f"set it right, or: {remedy}")
    elif not told:
        yield ok("clock", f"agrees with {' and '.join(others)}")


def differs(subject: str, there: float, before: float, after: float) -> Finding | None:
    """A clock that is not ours, held against ours.

    Args:
        subject: what it is called.
        there: what it showed, seconds since the epoch.
        before, after: what ours showed before and after.
    """
    off = there - min(max(there, before), after)
    if abs(off) <= TIMING.clock_tolerance:
        return None
    way = "ahead of" if off > 0 else "behind"
    what = f"is {abs(off):.0f} s {way} this host's"
    return (error if abs(off) > TIMING.clock_far else warning)(subject, what, _REMEDY)
