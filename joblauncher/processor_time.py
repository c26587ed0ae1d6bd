"""Processor time of processes, to the microsecond (getrusage(2)).

What tells it otherwise, times(2) and proc(5), counts in hundredths of a second and rounds down: of
a process that takes some milliseconds nothing is left.
"""

from __future__ import annotations

import resource


def own() -> float:
    """Seconds of this process."""
    return _seconds(resource.RUSAGE_SELF)


def of_children() -> float:
    """Seconds of the children that this process has waited for, and of those of theirs."""
    return _seconds(resource.RUSAGE_CHILDREN)


def whole() -> float:
    """Seconds of this process and of the children that it has waited for."""
    return own() + of_children()


class Account:
    """What a process that forks jobs has used for them, with its children that are no job.

    A fork cannot be told what it costs. So each job is told what those before it have cost since
    the last one was told, and no second is told twice.
    """

    def __init__(self) -> None:
        self._told = whole()

    def settle(self) -> float:
        """Seconds since the last call, or the beginning."""
        now = whole()
        spent, self._told = now - self._told, now
        return spent


def _seconds(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
