"""The threads of a worker."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from pywps_hpc.timing import TIMING

#: Tasks that are done at once as long as they are quick: more threads would only fight over the
#: interpreter, which runs one of them at a time.
AT_ONCE = 2


class Threads:
    """At most so many threads, started as they are needed; none keeps the process from its end.

    Those of :mod:`concurrent.futures` would: Python waits for them when it ends.

    Tasks begin in the order in which they come. Whoever gives them also calls :meth:`relieve` at
    least every :attr:`patience` seconds, by which those that are held back get their turn.
    """

    def __init__(self, most: int) -> None:
        self._most, self._started, self._idle = most, 0, 0
        self._held: deque[Callable[[], None]] = deque()
        self._running: dict[int, float] = {}
        self._changed = threading.Condition()

    def do(self, task: Callable[[], None]) -> None:
        """Have a task done; it has to catch what it raises."""
        with self._changed:
            self._held.append(task)
            self._advance()

    @property
    def patience(self) -> float:
        """Seconds until :meth:`relieve` may have something to do."""
        return TIMING.quick_task if self._held and len(self._running) < self._most else 1.0

    def relieve(self) -> None:
        """Begin tasks that are held back if others turn out to wait."""
        if self._held:
            with self._changed:
                self._advance()

    def _may_begin(self) -> bool:
        if not self._held:
            return False
        since = time.monotonic() - TIMING.quick_task
        return sum(begun > since for begun in self._running.values()) < AT_ONCE

    def _advance(self) -> None:
        """With the lock: find a thread for the next task, if it may begin."""
        if not self._may_begin():
            return
        if self._idle:
            self._changed.notify()
        elif self._started < self._most:
            self._started += 1
            threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        own = threading.get_ident()
        while True:
            with self._changed:
                self._idle += 1
                while not self._may_begin():
                    self._changed.wait()
                self._idle -= 1
                task = self._held.popleft()
                self._running[own] = time.monotonic()
                self._advance()
            task()
            with self._changed:
                del self._running[own]
