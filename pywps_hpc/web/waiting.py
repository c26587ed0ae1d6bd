"""Clients that wait for the end of their job: how many may, and whether one is still there."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Key of a WSGI environment: a function that tells whether to go on waiting for this client. Our
#: own server sets it; it says no, too, when the server is about to stop.
LISTENS = "pywps_hpc.listens"


class Waiters:
    """How many requests of one server process wait at once.

    Args:
        most: of them; a further one is answered at once.
    """

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most) if most else None

    @contextlib.contextmanager
    def place(self, wanted: bool = True) -> Iterator[bool]:
        """Hold a place as long as the context lasts; whether there was one."""
        got = wanted and self._places is not None and self._places.acquire(blocking=False)
        try:
            yield got
        finally:
            if got and self._places is not None:
                self._places.release()


def listens(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """How to find out whether a client still waits for its answer.

    Of other servers than ours and gunicorn's nothing can be known: its client always does.
    """
    told = environ.get(LISTENS)
    if callable(told):
        return told  # type: ignore[no-any-return]
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: True
    return lambda: not _is_closed(connection)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection (recv(2): 0 bytes)."""
    try:
        waiting = select.poll()
        waiting.register(connection, select.POLLIN)
        return bool(waiting.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True
