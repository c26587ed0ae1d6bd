"""A batch job that takes one job after the other: ``python -I -m joblauncher.pilot FOLDER``.

It runs in the container that each of its jobs would have had for itself, sees the spool, and runs
nothing of any process. What has the modules of the service is a process of its own that does not
see the spool (:mod:`joblauncher.pilot_room`, :mod:`joblauncher.nursery_inside`); each job is a fork
of that in namespaces of its own, with a process of ours above it (:mod:`joblauncher.pilot_job`).

The dispatcher leaves signed orders in the pilot's folder (:mod:`joblauncher.shared.pilotdir`). It
takes no more, and ends when its jobs have, after some time without any, after a number of jobs,
when what is left of its time is less than a job may need, and when the batch system asks for its
end. A pilot that is started anew by the batch system begins with what its last start had taken. Of
two batch jobs that are the same pilot, since its submission was repeated on the way, the second
one to start leaves at once.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import logging
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from joblauncher import processor_time
from joblauncher.container_half import ContainerHalf
from joblauncher.pilot_job import MARK, ROOM, STOP, PilotJob
from joblauncher.shared import exits, prctl
from joblauncher.shared.files import atomic_write, read_plain
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.pilotdir import (
    BACK,
    ENDED,
    ID_VARIABLES,
    TAKEN,
    WAITING,
    BadOrder,
    PilotDir,
    unseal,
)

LOGGER = logging.getLogger(__name__)

#: Seconds since the last job began or ended -> seconds between looks for orders. A look lists a
#: folder: of whoever was given work lately, more is expected.
PAUSES = ((2.0, 0.02), (60.0, 0.1), (float("inf"), 0.5))
#: Starts of the process with the modules that may fail one after the other.
_STARTS = 3
#: In the command line of the process with the modules, for what ps(1) shall show of launchers.
_LINE = "-" * 100


class Pilot:
    """One start of a pilot.

    Args:
        folder: its own.
        facts: ``key``, by which orders are signed; ``slots``, jobs at once; ``jobs``, most in all;
            ``idle``, seconds; ``walltime``, of the pilot, ``reserve``, of that for its own end, and
            ``job_walltime``, of a job, in seconds; ``spool``; ``inside``, for
            :class:`joblauncher.nursery_inside.Inside`.
        attempt: which start this is, from 0.
    """

    def __init__(self, folder: PilotDir, facts: dict[str, Any], attempt: int) -> None:
        self._folder, self._facts, self._attempt = folder, facts, attempt
        self._begun = self._last = time.monotonic()
        self._jobs: dict[int, str] = {}  # process above a job -> the job's name
        self._ends: dict[int, int] = {}  # the same -> descriptor that tells of its end
        self._taken = 0
        self._failures = 0
        self._closed = ""
        self._stops = 0  # signal by which the batch system asked for its end
        self._spent = self._counted = 0.0  # processor seconds: of which no job was told; in all
        atomic_write(folder.inside / "nursery.json", json.dumps(facts["inside"]).encode())
        room = [sys.executable, "-I", "-m", "joblauncher.pilot_room"]
        nursery = [sys.executable, "-I", "-m", "joblauncher.nursery_inside"]
        spool = facts["spool"]
        command = [*room, str(folder.inside), spool, *nursery, spool, _LINE]
        requests = Path(tempfile.mkdtemp(prefix="pilot-")) / "requests"
        environment = {MARK: "-" * ROOM, **os.environ}
        self._half = ContainerHalf(folder.path, requests, command, environment)

    def run(self) -> int:
        """Take orders until it is time to end; the exit code for the batch system."""
        for number in STOP:
            signal.signal(number, self._stop)
        self._folder.closed.unlink(missing_ok=True)
        again = self._unfinished()
        lives = self._half.start()
        self._count()
        while lives and not (self._closed and not self._jobs):
            lives = self._listen()
            self._collect()
            if self._stops and not self._closed:
                self._close("the batch system asked for its end")
                for pid in self._jobs:
                    os.kill(pid, signal.SIGTERM)
            if not self._closed and self._half.is_ready:
                while again and len(self._jobs) < self._facts["slots"]:
                    self._begin(again.pop())
                self._take()
                self._close(self._reason())
            elif not self._closed and not lives:
                lives = self._start_again()
            self._count()
        self._close(self._closed or "it has no process to start jobs from")
        self._wait_for_all()
        self._half.close()
        # As a launcher: by this, Grid Engine's accounting tells that it was deleted.
        return exits.by_signal(self._stops) if self._stops else exits.OK

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        LOGGER.warning("asked to stop by %s", signal.Signals(number).name)
        self._stops = self._stops or number

    def _unfinished(self) -> list[str]:
        """What an earlier start of this pilot took and did not bring to its end."""
        return sorted(self._folder.names(TAKEN) - self._folder.names(ENDED))

    def _listen(self) -> bool:
        """Wait a moment; whether the process with the modules lives."""
        passed = time.monotonic() - self._last
        pause = next(pause for since, pause in PAUSES if passed <= since)
        sources: list[Any] = [self._half.connection, *self._ends.values()]
        ready, _, _ = select.select(sources, [], [], pause)
        return self._half.receive() if self._half.connection in ready else True

    def _count(self) -> None:
        """Note what this process has used; it is for jobs unless there was none for a while."""
        used = processor_time.own()
        if self._taken and time.monotonic() - self._last <= PAUSES[0][0]:
            self._spent += used - self._counted
        self._counted = used

    def _start_again(self) -> bool:
        self._failures += 1
        if self._folder.refused.exists() or self._failures >= _STARTS:
            return False
        self._half.close()
        return self._half.start()

    def _take(self) -> None:
        """Take orders while there is room for their jobs."""
        free = min(self._facts["slots"] - len(self._jobs), self._facts["jobs"] - self._taken)
        if free <= 0 or self._time_left() < self._facts["job_walltime"]:
            return
        with contextlib.suppress(OSError):  # of the file system, which may come back
            for name in sorted(self._folder.names(WAITING), key=self._age)[:free]:
                if self._folder.move(name, WAITING, TAKEN):
                    self._begin(name)

    def _age(self, name: str) -> float:
        try:
            return self._folder.file(WAITING, name).stat().st_mtime
        except OSError:
            return 0.0

    def _begin(self, name: str) -> None:
        """Start a job in whose taken order this pilot has."""
        self._taken += 1
        self._last = time.monotonic()
        self._failures = 0
        try:
            content = read_plain(self._folder.file(TAKEN, name))
            order = unseal(self._facts["key"], name, content)
            self._check(order)
        except (BadOrder, OSError, ValueError, KeyError) as error:
            LOGGER.error("%s: not an order of this pilot's dispatcher: %s", name, error)
            self._folder.move(name, TAKEN, BACK)
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        spent, self._spent = self._spent, 0.0
        pid = os.fork()
        if pid:
            self._jobs[pid] = name
            # Before Linux 5.3, or with no more files, its end is seen a bit later.
            with contextlib.suppress(OSError):
                self._ends[pid] = os.pidfd_open(pid)
            return
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
            for number in STOP:
                signal.signal(number, signal.SIG_DFL)
            prctl.end_with_parent(signal.SIGKILL)
            PilotJob(self._folder, name, order, self._attempt, spent).run(self._half.begin)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _check(self, order: dict[str, Any]) -> None:
        """The job's folder is one of this spool."""
        job = JobDir(Path(order["warm"]["folder"]))
        if job.path.parent != Path(self._facts["spool"]):
            raise BadOrder("its folder is none of a job")
        if order["walltime"] > self._facts["job_walltime"]:
            raise BadOrder("it wants more time than this pilot's jobs have")

    def _collect(self) -> None:
        for pid in list(self._jobs):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._last = time.monotonic()
                if (handle := self._ends.pop(pid, None)) is not None:
                    os.close(handle)
                self._lose(self._jobs.pop(pid), status)

    def _lose(self, name: str, status: int) -> None:
        """What stood above a job has ended, and with it the job: by itself, or it was killed."""
        if status and not self._stops and self._folder.read_end(name) is None:
            LOGGER.error("%s: its supervisor has ended with status %s", name, status)
            end = {"outcome": "unknown", "detail": "its supervisor was killed"}
            with contextlib.suppress(OSError):
                self._folder.write_end(name, {**end, "attempt": self._attempt})

    def _wait_for_all(self) -> None:
        for pid in self._jobs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        self._jobs.clear()

    def _time_left(self) -> float:
        passed = time.monotonic() - self._begun
        return float(self._facts["walltime"] - self._facts["reserve"] - passed)

    def _reason(self) -> str:
        """Why it should take no more orders; empty if it should."""
        if self._taken >= self._facts["jobs"]:
            return f"it has taken {self._taken} jobs"
        if self._time_left() < self._facts["job_walltime"]:
            return "what is left of its time is less than a job may need"
        if not self._jobs and time.monotonic() - self._last >= self._facts["idle"]:
            return "it had no job for a while"
        return ""

    def _close(self, reason: str) -> None:
        if reason and not self._closed:
            self._closed = reason
            LOGGER.info("takes no more orders: %s", reason)
            with contextlib.suppress(OSError):
                atomic_write(self._folder.closed, reason.encode())


def main(arguments: Sequence[str]) -> int:
    """Be a pilot; the exit code."""
    parser = argparse.ArgumentParser(prog="joblauncher.pilot", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--digest", required=True, help="SHA-256 of what it is told")
    parser.add_argument("--attempt", type=int, default=0, help="which start of the pilot this is")
    own = parser.parse_args(arguments)
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s joblauncher: %(message)s")
    folder = PilotDir(own.folder)
    told = read_plain(folder.facts)
    if not hmac.compare_digest(hashlib.sha256(told).hexdigest(), own.digest):
        LOGGER.error("%s is not what the dispatcher wrote", folder.facts)
        return 1
    told_ids = [os.environ.pop(name, "") for name in ID_VARIABLES]  # no job needs them
    native = next(filter(None, told_ids), "")
    # Without an id nobody can be told apart: the dispatcher ends such a pilot by its own id.
    if native and (holder := folder.take_lease(native)) != native:
        LOGGER.warning("%s does nothing: %s is this pilot", native, holder)
        return 0
    os.chdir("/")
    return Pilot(folder, json.loads(told), own.attempt).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
