"""The threads of a worker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Threads:
    """At most so many threads, started as they are needed; none keeps the process from its end.

    Those of :mod:`concurrent.futures` would: Python waits for them when it ends.
    """

    def __init__(self, most: int) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._most, self._started = most, 0
        self._undone = 0
        self._lock = threading.Lock()

    def do(self, task: Callable[[], None]) -> None:
        """Have a task done; it has to catch what it raises."""
        with self._lock:
            self._undone += 1
            start = self._started < min(self._undone, self._most)
            self._started += start
        self._tasks.put(task)
        if start:
            threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._tasks.get()()
            with self._lock:
                self._undone -= 1
