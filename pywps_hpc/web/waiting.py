"""Clients that wait for the end of their job: how many may, and whether one is still there."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from joblauncher.shared import outcome
from pywps_hpc.jobs import TERMINAL, Job, JobStore, TableUnavailable
from pywps_hpc.spool import JobDir
from pywps_hpc.timing import TIMING
from pywps_hpc.web.server import HAS_LEFT, LISTENS


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
    closed = _closed(environ)
    return lambda: not closed()


def has_left(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """How to find out whether a client has closed its connection: false where that is not known,
    and of one that only a server which stops does not listen to any more."""
    told = environ.get(HAS_LEFT)
    return told if callable(told) else _closed(environ)


def _closed(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """How to find out whether the connection of gunicorn's is closed: false where there is none."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False
    return lambda: _is_closed(connection)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection (recv(2): 0 bytes)."""
    try:
        waiting = select.poll()
        waiting.register(connection, select.POLLIN)
        return bool(waiting.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True


def wait(
    store: JobStore, job: JobDir, row: Job, timeout: float, listens: Callable[[], bool]
) -> Job:
    """Wait for a job's end, or its dismissal, as the job table tells it.

    The launcher's report shows the end first, but that could be forged: it makes the dispatcher
    ask the batch system, and the table be asked more often.

    Args:
        row: of the job, as it was accepted.
        timeout: seconds.
        listens: whether the client still waits.

    Returns:
        The row at the end, or when the time is over or nobody listens.
    """
    deadline = time.monotonic() + timeout
    pause, asked, often = 0.05, 0.0, TIMING.wait_look
    seen = found = None  # each write makes a new file, whose number may have been used before
    while True:
        now = time.monotonic()
        with contextlib.suppress(OSError):
            facts = job.report.lstat()
            found = facts.st_ino, facts.st_mtime_ns
        if found != seen:
            seen = found
            latest = outcome.read(job)
            if latest is not None and latest.is_final():
                often, pause = TIMING.wait_look_soon, 0.05
                with contextlib.suppress(TableUnavailable):
                    store.saw_end(row.id)
        if now - asked >= often:
            asked = now
            with contextlib.suppress(TableUnavailable):  # the job goes on meanwhile
                row = store.get(row.id) or row
        if row.state in TERMINAL or row.is_dismissed or now > deadline or not listens():
            return row
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
