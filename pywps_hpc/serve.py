"""``pywps-hpc serve``: web server and dispatcher as one command.

A small supervisor: both run as children, one that dies is started again, and a signal stops both.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LOGGER = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # prctl(2)
#: Seconds after SIGTERM until a child is killed.
STOP_GRACE = 20.0
#: Seconds that a child must live before its death counts as an accident rather than a failed start.
SETTLED = 5.0


@dataclass
class Child:
    """One supervised process.

    Attributes:
        name: for the log.
        arguments: what follows ``pywps-hpc``.
    """

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    begun: float = field(default=0.0)

    def start(self) -> None:
        """Start it; it ends when this supervisor ends, however that happens."""
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pywps_hpc", *self.arguments],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        LOGGER.info("%s started, pid %s", self.name, self.process.pid)

    def poll(self) -> int | None:
        """Its exit code, or ``None`` while it lives."""
        return self.process.poll() if self.process else None

    def stop(self) -> None:
        """Ask it to end."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def collect(self, deadline: float) -> None:
        """Wait for its end, and make it end at the deadline."""
        if self.process:
            try:
                self.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                LOGGER.warning("%s does not end and is killed", self.name)
                self.process.kill()
                self.process.wait()


def supervise(children: Sequence[Child], ready: Callable[[], bool]) -> int:
    """Keep the children running until SIGTERM or SIGINT.

    Args:
        children: the others are started once the first is ready.
        ready: whether it is.

    Returns:
        0 after a signal; a child's own exit code if it fails right after its start.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    code = 0
    waiting = list(children)
    waiting.pop(0).start()
    while not stop.wait(0.1):
        if waiting and ready():
            for child in waiting:
                child.start()
            waiting.clear()
        for child in children:
            ended = child.poll()
            if ended is None:
                continue
            if ended > 0 and time.monotonic() - child.begun < SETTLED:
                LOGGER.error("%s cannot start (exit code %s)", child.name, ended)
                code = ended
                stop.set()
            else:
                LOGGER.warning("%s ended (%s) and is started again", child.name, ended)
                child.start()
    for child in children:
        child.stop()
    deadline = time.monotonic() + STOP_GRACE
    for child in children:
        child.collect(deadline)
    return code


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
