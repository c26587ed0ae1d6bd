"""gunicorn's master: workers that import for as long as they need, and reloads that drop nothing.

gunicorn itself kills a worker that imports for longer than its timeout, starts one that cannot
import again and again, and at a reload ends the old workers before the new ones can serve. Here
each worker says whether it has come up, by a file that it shares with the master.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import Any

from gunicorn.arbiter import Arbiter

from pywps_hpc import lifecycle
from pywps_hpc.errors import HpcError
from pywps_hpc.timing import TIMING
from pywps_hpc.web.server.shares import Shares

LOGGER = logging.getLogger(__name__)

#: What a worker leaves when it has come up; otherwise why it did not.
_UP = "\0up"
#: Reloads whose workers may be finishing at once; those of earlier ones are ended.
GENERATIONS = 4


class StartFailed(HpcError):
    """No worker could ever come up; the message is one line for the administrator."""


class Boot:
    """How a worker comes up, as the worker tells its master."""

    def __init__(self) -> None:
        self._file = os.memfd_create("pywps-hpc-boot")

    def report(self, message: str = _UP) -> None:
        """In the worker: that it is up, or why it is not."""
        os.pwrite(self._file, message.encode(errors="replace")[:4000], 0)
        os.kill(os.getppid(), signal.SIGCHLD)  # which lets the master look

    @property
    def message(self) -> str:
        """What it reported; empty if nothing yet."""
        return os.pread(self._file, 4000, 0).decode(errors="replace")

    @property
    def is_up(self) -> bool:
        """Whether it can serve."""
        return self.message == _UP

    def close(self) -> None:
        """Give it back."""
        os.close(self._file)


class Master(Arbiter):  # type: ignore[misc]
    """See the module. Its application's ``renew`` re-reads the configuration.

    Workers have attributes more: ``boot``, their ``share`` of the connections, when they were
    ``born``, and ``retired`` once they take no new requests.

    Attributes:
        failed: why no worker could ever come up; empty if that is not so.
        shares: of all workers.
    """

    # No exit code, for each is one byte: what a worker's end means is decided here.
    WORKER_BOOT_ERROR = APP_LOAD_ERROR = 256 + 3

    def __init__(self, app: Any) -> None:
        self.failed, self.shares = "", Shares()
        self._is_up = False
        self._wants_reload = False
        self._newer: int | None = None  # than this age: the workers of the reload under way
        self._trouble: str | None = None  # why it cannot succeed
        self._pause, self._not_before = TIMING.restart, 0.0
        super().__init__(app)

    def setup(self, app: Any) -> None:
        """Also the hooks by which workers and master talk."""
        app.cfg.set("pre_fork", _before_fork)
        app.cfg.set("post_fork", _after_fork)
        app.cfg.set("post_worker_init", lambda worker: worker.boot.report())
        app.cfg.set("child_exit", lambda master, worker: master.reap(worker))
        super().setup(app)

    def init_signals(self) -> None:
        """From here on SIGHUP is understood."""
        super().init_signals()
        lifecycle.release_signals()

    def handle_hup(self) -> None:
        """SIGHUP: reload when the workers of now have come up."""
        self._wants_reload = True

    def handle_usr1(self) -> None:
        """SIGUSR1: open log files anew."""
        lifecycle.reopen_logs()
        super().handle_usr1()

    def murder_workers(self) -> None:
        """Kill workers that hang; one that imports does not."""
        for worker in self.WORKERS.values():
            if not worker.boot.is_up:
                worker.tmp.notify()
        super().murder_workers()

    def manage_workers(self) -> None:
        """Keep as many workers as there are to be, and take a reload further."""
        if self.failed:
            self.kill_workers(signal.SIGKILL)
            self.stop(False)
            sys.exit(1)
        if any(worker.boot.is_up for worker in self.WORKERS.values()):
            self._not_before = self._not_before if self._is_up else 0.0
            if not self._is_up:
                self._is_up = True
                lifecycle.announce_ready()
        if self._wants_reload and self._is_up and self._newer is None:
            self._begin_reload()
        if self._newer is not None and not self._finish_reload(self._newer):
            return
        serving = self._serving()
        if len(serving) < self.num_workers and time.monotonic() >= self._not_before:
            for _ in range(self.num_workers - len(serving)):
                self.spawn_worker()
        for worker in serving[: max(0, len(serving) - self.num_workers)]:
            self.kill_worker(worker.pid, signal.SIGTERM)

    def reap(self, worker: Any) -> None:
        """A worker is gone: find out whether that matters."""
        reported = "" if worker.boot.is_up else worker.boot.message
        up, age = worker.boot.is_up, time.monotonic() - worker.born
        worker.boot.close()
        self.shares.give_back(worker.share)
        if worker.retired or (up and age > TIMING.settled):
            self._pause = TIMING.restart
            return
        died = "a worker died soon after its start" if up else "a worker died while it imported"
        message = reported or died
        if self._newer is not None and worker.age > self._newer:
            self._trouble = self._trouble or message
        elif self._is_up or not reported:
            LOGGER.error("%s; trying again in %g s", message, self._pause)
            self._not_before = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, TIMING.longest_restart)
        else:
            self.failed = self.failed or reported

    def _serving(self) -> list[Any]:
        """The workers that take requests, or will, oldest first."""
        found = [worker for worker in self.WORKERS.values() if not worker.retired]
        return sorted(found, key=lambda worker: worker.age)

    def _begin_reload(self) -> None:
        self._wants_reload = False
        self.handle_usr1()
        try:
            self.app.renew()
        except ValueError as error:
            LOGGER.error("not reloaded, the previous settings stay: %s", error)
            return
        self._newer, self._trouble = self.worker_age, None
        for _ in range(self.num_workers):
            self.spawn_worker()

    def _finish_reload(self, mark: int) -> bool:
        """Whether the reload under way has come to its end."""
        fresh = [worker for worker in self._serving() if worker.age > mark]
        if self._trouble is not None:
            for worker in fresh:
                self.kill_worker(worker.pid, signal.SIGKILL)
            if fresh:
                return False
            LOGGER.error("not reloaded, the previous application goes on: %s", self._trouble)
        elif not all(worker.boot.is_up for worker in fresh):
            return False
        else:
            self._retire(mark)
            LOGGER.info("reloaded")
        self._newer = None
        return True

    def _retire(self, mark: int) -> None:
        """Let the workers up to this age finish what they have: for as long as a client may wait,
        but not as many of them as somebody cares to reload."""
        old = [worker for worker in self.WORKERS.values() if worker.age <= mark]
        for worker in (worker for worker in old if not worker.retired):
            self.kill_worker(worker.pid, signal.SIGUSR2)
            worker.retired = True
        old.sort(key=lambda worker: worker.age)
        for worker in old[: max(0, len(old) - GENERATIONS * self.num_workers)]:
            self.kill_worker(worker.pid, signal.SIGTERM)


def run(app: Any) -> None:
    """Run gunicorn until it is told to stop.

    Raises:
        StartFailed: the application cannot be served.
    """
    master = Master(app)
    try:
        master.run()
    except SystemExit:
        if master.failed:
            raise StartFailed(master.failed) from None
        raise


def _before_fork(master: Any, worker: Any) -> None:
    worker.share = master.shares.take()
    worker.boot, worker.retired, worker.born = Boot(), False, time.monotonic()


def _after_fork(_master: Any, worker: Any) -> None:
    worker.app.worker = worker
    os.environ.pop(lifecycle.READY, None)
