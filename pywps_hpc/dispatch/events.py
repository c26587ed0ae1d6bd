"""Wait for one of two events, or to be woken."""

from __future__ import annotations

import time
from typing import Protocol

from pywps_hpc.jobs.wakeup import Listener


class Event(Protocol):
    """What is waited for: a :class:`threading.Event`, or one that a signal sets
    (:class:`pywps_hpc.lifecycle.Signalled`)."""

    def is_set(self) -> bool:
        """Whether it is set."""
        ...

    def wait(self, timeout: float, /) -> bool:
        """Until it is set, or these seconds are over; whether it is set."""
        ...


class Either:
    """An event that is set when one of two is; the second is noticed a little later.

    Attributes:
        woken: whether it was the listener that ended the latest wait.
    """

    def __init__(self, first: Event, second: Event | None, often: float) -> None:
        self._first, self._second, self._often = first, second, often
        self.woken = False

    def is_set(self) -> bool:
        """Whether one of them is."""
        return self._first.is_set() or (self._second is not None and self._second.is_set())

    def wait(self, seconds: float, listener: Listener | None = None) -> bool:
        """Until one of them is set, or the time is over, or somebody wakes the listener; then both
        events are noticed a little later. Whether one of them is set."""
        deadline, self.woken = time.monotonic() + seconds, False
        while not self.is_set() and (left := deadline - time.monotonic()) > 0:
            if listener is not None:
                if self.woken:
                    break
                self.woken = listener.wait(min(left, self._often))
                continue
            self._first.wait(left if self._second is None else min(left, self._often))
        return self.is_set()
