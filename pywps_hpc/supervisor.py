"""``pywps-hpc serve``: web server and dispatcher as one command.

A small supervisor. Both run as children that say when they are ready, however long that takes. A
mistake that the first start brings to light ends the service; a child that dies later, or is
killed, is started again after a pause. SIGTERM stops both, SIGHUP lets both reload.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joblauncher.shared import prctl
from pywps_hpc import lifecycle
from pywps_hpc.settings import SettingsError
from pywps_hpc.timing import TIMING

LOGGER = logging.getLogger(__name__)


@dataclass
class Child:
    """One supervised process.

    Attributes:
        name: for the log.
        arguments: what follows ``pywps-hpc``.
        is_ready: whether it has said that it does its work.
        has_worked: whether it, or one before it, has.
    """

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    is_ready: bool = False
    has_worked: bool = False
    begun: float = 0.0
    due: float = 0.0
    pause: float = TIMING.restart
    _ready: int = -1

    def start(self) -> None:
        """Start it; it ends when this supervisor ends, however that happens."""
        self._forget_ready()
        self.begun, self.is_ready = time.monotonic(), False
        self._ready, announce = os.pipe()
        os.set_blocking(self._ready, False)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pywps_hpc", *self.arguments],
                stdin=subprocess.DEVNULL,
                env=os.environ | {lifecycle.READY: str(announce)},
                pass_fds=[announce],
                start_new_session=True,
                preexec_fn=_prepare,
            )
        finally:
            os.close(announce)
        LOGGER.info("%s started, pid %s", self.name, self.process.pid)

    def watch(self) -> int | None:
        """See how it is; its exit code, or ``None`` while it lives or waits for its next start."""
        if self._ready >= 0:
            with contextlib.suppress(BlockingIOError):
                self.is_ready = os.read(self._ready, 1) != b""
                self.has_worked |= self.is_ready
                self._forget_ready()
        if self.process is None:
            if self.due and time.monotonic() >= self.due:
                self.start()
            return None
        return self.process.poll()

    def start_later(self, ended: int) -> None:
        """Start it again after a pause that grows while it does not last."""
        if time.monotonic() - self.begun > TIMING.longest_restart:
            self.pause = TIMING.restart
        LOGGER.warning("%s ended (%s), restarting in %g s", self.name, ended, self.pause)
        self.process, self.due = None, time.monotonic() + self.pause
        self.pause = min(2 * self.pause, TIMING.longest_restart)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def collect(self, deadline: float) -> None:
        """Wait for its end, and make it end at the deadline."""
        if self.process:
            try:
                self.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                LOGGER.warning("%s does not stop and is killed", self.name)
                self.process.kill()
                self.process.wait()
        self._forget_ready()

    def _forget_ready(self) -> None:
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1


def supervise(children: Sequence[Child], check: Callable[[], object]) -> int:
    """Run children until a signal or a mistake ends them.

    Args:
        children: each is started once the one before it is ready.
        check: raises :class:`SettingsError` if the configuration, read anew, cannot be used.

    Returns:
        0 after a signal; a child's own exit code if it could never be started.
    """
    stop, hangup = lifecycle.Signalled(), lifecycle.Signalled()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    lifecycle.on_hangup(hangup.set)
    code, waiting = 0, list(children)
    waiting.pop(0).start()
    while not stop.wait(0.1):
        if hangup.is_set():
            hangup.clear()
            _reload(children, check)
        if waiting and children[-len(waiting) - 1].is_ready:
            waiting.pop(0).start()
        for child in children:
            ended = child.watch()
            if ended is None:
                continue
            if ended in lifecycle.MISTAKES and not child.has_worked:
                code = ended
                stop.set()
            else:
                child.start_later(ended)
    for child in children:
        child.send(signal.SIGTERM)
    deadline = time.monotonic() + TIMING.stop_grace
    for child in children:
        child.collect(deadline)
    return code


def _reload(children: Sequence[Child], check: Callable[[], object]) -> None:
    """Pass a reload on, if it can succeed; log files are opened anew in any case."""
    lifecycle.reopen_logs()
    try:
        check()
    except SettingsError as error:
        LOGGER.error("not reloaded, the previous settings stay: %s", error)
        number = signal.SIGUSR1
    else:
        LOGGER.info("reloading")
        number = signal.SIGHUP
    for child in children:
        child.send(number)


def _prepare() -> None:
    """In the child before it is Python: a reload waits until it can take it."""
    prctl.end_with_parent(signal.SIGTERM)
    lifecycle.hold_signals()
