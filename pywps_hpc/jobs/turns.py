"""A lock that threads get in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """For one thread at a time. Who has given it back goes to the end of the queue: threads that
    come often keep nobody else waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, timeout: float) -> bool:
        """Wait for one's turn; false if it did not come within so many seconds."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=max(0.0, timeout)):
            return True
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return False
        return True  # it came right now

    def give_back(self) -> None:
        """Let the next one have its turn."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
