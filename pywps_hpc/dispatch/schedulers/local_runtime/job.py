"""One job of the local scheduler: its folder, and what the files in it say.

::

    job.json    what it asks for; the folder appears with it, whole or not at all
    script      what bash runs
    held        request: do not start it for now
    suspend     request: stop its processes for now
    cancel      request: end it
    lock        held by the job's supervisor as long as it lives
    started     the supervisor's process id; never start this job again
    end.json    how it ended
    runner.log  what the supervisor complained about
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from joblauncher.shared import processes
from pywps_hpc.dispatch.channels.local import clean_environment
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.dispatch.schedulers.local_runtime import runner

log = logging.getLogger(__name__)

#: Seconds a supervisor may take until the job has begun; on a busy host it just begins later.
_START = 30.0
#: Why a job waits that could begin: they are taken in the order in which they came.
_WAITS = "all processors for jobs are in use, or earlier jobs wait for theirs"


class LocalJob:
    """A job in its folder; the caller sees to it that nobody else changes it meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = int(folder.name)

    def facts(self) -> dict[str, Any]:
        """What was asked for."""
        facts: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        return facts

    def status(self) -> JobStatus:
        """Where it stands; a job whose supervisor died is ended here."""
        if end := self._end():
            return end
        # In this order: a supervisor that begins in between is alive, not one that died.
        started = self._has("started")
        if self._alive():
            if self._has("suspend"):
                return JobStatus(Phase.SUSPENDED, detail="suspended")
            return JobStatus(Phase.RUNNING, detail="running")
        if not started:
            if self._has("held"):
                return JobStatus(Phase.HELD, detail=Phase.HELD.value)
            return JobStatus(Phase.QUEUED, detail=Phase.QUEUED.value, waits=_WAITS)
        # It may have ended between the first two questions.
        return self._end() or self._end_orphans()

    def hold(self) -> None:
        """Do not start it."""
        (self.folder / "held").touch()

    def release(self) -> None:
        """Let it wait its turn again."""
        (self.folder / "held").unlink(missing_ok=True)

    def suspend(self) -> None:
        """Stop its processes."""
        (self.folder / "suspend").touch()
        self._poke()

    def resume(self) -> None:
        """Let its processes go on."""
        (self.folder / "suspend").unlink(missing_ok=True)
        self._poke()

    def cancel(self) -> None:
        """End it: at once if it has not started, else by TERM and, after the grace time, KILL."""
        # In this order: a supervisor that is just starting sees the one or the other.
        (self.folder / "cancel").touch()
        if not self._poke():
            self._finish(Outcome.CANCELLED, "cancelled before it started")

    def start(self) -> subprocess.Popen[bytes] | None:
        """Start its supervisor. Twice is harmless: the second one finds the first and goes."""
        try:
            with (self.folder / "runner.log").open("ab") as errors:
                return subprocess.Popen(
                    [sys.executable, "-I", runner.__file__, str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    env=clean_environment(),
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            log.warning("%s: cannot be started now: %s", self.number, error)
            return None

    def await_start(self, runner: subprocess.Popen[bytes]) -> None:
        """Wait for the supervisor to detach, so that it is certain whether the job started."""
        try:
            runner.wait(_START)
        except subprocess.TimeoutExpired:
            log.warning("%s: its supervisor has not started after %g s", self.number, _START)
            return
        if not self.has_begun():
            text = (self.folder / "runner.log").read_text(errors="replace")
            problem = f"its supervisor cannot start: {text.strip().rpartition(chr(10))[2]}"
            log.error("%s: %s", self.number, problem)
            self._finish(Outcome.COULD_NOT_START, problem)

    def has_begun(self) -> bool:
        """Whether a supervisor has taken it, or it has ended."""
        return bool(self._has("started") or self._alive() or self._end())

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _alive(self) -> bool:
        """Whether a supervisor holds the lock."""
        with (self.folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def _poke(self) -> bool:
        """Make the supervisor look for requests; false if there is none."""
        if not self._alive():
            return False
        # Who holds the lock wrote this number, so it is nobody else's.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / "started").read_text()), signal.SIGUSR1)
        return True

    def _end(self) -> JobStatus | None:
        try:
            end = json.loads((self.folder / "end.json").read_text())
        except FileNotFoundError:
            return None
        return JobStatus.ended(end)

    def _finish(self, outcome: Outcome, detail: str) -> JobStatus:
        end = {"outcome": outcome.value, "detail": detail, "time": time.time()}
        runner.write(self.folder / "end.json", json.dumps(end))
        return JobStatus(Phase.FINISHED, outcome, detail=detail)

    def _end_orphans(self) -> JobStatus:
        """The supervisor was killed, or the host restarted: nothing may run on without limits."""
        log.warning("%s: its supervisor died", self.number)
        for _ in range(100):
            orphans = runner.marked(self.folder)
            if not orphans:
                break
            processes.send(signal.SIGKILL, orphans)
            time.sleep(0.1)
        return self._finish(Outcome.UNKNOWN, "its supervisor was killed or the host restarted")
