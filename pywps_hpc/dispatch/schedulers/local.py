"""The embedded scheduler: a first-in-first-out queue of detached processes on this host.

No daemon, no cluster, no threads: the state is a folder for each job, and whoever calls (poll, submit,
…) moves the queue on. Jobs outlive the service; a new instance on the same directory finds everything
as it is. A job's own supervisor (:mod:`pywps_hpc.dispatch.schedulers.local_runner`) keeps its limits
and writes down how it ended.

::

    directory/lock            one caller at a time, across processes
    directory/last            the last id given
    directory/queue/ID/       job.json, script, held, lock, started, cancel, suspend, end.json
    directory/ended/ID/       the same, after the end, for a while
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from pywps_hpc.dispatch.channels import clean_environment
from pywps_hpc.dispatch.schedulers import local_runner
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Scheduler,
    SchedulerUnavailable,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.dialect import job_name

log = logging.getLogger(__name__)

#: Seconds a supervisor may take until the job has begun; on a busy host it just begins later.
_START = 30.0


class LocalScheduler(Scheduler):
    """Runs jobs on this host.

    Args:
        directory: where the state lives; on a local disk (it needs locks), private to the service.
        cpus: processors that running jobs may occupy together; ``None``: all of this host.
        gpus: graphics processors, likewise.
        grace: seconds between TERM and KILL when a job is cancelled or reaches its time limit.
        remember: seconds for which ended jobs are known.
        environment: what each job finds in its environment besides ``PATH``, ``HOME``, ``USER``,
            ``LOGNAME`` and ``LANG``.
    """

    system = "local"

    def __init__(
        self,
        directory: Path,
        *,
        cpus: int | None = None,
        gpus: int = 0,
        grace: float = 5.0,
        remember: float = 86400.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._queue = self._directory / "queue"
        self._old = self._directory / "ended"
        self._cpus = cpus or os.cpu_count() or 1
        self._gpus = gpus
        self._grace = grace
        self._remember = remember
        self._environment = clean_environment(environment)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._queue, self._old):
            folder.mkdir(exist_ok=True)

    def submit(self, jobs: Sequence[BatchJob]) -> list[str]:
        ids: list[str] = []
        with self._alone():
            for job in jobs:
                try:
                    self._check(job)
                except SubmissionRefused as error:
                    error.accepted = tuple(ids)
                    raise
                ids.append(self._record(job))
            self._advance()
        return ids

    def find(self, name: str) -> list[str]:
        with self._alone():
            folders = [*self._queue.glob("[0-9]*"), *self._old.glob("[0-9]*")]
            return [f.name for f in sorted(folders, key=_number) if _job(f)["name"] == name]

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        with self._alone():
            self._advance()
            return {job: self._status(folder) for job, folder in self._folders(ids)}

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        answer = self.poll(ids)
        return {job: status for job, status in answer.items() if status.phase is Phase.FINISHED}

    def cancel(self, ids: Collection[str]) -> None:
        with self._alone():
            for job, folder in self._folders(ids):
                if self._status(folder).phase is Phase.FINISHED:
                    continue
                # In this order: a supervisor that is just starting sees the one or the other.
                (folder / "cancel").touch()
                if not _poke(folder):
                    _end(folder, Outcome.CANCELLED, "cancelled before it started")
                log.info("%s: cancelled", job)
            self._advance()

    def pause(self, ids: Collection[str]) -> None:
        with self._alone():
            for _, folder in self._folders(ids):
                phase = self._status(folder).phase
                if phase is Phase.QUEUED:
                    (folder / "held").touch()
                elif phase is Phase.RUNNING:
                    (folder / "suspend").touch()
                    _poke(folder)
            self._advance()

    def resume(self, ids: Collection[str]) -> None:
        with self._alone():
            for _, folder in self._folders(ids):
                phase = self._status(folder).phase
                if phase is Phase.HELD:
                    (folder / "held").unlink(missing_ok=True)
                elif phase is Phase.SUSPENDED:
                    (folder / "suspend").unlink(missing_ok=True)
                    _poke(folder)
            self._advance()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One caller at a time; a state directory that cannot be used says nothing about any job."""
        try:
            with (self._directory / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise SchedulerUnavailable(
                f"the local scheduler cannot use its directory: {error}", command="local"
            ) from error

    def _check(self, job: BatchJob) -> None:
        need = job.resources
        job_name(job.name)
        if need.cpus > self._cpus:
            raise SubmissionRefused(f"asks for {need.cpus} processors, this host has {self._cpus}")
        if need.gpus > self._gpus:
            raise SubmissionRefused(
                f"asks for {need.gpus} graphics processors, this host has {self._gpus}"
            )

    def _record(self, job: BatchJob) -> str:
        """Write the job down; its folder appears whole or not at all."""
        need = job.resources
        number = self._next()
        folder = self._directory / f".new-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        facts = {
            "name": job.name,
            "comment": job.comment,
            "log": job.log,
            "cpus": need.cpus,
            "gpus": need.gpus,
            "memory": need.memory,
            "walltime": need.walltime,
            "grace": self._grace,
            "environment": self._environment,
        }
        local_runner.write(folder / "job.json", json.dumps(facts))
        local_runner.write(folder / "script", job.script)
        (folder / "lock").touch()
        folder.rename(self._queue / str(number))
        _sync(self._queue)
        return str(number)

    def _next(self) -> int:
        last = self._directory / "last"
        given = [int(last.read_text())] if last.exists() else []
        given += [_number(f) for parent in (self._queue, self._old) for f in parent.glob("[0-9]*")]
        number = max(given, default=0) + 1
        local_runner.write(last, str(number))
        return number

    def _folders(self, ids: Collection[str]) -> Iterator[tuple[str, Path]]:
        for job in ids:
            if job.isascii() and job.isdigit():
                for parent in (self._queue, self._old):
                    if (parent / job).is_dir():
                        yield job, parent / job
                        break

    def _advance(self) -> None:
        """Put away what ended and start what fits, in the order of arrival."""
        cpus, gpus = self._cpus, self._gpus
        waiting = []
        for folder in sorted(self._queue.iterdir(), key=_number):
            phase = self._status(folder).phase
            if phase is Phase.FINISHED:
                folder.rename(self._old / folder.name)
            elif phase is Phase.QUEUED:
                waiting.append(folder)
            elif phase is not Phase.HELD:
                job = _job(folder)
                cpus, gpus = cpus - job["cpus"], gpus - job["gpus"]
        runners = []
        for folder in waiting:
            job = _job(folder)
            # No overtaking: a job that needs many processors would wait for ever.
            if job["cpus"] > cpus or job["gpus"] > gpus:
                break
            cpus, gpus = cpus - job["cpus"], gpus - job["gpus"]
            if runner := _start(folder):
                runners.append((folder, runner))
        for folder, runner in runners:
            _await_start(folder, runner)
        self._purge()

    def _status(self, folder: Path) -> JobStatus:
        if end := _read_end(folder):
            return end
        if _alive(folder):
            if (folder / "suspend").exists():
                return JobStatus(Phase.SUSPENDED, detail="suspended")
            return JobStatus(Phase.RUNNING, detail="running")
        if not (folder / "started").exists():
            if (folder / "held").exists():
                return JobStatus(Phase.HELD, detail="held")
            return JobStatus(Phase.QUEUED, detail="waiting")
        # It may have ended between the first two questions.
        return _read_end(folder) or self._orphaned(folder)

    def _orphaned(self, folder: Path) -> JobStatus:
        """The supervisor was killed, or the host restarted: a job without limits must not go on."""
        for _ in range(10):
            if not (family := local_runner.marked(folder)):
                break
            for process in family:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        log.warning("%s: its supervisor died", folder.name)
        return _end(folder, Outcome.UNKNOWN, "its supervisor was killed or the host restarted")

    def _purge(self) -> None:
        limit = time.time() - self._remember
        for folder in self._old.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if (folder / "end.json").stat().st_mtime < limit:
                    shutil.rmtree(folder)


def _job(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "job.json").read_text())
    return facts


def _number(folder: Path) -> int:
    return int(folder.name)


def _start(folder: Path) -> subprocess.Popen[bytes] | None:
    """Start the job's supervisor. Doing it twice is harmless: the second one finds the first."""
    try:
        with (folder / "runner.log").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-I", local_runner.__file__, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=clean_environment(),
                cwd="/",
                start_new_session=True,
            )
    except OSError as error:
        log.warning("%s: cannot be started now: %s", folder.name, error)
        return None


def _await_start(folder: Path, runner: subprocess.Popen[bytes]) -> None:
    """Wait for the supervisor to detach, so that "started" is certain when this call returns."""
    try:
        runner.wait(_START)
    except subprocess.TimeoutExpired:
        log.warning("%s: its supervisor has not begun after %g s", folder.name, _START)
        return
    if not (folder / "started").exists() and not _alive(folder):
        words = (folder / "runner.log").read_text(errors="replace").strip().rpartition("\n")[2]
        log.error("%s: its supervisor cannot start: %s", folder.name, words)
        _end(folder, Outcome.COULD_NOT_START, f"its supervisor cannot start: {words}")


def _alive(folder: Path) -> bool:
    """Whether a supervisor holds the job's lock."""
    with (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _poke(folder: Path) -> bool:
    """Make the supervisor look at the scheduler's wishes; false if there is none."""
    if not _alive(folder):
        return False
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((folder / "started").read_text()), signal.SIGUSR1)
    return True


def _read_end(folder: Path) -> JobStatus | None:
    try:
        end = json.loads((folder / "end.json").read_text())
    except FileNotFoundError:
        return None
    return JobStatus(
        Phase.FINISHED,
        Outcome(end["outcome"]),
        exit_code=end.get("exit_code"),
        signal=end.get("signal"),
        detail=end["detail"],
    )


def _end(folder: Path, outcome: Outcome, detail: str) -> JobStatus:
    local_runner.write(
        folder / "end.json",
        json.dumps({"outcome": outcome.value, "detail": detail, "time": time.time()}),
    )
    return JobStatus(Phase.FINISHED, outcome, detail=detail)


def _sync(folder: Path) -> None:
    """Make a rename in this folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
