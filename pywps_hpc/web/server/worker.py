"""A gunicorn worker in which no client holds a thread: not by being slow, silent or gone.

Here are its signals and its end; what happens on its connections is the :class:`.loop.Loop`'s.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

from gunicorn.workers.base import Worker

from pywps_hpc import lifecycle
from pywps_hpc.timing import TIMING
from pywps_hpc.web.server.answers import answer
from pywps_hpc.web.server.framing import LINE
from pywps_hpc.web.server.loop import Loop
from pywps_hpc.web.server.open_connections import OpenConnections
from pywps_hpc.web.server.threads import Threads


class BufferingWorker(Worker):  # type: ignore[misc]
    """See the module. ``threads`` of gunicorn's settings are all that work or wait."""

    def run(self) -> None:
        """Serve until told to stop; then finish what was begun."""
        most = self.app.largest_body
        self._open = OpenConnections(most, min(most, LINE), self.share)
        self._loop = Loop(
            self.sockets,
            self.PIPE,
            self._open,
            Threads(self.cfg.threads),
            partial(answer, self),
            self.log,
        )
        swept = time.monotonic()
        while self.alive and not self.retiring and self.ppid == os.getppid():
            self.notify()
            self._loop.turn()
            if time.monotonic() - swept > TIMING.slow_client_look:
                swept = time.monotonic()
                self._loop.sweep(swept)
        self._finish()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: clients that wait are answered, no new ones taken."""
        self.alive = False

    def init_signals(self) -> None:
        """Two signals more than gunicorn's."""
        self.retiring = False
        super().init_signals()
        signal.signal(signal.SIGUSR2, self._retire)

    @property
    def is_leaving(self) -> bool:
        """Whether clients are told with each answer that their connection is closed after it; one
        who has not been told may have sent the next request already, and gets an answer to it."""
        return self.retiring or not self.alive

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """SIGUSR1: log files are opened anew."""
        lifecycle.reopen_logs_aside()

    def _retire(self, sig: int, frame: Any) -> None:
        """SIGUSR2: others take new clients; those that are here get their answers.

        Log files may have been moved away before: a reload is also an order to open them anew.
        """
        self.retiring = True
        lifecycle.reopen_logs_aside()

    def _finish(self) -> None:
        drain = time.monotonic() + self.app.drain
        self._loop.stop_listening()
        while self._open and self.retiring and self.alive and time.monotonic() < drain:
            self._finish_turn()
        self.alive = False
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while self._open and time.monotonic() < deadline:
            self._finish_turn()

    def _finish_turn(self) -> None:
        """One turn; a connection that is idle is closed, unless a request may be on its way."""
        self.notify()
        # First what has come in: this process may have stood still for longer than the client.
        self._loop.turn()
        now = time.monotonic()
        self._open.close_idle(now, TIMING.last_request)
        self._loop.sweep(now)
