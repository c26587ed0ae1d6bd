"""Above one job of a pilot: start it, keep its limits, carry out requests, tell how it ended.

One such process, a child of the pilot's, stands above each job. The job is a fork of the process
with the modules, in namespaces of its own (:mod:`joblauncher.nursery_inside`): killing the first
process of these kills all of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joblauncher import processor_time
from joblauncher.container_half import wait_for_end
from joblauncher.shared.exits import OK
from joblauncher.shared.pilotdir import BACK, CANCEL, PAUSE, PAUSED, REQUESTS, TAKEN, PilotDir
from joblauncher.shared.processes import memory, parent, signal_tree, tree, used

LOGGER = logging.getLogger(__name__)

#: Starts a launcher (:meth:`joblauncher.container_half.ContainerHalf.begin`).
Begin = Callable[[dict[str, Any], tuple[str, str], int], tuple[socket.socket, int, float]]
#: In the environment of everything the job starts: its name in the queue.
MARK = "PYWPS_HPC_PILOT_JOB"
#: Room in that variable for any name.
ROOM = 32
#: Seconds between looks at requests, memory and the clock.
TICK = 0.25
#: Seconds between the polite and the final signal: to a job that is cancelled, to one that has
#: reached its time limit, and to one whose pilot has to end (more than a launcher takes).
CANCELLED_GRACE, TIME_GRACE, STOP_GRACE = 1.0, 5.0, 12.0
#: By which a pilot is asked to end; some batch systems tell every process of the job.
STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU)
_ATTEMPT = "--attempt"


class PilotJob:
    """A job of this pilot, in a process of its own.

    Args:
        folder: the pilot's.
        name: of the job.
        order: ``warm``, as :func:`joblauncher.forked.become` takes it, ``memory`` in MiB and
            ``walltime`` in seconds.
        attempt: which start of the pilot this is.
        spent: processor seconds that count to the job beside those of its processes and this one.
    """

    def __init__(
        self, folder: PilotDir, name: str, order: dict[str, Any], attempt: int, spent: float = 0.0
    ) -> None:
        self._folder, self._name, self._order, self._spent = folder, name, order, spent
        self._warm = {**order["warm"], "arguments": _of_attempt(order["warm"], attempt)}
        self._attempt = attempt
        self._job = Path(order["warm"]["folder"])
        self._verdict: dict[str, Any] | None = None
        self._deadline: float | None = None
        self._stops = self._is_paused = False
        self._run_time = 0.0
        self._used: float | None = None  # processor seconds, as seen last
        self._launcher = self._first = 0
        self._handle: int | None = None  # of the first process of its namespaces

    def run(self, begin: Begin) -> None:
        """Run it to its end; the signals of :data:`STOP` are blocked."""
        wake = self._listen()
        if self._is_requested(CANCEL):
            self._write_end({"outcome": "cancelled", "detail": "cancelled before it started"})
            return
        try:
            connection = self._start(begin)
        except OSError as error:
            LOGGER.warning("%s cannot start here: %s", self._name, error.strerror or error)
            if self._attempt:  # the batch script's own start would be taken for the first one
                self._write_end(
                    {"outcome": "could not start", "detail": "its pilot cannot start it"}
                )
            else:  # it has certainly not begun: it goes by its own batch script
                self._folder.move(self._name, TAKEN, BACK)
            return
        try:
            code = self._watch(connection, wake)
        finally:
            self._end_all()
        if self._stops and code != OK:
            return  # why the pilot had to end, the batch system knows
        self._write_end(self._verdict or _how(code))

    def _listen(self) -> int:
        """Take requests to end from now on; a descriptor that can be read when there is one."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in STOP:
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
        return reader

    def _start(self, begin: Begin) -> socket.socket:
        (self._job / "node").write_text(f"{os.uname().nodename}\n")
        log = os.open(self._job / "job.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            connection, self._launcher, spent = begin(self._warm, (MARK, self._name), log)
            self._spent += spent
        finally:
            os.close(log)
        with contextlib.suppress(OSError):  # it may have ended already
            self._first = parent(self._launcher)
            self._handle = os.pidfd_open(self._first)
        return connection

    def _watch(self, connection: socket.socket, wake: int) -> int:
        """Wait for its end; the launcher's exit code, or minus the signal that killed it."""
        before = time.monotonic()
        sources: list[Any] = [connection, wake]
        connection.settimeout(None)
        while True:
            ready, _, _ = select.select(sources, [], [], TICK)
            if connection in ready:
                code, used = wait_for_end(connection)
                self._used = self._used if used is None else used
                return code
            if wake in ready and os.read(wake, 100) and not self._stops:
                self._stops = True
                self._end(STOP_GRACE)
            now = time.monotonic()
            if not self._is_paused:
                self._run_time += now - before
            before = now
            with contextlib.suppress(OSError):  # of the file system, which may come back
                self._look(now)

    def _look(self, now: float) -> None:
        """Carry out requests and limits."""
        if self._deadline is not None:
            if now >= self._deadline:
                self._end_all()
            return
        walltime, most = self._order["walltime"], self._order["memory"]
        requests = self._folder.names(REQUESTS)
        processes = tree(self._first or self._launcher)
        taken = memory(processes, most << 20) >> 20
        self._used = used(processes)  # one that is killed does not tell
        if f"{self._name}.{CANCEL}" in requests:
            self._decide("cancelled", "cancelled", CANCELLED_GRACE)
        elif self._run_time >= walltime:
            self._decide("time limit", f"time limit of {walltime} s reached", TIME_GRACE)
        elif taken > most:
            detail = f"used {taken} MiB of memory, limit {most} MiB"
            self._decide("memory limit", detail, 0.0)
        elif (wanted := f"{self._name}.{PAUSE}" in requests) != self._is_paused:
            self._is_paused = wanted
            signal_tree(self._launcher, signal.SIGSTOP if wanted else signal.SIGCONT)
            paused = self._folder.file(PAUSED, self._name)
            if wanted:
                paused.touch(mode=0o600)
            else:
                paused.unlink(missing_ok=True)

    def _decide(self, outcome: str, detail: str, grace: float) -> None:
        self._verdict = {"outcome": outcome, "detail": detail}
        self._end(grace)

    def _end(self, grace: float) -> None:
        self._deadline = time.monotonic() + grace
        if not grace:
            self._end_all()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self._launcher, signal.SIGTERM)  # which ends its process in order
        signal_tree(self._launcher, signal.SIGCONT)

    def _end_all(self) -> None:
        """Kill whatever there is of the job."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def _is_requested(self, what: str) -> bool:
        try:
            return f"{self._name}.{what}" in self._folder.names(REQUESTS)
        except OSError:
            return False

    def _write_end(self, end: dict[str, Any]) -> None:
        """Write how it ended, and what it used together with this process, even if the storage is
        full or away for a moment."""
        end |= {"attempt": self._attempt}
        if self._used is not None:
            used = self._used + self._spent + processor_time.whole()
            end |= {"cpu_seconds": round(used, 3)}
        for _ in range(60):
            try:
                return self._folder.write_end(self._name, end)
            except OSError:
                time.sleep(1)


def _of_attempt(warm: dict[str, Any], attempt: int) -> list[str]:
    """The launcher's arguments for this start of the job."""
    arguments = list(warm["arguments"])
    arguments[arguments.index(_ATTEMPT) + 1] = str(attempt)
    return arguments


def _how(code: int) -> dict[str, Any]:
    if code < 0:
        return {"outcome": "signalled", "signal": -code, "detail": f"killed by signal {-code}"}
    return {"outcome": "exited", "exit_code": code, "detail": f"exit code {code}"}
