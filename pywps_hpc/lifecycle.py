"""What the parts that run until they are stopped share: signals, readiness, log files.

SIGHUP asks for a reload (daemon(7), "New-Style Daemons"), SIGUSR1 for log files to be opened anew.
Until a part can do that these signals are held back, not lost: their default is to end the process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
from collections.abc import Callable

#: Variable with the number of the file descriptor to which a part writes when it is ready.
READY = "PYWPS_HPC_READY_FD"
#: Exit codes of a part: a mistake that another start would not mend, here or in the command line
#: (click's), and an accident (sysexits.h, EX_SOFTWARE).
MISTAKES, ACCIDENT = (1, 2), 70
_HELD = {signal.SIGHUP, signal.SIGUSR1}


class Signalled:
    """An event that a signal's handler sets.

    A :class:`threading.Event` is none: a handler runs within whatever its thread was doing, and
    within a wait for the event it would wait for ever for the event's own lock.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_set = False

    def set(self) -> None:
        """Set it; whoever waits goes on."""
        self._is_set = True
        with contextlib.suppress(BlockingIOError):  # it is full, so nobody sleeps
            os.write(self._writer, b"1")

    def clear(self) -> None:
        """Take it back; one that is set meanwhile stays."""
        self._is_set = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    def is_set(self) -> bool:
        """Whether it is."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Until it is set, or the time is over; whether it is set."""
        if not self._is_set:
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            poll.poll(max(0.0, seconds) * 1000)
        return self._is_set


def hold_signals() -> None:
    """Let SIGHUP and SIGUSR1 wait, across fork and exec, until :func:`release_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def on_hangup(handler: Callable[[], None]) -> None:
    """Call this at each SIGHUP from now on, and for one that waited."""
    signal.signal(signal.SIGHUP, lambda *_: handler())
    release_signals()


def release_signals() -> None:
    """Let them through: there are handlers now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def announce_ready() -> None:
    """Tell whoever started this part, if they want to know, that it does its work now."""
    number = os.environ.pop(READY, "")
    if number.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(number), b"1")
            os.close(int(number))


def reopen_logs() -> None:
    """Go on in a new file where a log file was moved away (logrotate(8))."""
    known = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    for logger in (logging.root, *known):
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                with handler.lock or contextlib.nullcontext():
                    stream, handler.stream = handler.stream, None
                    if stream is not None:
                        stream.close()  # the next message opens the file anew


def reopen_logs_aside() -> None:
    """The same for a signal's handler, which may have interrupted a message."""
    threading.Thread(target=reopen_logs, daemon=True).start()
