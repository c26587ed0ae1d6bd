"""Runs one job of the local scheduler: ``python -I runner.py FOLDER``.

One such process stands above each running job, detached from the service, so that the job and its
limits outlive it. It may also be a fork of a nursery (:mod:`joblauncher.nursery`), which then forks
the job's launcher, too, instead of starting the script. It imports nothing of the package, to start
quickly, and talks to the scheduler (:mod:`pywps_hpc.dispatch.schedulers.local`) through files in
the job's folder only:

* it holds the lock on ``lock`` as long as it lives: "is it alive?" needs no process id, which may
  have been given to somebody else;
* ``started`` appears before the script starts, and whoever finds it never starts the script again;
* ``cancel`` and ``suspend`` are the scheduler's requests; a SIGUSR1 only says "look now";
* ``end.json`` is written last: why the job ended.

It adopts orphans (prctl(2), PR_SET_CHILD_SUBREAPER), so that a process which daemonises stays
within reach, and ends what the script leaves behind, as a cluster's batch system does.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joblauncher.shared import processes

#: In the environment of everything the job starts: the job's folder.
MARK = "PYWPS_HPC_LOCAL_JOB"
SHELL = "/bin/bash"
#: Seconds between looks at memory and the clock.
TICK = 1.0
_PR_SET_CHILD_SUBREAPER = 36
#: Starts a launcher: from the job's ``warm``, its mark and the descriptor of its log; returns the
#: child that ends when it does, and its process id, which is that of the child unless it is
#: somebody else's: then the launcher is the first process of its namespace. OSError: it has not
#: been started.
Launch = Callable[[dict[str, Any], tuple[str, str], int], tuple[int, int]]
_WAKE = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1}


def main(folder: Path) -> None:
    """Detach, and run the job in this folder to its end."""
    told, tell = os.pipe()
    if os.fork():
        # The one who started this waits until the job has surely begun (or surely not).
        os.close(tell)
        os.read(told, 1)
        os._exit(0)
    os.close(told)
    os.chdir("/")
    supervise(folder, tell)


def supervise(folder: Path, tell: int, launch: Launch | None = None) -> None:
    """Run the job in this folder to its end, leave ``end.json``.

    Args:
        folder: the job's.
        tell: descriptor that is closed when the job has surely begun, or surely not.
        launch: starts a job's launcher without its script.
    """
    # Before anybody can learn the process id: an early signal waits instead of killing.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKE)
    if not _lock(folder / "lock"):
        return
    if (folder / "started").exists() or (folder / "end.json").exists():
        return
    write(folder / "started", str(os.getpid()))
    os.close(tell)
    try:
        job = json.loads((folder / "job.json").read_text())
        end = Supervisor(folder, job, launch).run()
    except Exception as error:
        end = {"outcome": "could not start", "detail": f"{type(error).__name__}: {error}"}
    leave(folder / "end.json", json.dumps(end | {"time": time.time()}))


class Supervisor:
    """The job's process tree and its limits."""

    def __init__(self, folder: Path, job: dict[str, Any], launch: Launch | None = None) -> None:
        self._folder = folder
        self._job = job
        self._launch = launch
        self._verdict: dict[str, Any] | None = None  # decided before the script ended
        self._deadline: float | None = None  # when TERM turns into KILL
        self._suspended = False
        self._launcher, self._started = 0, 0  # if it is no child of ours, and since when
        self._run_time = 0.0  # seconds, without those in which the job was suspended

    def run(self) -> dict[str, Any]:
        """Run the job's script to its end; that end, see
        :meth:`~pywps_hpc.dispatch.schedulers.base.JobStatus.ended`."""
        if (self._folder / "cancel").exists():
            return {"outcome": "cancelled", "detail": "cancelled before it started"}
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        child = self._spawn()
        try:
            status = self._watch(child)
        except Exception as error:
            detail = f"its supervisor failed: {type(error).__name__}: {error}"
            return {"outcome": "unknown", "detail": detail}
        finally:
            self._kill(signal.SIGKILL)
        return self._verdict or _how(status)

    def _watch(self, child: int) -> int:
        """Wait for the script's end; returns its wait status."""
        before = time.monotonic()
        while (status := _reap(child)) is None:
            signal.sigtimedwait(_WAKE, TICK)
            now = time.monotonic()
            if not self._suspended:
                self._run_time += now - before
            before = now
            self._look(now)
        return status

    def _spawn(self) -> int:
        log = os.open(self._job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if self._launch is not None:
            try:
                return self._fork(log)
            except OSError as error:
                print(f"starts by its script: {error}", file=sys.stderr, flush=True)
                self._launch = None
        return os.posix_spawn(
            SHELL,
            [SHELL, str(self._folder / "script")],
            self._job["environment"] | {MARK: str(self._folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setpgroup=0,  # a script's "kill 0" must not reach its supervisor
            setsigmask=(),
        )

    def _fork(self, log: int) -> int:
        assert self._launch is not None
        child, launcher = self._launch(self._job["warm"], (MARK, str(self._folder)), log)
        if launcher != child:
            self._launcher, self._started = launcher, processes.started(launcher)
        return child

    def _look(self, now: float) -> None:
        """Carry out the scheduler's requests and the limits."""
        if self._deadline is not None:
            if now >= self._deadline:
                self._kill(signal.SIGKILL)
            return
        most = self._job["memory"]
        if (self._folder / "cancel").exists():
            self._end("cancelled", "cancelled", now)
        elif self._run_time >= self._job["walltime"]:
            self._end("time limit", f"time limit of {self._job['walltime']} s reached", now)
        elif (used := processes.memory(self._tree(), most << 20) >> 20) > most:
            detail = f"used {used} MiB of memory, limit {most} MiB"
            self._end("memory limit", detail, now, grace=0)
        elif (requested := (self._folder / "suspend").exists()) != self._suspended:
            self._suspended = requested
            self._kill(signal.SIGSTOP if requested else signal.SIGCONT)

    def _end(self, outcome: str, detail: str, now: float, grace: float | None = None) -> None:
        self._verdict = {"outcome": outcome, "detail": detail}
        grace = self._job["grace"] if grace is None else grace
        self._deadline = now + grace
        if grace:
            self._kill(signal.SIGTERM)
        else:
            self._kill(signal.SIGKILL)
        self._kill(signal.SIGCONT)  # a stopped process acts on TERM only when it goes on

    def _kill(self, number: signal.Signals) -> None:
        """Signal all of the job, again until nothing new appears of it."""
        seen: set[int] = set()
        for _ in range(10):
            fresh = self._family() - seen
            if not fresh:
                break
            seen |= fresh
            processes.send(number, fresh)

    def _family(self) -> set[int]:
        """The job's processes, and whatever carries its mark elsewhere."""
        return {*self._tree(), *marked(self._folder)} - {os.getpid()}

    def _tree(self) -> list[int]:
        """Everything below this process, and the launcher with everything below it."""
        found = processes.tree(os.getpid())[1:]
        if self._started and processes.started(self._launcher) == self._started:
            found += processes.tree(self._launcher)
        return found


def marked(folder: Path) -> list[int]:
    """The processes whose environment names this job."""
    return processes.marked(MARK, str(folder))


def write(path: Path, text: str) -> None:
    """Write a file that is either absent or whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def leave(path: Path, text: str) -> None:
    """Write how the job ended, even if the disk is full or away for a moment."""
    for _ in range(60):
        try:
            return write(path, text)
        except OSError:
            time.sleep(1)
    write(path, text)


def _lock(path: Path) -> bool:
    """Take the job's lock for the rest of this process's life; false if another runner has it."""
    lock = os.open(path, os.O_RDWR)
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # or a scheduler just tries whether somebody has it
            time.sleep(0.05)
        else:
            return True
    return False


def _reap(child: int) -> int | None:
    """Collect whatever ended, orphans too; the wait status of the script once it ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        if pid == child:
            return status


def _how(status: int) -> dict[str, Any]:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return {"outcome": "signalled", "signal": -code, "detail": f"killed by signal {-code}"}
    return {"outcome": "exited", "exit_code": code, "detail": f"exit code {code}"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
