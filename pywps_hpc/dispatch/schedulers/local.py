"""The embedded scheduler: a first-in-first-out queue of detached processes on this host.

No daemon, no cluster, no threads: the state is a folder for each job, and whoever calls (poll,
submit, …) moves the queue on. Jobs outlive the service; a new instance on the same directory finds
everything as it is. A job's own supervisor
(:mod:`pywps_hpc.dispatch.schedulers.local_runtime.runner`) keeps its limits and writes down how it
ended.

::

    directory/lock        one caller at a time, across processes
    directory/last        the last id given
    directory/queue/ID/   a job (see local_runtime/job.py)
    directory/active/ID   an empty file: this job of the queue may have started
    directory/ended/ID/   the same job, after its end, for a while
    directory/nurseries/  processes that start jobs as forks (see local_runtime/nursery.py)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from pywps_hpc.dispatch.channels.local import clean_environment
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Phase,
    Scheduler,
    SchedulerUnavailable,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.local_runtime import runner
from pywps_hpc.dispatch.schedulers.local_runtime.job import LocalJob
from pywps_hpc.dispatch.schedulers.local_runtime.lock import take
from pywps_hpc.dispatch.schedulers.local_runtime.nursery import Nurseries, Order
from pywps_hpc.dispatch.schedulers.text import job_name
from pywps_hpc.timing import TIMING, Timing

#: Seconds between two looks for ended jobs to forget.
_PURGE = 60.0
#: Seconds after which whoever asks for its jobs has heard of an end.
_TOLD = 3600.0


class LocalScheduler(Scheduler):
    """Runs jobs on this host.

    Args:
        directory: where the state lives; on a local disk (it needs locks), private to the service.
        cpus: processors that running jobs may occupy together; ``None``: all of this host.
        gpus: GPUs, likewise.
        grace: seconds between TERM and KILL when a job is cancelled or reaches its time limit.
        remember: seconds for which ended jobs are known.
        environment: what each job finds in its environment besides ``PATH``, ``HOME``, ``USER``,
            ``LOGNAME`` and ``LANG``.
        timing: durations.
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
        timing: Timing = TIMING,
    ) -> None:
        self._directory = directory.absolute()
        self._queue = self._directory / "queue"
        self._active = self._directory / "active"
        self._ended = self._directory / "ended"
        self._cpus = cpus or os.cpu_count() or 1
        self._gpus = gpus
        self._grace = grace
        self._remember = remember
        self._environment = clean_environment(environment)
        self._nurseries = Nurseries(self._directory, self._environment, timing)
        self._next_purge = 0.0
        self._seen: dict[int, float] = {}
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._queue, self._ended):
            folder.mkdir(exist_ok=True)
        if not self._active.is_dir():  # it is new, or left by a version that kept no such list
            with self._alone():
                self._list_active()

    def probe(self) -> str:
        self.poll(())
        return self.system

    def submit(self, job: BatchJob) -> list[str]:
        self._check(job)
        try:
            with self._alone():
                number = self._record(job)
                self._advance()
        except SchedulerUnavailable as error:
            # The disk may have failed after the job was written down.
            raise SubmissionUncertain(str(error), command=error.command) from error
        return [number]

    def find(self, name: str, array_index: int = 0) -> list[str]:
        if array_index:
            return []
        with self._alone():
            jobs = [*_jobs(self._ended), *_jobs(self._queue)]
            return [str(job.number) for job in jobs if job.facts()["name"] == name]

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        with self._alone():
            self._advance()
            answer = {job: job.status() for job in self._known(ids)}
            for job, status in answer.items():
                if status.phase is Phase.FINISHED:
                    self._put_away(job)
            return {str(job.number): status for job, status in answer.items()}

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        answer = self.poll(ids)
        return {job: status for job, status in answer.items() if status.phase is Phase.FINISHED}

    def cancel(self, ids: Collection[str]) -> None:
        with self._alone():
            for job in self._known(ids):
                if job.status().phase is not Phase.FINISHED:
                    job.cancel()
                    self._put_away(job)
            self._advance()

    def pause(self, ids: Collection[str]) -> None:
        with self._alone():
            for job in self._known(ids):
                phase = job.status().phase
                if phase is Phase.QUEUED:
                    job.hold()
                elif phase is Phase.RUNNING:
                    job.suspend()
            self._advance()

    def resume(self, ids: Collection[str]) -> None:
        with self._alone():
            for job in self._known(ids):
                phase = job.status().phase
                if phase is Phase.HELD:
                    job.release()
                elif phase is Phase.SUSPENDED:
                    job.resume()
            self._advance()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One caller at a time; a directory that cannot be used says nothing about any job."""
        try:
            with (self._directory / "lock").open("a") as lock:
                take(lock.fileno())
                yield
        except TimeoutError as error:
            raise SchedulerUnavailable(f"the local scheduler: {error}", command="local") from None
        except OSError as error:
            raise SchedulerUnavailable(
                f"the local scheduler cannot use its directory: {error}", command="local"
            ) from error

    def _check(self, job: BatchJob) -> None:
        need = job.resources
        job_name(job.name)
        if need.nodes > 1:
            raise SubmissionRefused(f"asks for {need.nodes} nodes, there is this host alone")
        if need.cpus_per_node > self._cpus:
            raise SubmissionRefused(
                f"asks for {need.cpus_per_node} processors, this host has {self._cpus}"
            )
        if need.gpus > self._gpus:
            raise SubmissionRefused(f"asks for {need.gpus} GPUs, this host has {self._gpus}")

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
            "cpus": need.cpus_per_node,
            "gpus": need.gpus,
            "memory": need.memory,
            "walltime": need.walltime,
            "grace": self._grace,
            "environment": self._environment,
            "warm": asdict(job.warm) if job.warm else None,
        }
        runner.write(folder / "job.json", json.dumps(facts))
        runner.write(folder / "script", job.script)
        (folder / "lock").touch()
        folder.rename(self._queue / str(number))
        _sync(self._queue)
        return str(number)

    def _next(self) -> int:
        """A number never given before, whatever has been purged."""
        last = self._directory / "last"
        number = int(last.read_text()) + 1 if last.exists() else 1
        runner.write(last, str(number))
        return number

    def _known(self, ids: Collection[str]) -> Iterator[LocalJob]:
        for job in ids:
            if job.isascii() and job.isdigit():
                for parent in (self._queue, self._ended):
                    if (parent / job).is_dir():
                        yield LocalJob(parent / job)
                        break

    def _advance(self) -> None:
        """Put away what ended and start what fits, in the order of arrival."""
        self._nurseries.hold()
        cpus, gpus, active = self._cpus, self._gpus, set()
        for number in [int(entry.name) for entry in self._active.iterdir()]:
            job = LocalJob(self._queue / str(number))
            if self._put_away(job) or job.status().phase in (Phase.QUEUED, Phase.HELD):
                continue  # it ended, or its supervisor never began
            active.add(number)
            facts = job.facts()
            cpus, gpus = cpus - facts["cpus"], gpus - facts["gpus"]
        started: list[tuple[LocalJob, subprocess.Popen[bytes] | Order | None]] = []
        # Where no processor is free nobody has to look at the queue, however long it is.
        for job in _jobs(self._queue) if cpus > 0 else ():
            if job.number in active or self._put_away(job) or job.status().phase is Phase.HELD:
                continue
            facts = job.facts()
            # No overtaking: a job that needs many processors would wait for ever.
            if facts["cpus"] > cpus or facts["gpus"] > gpus:
                break
            cpus, gpus = cpus - facts["cpus"], gpus - facts["gpus"]
            (self._active / str(job.number)).touch()
            if start := self._nurseries.order(job.number, facts.get("warm")) or job.start():
                started.append((job, start))
            if cpus <= 0:
                break
        for job, start in started:
            if isinstance(start, Order):
                start.wait()
                start = None if job.has_begun() else job.start()
            if start is not None:
                job.await_start(start)
        self._purge()

    def _put_away(self, job: LocalJob) -> bool:
        """Take a job out of the queue if it has ended; whether it is out of it now."""
        if job.folder.parent == self._queue and job.folder.is_dir():
            if job.status().phase is not Phase.FINISHED:
                return False
            job.folder.rename(self._ended / job.folder.name)
        (self._active / str(job.number)).unlink(missing_ok=True)
        return True

    def _list_active(self) -> None:
        """Note which jobs of the queue may have started."""
        folder = self._directory / ".new-active"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for job in _jobs(self._queue):
            if job.status().phase not in (Phase.QUEUED, Phase.HELD):
                (folder / str(job.number)).touch()
        if not self._active.is_dir():  # another process may have been quicker
            folder.rename(self._active)

    def _purge(self) -> None:
        if time.monotonic() < self._next_purge:
            return
        self._next_purge = time.monotonic() + min(_PURGE, self._remember)
        limit, now, known = time.time() - self._remember, time.monotonic(), self._seen
        self._seen = {}
        for job in _jobs(self._ended):
            seen = self._seen[job.number] = known.get(job.number, now)
            # Not by the wall clock alone: one that is set ahead must not make its end unknown.
            is_told = now - seen >= min(_TOLD, self._remember)
            if is_told and (job.folder / "end.json").stat().st_mtime < limit:
                shutil.rmtree(job.folder)


def _jobs(parent: Path) -> list[LocalJob]:
    """The jobs in this folder, oldest first."""
    return sorted(map(LocalJob, parent.iterdir()), key=lambda job: job.number)


def _sync(folder: Path) -> None:
    """Make a rename in this folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
