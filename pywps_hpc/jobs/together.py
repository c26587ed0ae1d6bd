"""Threads that want to do the same at the same time: one of them does it for all.

What costs most of a transaction is that it has to be on disk, and that others wait for it. A thread
that comes while another one is at it waits, and is done along with all that have come by then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from pywps_hpc.errors import HpcError

_T = TypeVar("_T")


class Late(HpcError):
    """Nobody has begun with it in time, and nobody will."""


class Entry(Generic[_T]):
    """What one thread wants to be done.

    Attributes:
        what: to do.
        is_done: whether it was done, well or not. One that is not, though its turn has come, has
            to be done by its own thread alone.
        error: why it could not be done; ``None``: it could.
    """

    def __init__(self, what: _T) -> None:
        self.what = what
        self.is_done, self.error = False, None  # type: tuple[bool, BaseException | None]
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()

    def done(self, error: BaseException | None = None) -> None:
        """It was done, or cannot be."""
        self.is_done, self.error = True, error


class Together(Generic[_T]):
    """See the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_led = False
        self._waiting: deque[Entry[_T]] = deque()

    def do(
        self,
        what: _T,
        lead: Callable[[Entry[_T], Callable[[int], list[Entry[_T]]]], None],
        timeout: float,
    ) -> Entry[_T]:
        """Have it done, by this thread or by another one.

        Args:
            what: to do.
            lead: does this entry, and those which the function that it is given takes from all
                that wait, at most so many. It tells each what became of it.
            timeout: seconds until somebody has begun.

        Returns:
            What became of it.

        Raises:
            Late: nobody has begun in time.
            Exception: what ``lead`` raised in this thread.
        """
        entry = Entry(what)
        with self._lock:
            if self._is_led:
                self._waiting.append(entry)
            else:
                self._is_led = entry.leads = True
        if not entry.leads and not entry.turn.acquire(timeout=max(0.0, timeout)):
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)
                    raise Late
            entry.turn.acquire()  # somebody has begun right now
        if entry.leads:
            self._lead(entry, lead)
        return entry

    def _lead(
        self,
        entry: Entry[_T],
        lead: Callable[[Entry[_T], Callable[[int], list[Entry[_T]]]], None],
    ) -> None:
        taken: list[Entry[_T]] = []

        def take(most: int) -> list[Entry[_T]]:
            with self._lock:
                found = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            taken.extend(found)
            return found

        try:
            lead(entry, take)
        finally:
            for other in taken:
                other.turn.release()
            with self._lock:
                if self._waiting:
                    following = self._waiting.popleft()
                    following.leads = True
                    following.turn.release()
                else:
                    self._is_led = False
