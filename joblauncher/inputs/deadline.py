"""How long fetching one input may take, over all of its connections.

A timeout bounds one read, and a server can make a line of a header last for many: a thread looks at
the clock, and shuts the connection down when the time is over.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

from joblauncher.inputs.policy import Bounds, Refused, Stopped

#: Seconds between two looks at the clock.
_INTERVAL = 0.25


class Deadline:
    """When an input must be here, and when the next answer of its server.

    Args:
        bounds: the limits.
        stop: asked again and again whether to give up.
    """

    def __init__(self, bounds: Bounds, stop: Callable[[], bool]) -> None:
        self._bounds, self._stop = bounds, stop
        self._end = time.monotonic() + bounds.total_timeout
        self._answer_by = math.inf

    def left(self) -> float:
        """Seconds until the input must be here.

        Raises:
            Refused: there are none.
            Stopped: the input is no longer needed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise Refused(f"it did not arrive within {self._bounds.total_timeout:g} seconds")
        if self._stop():
            raise Stopped("it is no longer needed")
        return left

    def patience(self) -> float:
        """Seconds to wait for one thing, within what is left.

        Raises:
            Refused, Stopped: as :meth:`left`.
        """
        return min(self._bounds.timeout, self.left())

    @contextlib.contextmanager
    def for_answer(self) -> Iterator[None]:
        """Bound what is done here by the timeout, however many reads it takes. After an error
        :meth:`is_answer_late` tells whether the time was over."""
        self._answer_by = time.monotonic() + self._bounds.timeout
        yield
        self._answer_by = math.inf

    def is_answer_late(self) -> bool:
        """Whether the time for an answer is over."""
        return time.monotonic() >= self._answer_by

    def is_over(self) -> bool:
        """Whether to end a connection, for whatever reason."""
        return time.monotonic() >= self._end or self.is_answer_late() or self._stop()


class Watchdog:
    """Shuts a connection down when its time is over.

    It has a descriptor of its own for the connection: urllib3 passes a socket on to TLS before the
    handshake, and forgets it while the last answer is still read.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._lock, self._done = threading.Lock(), threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def watch(self, connection: socket.socket) -> None:
        """Watch this connection, and no other any more."""
        self.release()
        with self._lock:
            self._socket = connection.dup()

    def release(self) -> None:
        """Watch no connection. It is open until this is called, whoever else closes it."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    def end(self) -> None:
        """Watch no connection ever again."""
        self._done.set()
        self.release()

    def _run(self) -> None:
        while not self._done.wait(_INTERVAL):
            if self._deadline.is_over():
                with self._lock, contextlib.suppress(OSError):
                    if self._socket is not None:
                        self._socket.shutdown(socket.SHUT_RDWR)
