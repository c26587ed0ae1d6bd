"""A batch system through its DRMAA library, for sites where that is the way in.

DRMAA submits, holds, suspends, resumes and terminates; it can neither look a job up by its name nor
be trusted about how one ended. For those two the batch system's own commands are asked, through the
same dialect as elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Scheduler,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler

LOGGER = logging.getLogger(__name__)

#: drmaa_job_ps (GFD.133, section 3.2.5). How a job ended is not taken from here.
STATES = {
    "undetermined": JobStatus(Phase.RUNNING, detail="undetermined"),
    "queued_active": JobStatus(Phase.QUEUED),
    "system_on_hold": JobStatus(Phase.HELD, detail="held by the system"),
    "user_on_hold": JobStatus(Phase.HELD),
    "user_system_on_hold": JobStatus(Phase.HELD),
    "running": JobStatus(Phase.RUNNING),
    "system_suspended": JobStatus(Phase.SUSPENDED, detail="suspended by the system"),
    "user_suspended": JobStatus(Phase.SUSPENDED),
    "user_system_suspended": JobStatus(Phase.SUSPENDED),
    "done": JobStatus(Phase.FINISHED, Outcome.UNKNOWN),
    "failed": JobStatus(Phase.FINISHED, Outcome.UNKNOWN),
}
#: Exceptions of the library by which it says that it cannot ask.
CANNOT_ASK = frozenset(
    {
        "DrmCommunicationException",
        "TryLaterException",
        "NoActiveSessionException",
        "InternalException",
        "DrmsInitException",
        "DefaultContactStringException",
        "OutOfMemoryException",
    }
)
NOT_PERMITTED = frozenset({"AuthorizationException"})
#: What makes a library fail to start, and the remedy; first match wins.
REMEDIES = (
    ("no module named 'drmaa'", "install the Python binding: pip install 'pywps-hpc[drmaa]'"),
    ("static tls block", "start with GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096"),
    ("cannot open shared object", "[hpc] drmaa_library must name a libdrmaa.so on this host"),
    ("could not find drmaa library", "[hpc] drmaa_library must name a libdrmaa.so on this host"),
    ("sge_root", "set SGE_ROOT and SGE_CELL in [hpc] command_environment"),
    ("act_qmaster", "set SGE_ROOT and SGE_CELL in [hpc] command_environment"),
    ("cell", "set SGE_ROOT and SGE_CELL in [hpc] command_environment"),
    ("qmaster", "is sge_qmaster running, and can this host reach it?"),
    ("slurm", "is slurmctld running, and is SLURM_CONF in [hpc] command_environment right?"),
    ("pbs", "is pbs_server running, and is PBS_DEFAULT in [hpc] command_environment right?"),
)


class HelperFailed(Exception):
    """The helper died, hung, or would not start.

    Attributes:
        asked: whether the question had reached it: then it may have had its effect.
    """

    def __init__(self, message: str, *, asked: bool) -> None:
        super().__init__(message)
        self.asked = asked


class Helper:
    """The process with the session: started when needed, and again when it died.

    Args:
        library: ``libdrmaa.so``.
        environment: what the library needs (``SGE_ROOT``, ``SLURM_CONF``).
        timeout: seconds for one call.
    """

    def __init__(
        self, library: Path, environment: Mapping[str, str], *, timeout: float = 60.0
    ) -> None:
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C",
            # Grid Engine's library needs more room for thread-local variables than glibc spares.
            "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=4096",
            "DRMAA_LIBRARY_PATH": str(library),
            **environment,
        }
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    @property
    def pid(self) -> int | None:
        """Of the living helper."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One call.

        Args:
            do: a method of :class:`~.drmaa_helper.Session`.
            request: its arguments.

        Raises:
            HelperFailed: no answer.
        """
        if self.pid is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **request}).encode() + b"\n"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError as error:
            raise HelperFailed(self._obituary(), asked=True) from error
        return self._read(asked=True)

    def close(self) -> None:
        """End the helper."""
        process, self._process = self._process, None
        self._buffer = b""
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _start(self) -> None:
        self.close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pywps_hpc.dispatch.schedulers.drmaa_helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        hello = self._read(asked=False)
        if "error" in hello:
            self.close()
            raise HelperFailed(with_remedy(": ".join(hello["error"])), asked=False)
        LOGGER.info("DRMAA session open: %s, pid %s", hello, self.pid)

    def _read(self, *, asked: bool) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._buffer:
            ready, _, _ = select.select(
                [process.stdout], [], [], max(0, deadline - time.monotonic())
            )
            if not ready:
                process.kill()
                self.close()
                raise HelperFailed(f"no answer from DRMAA within {self._timeout:g} s", asked=asked)
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                raise HelperFailed(self._obituary(starting=not asked), asked=asked)
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _obituary(self, *, starting: bool = False) -> str:
        """What to say of a helper that is gone."""
        process = self._process
        code = process.wait() if process is not None else None
        self.close()
        how = f"ended with exit code {code}"
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        words = f"the DRMAA helper {how}"
        if starting:
            words += " while it opened its session; is the batch system's server running?"
        return words


class DrmaaScheduler(Scheduler):
    """A batch system through its DRMAA library.

    Args:
        helper: holds the session.
        commands: the same batch system through its own commands, for what DRMAA cannot tell.
    """

    def __init__(self, helper: Helper, commands: CommandScheduler) -> None:
        self.system = commands.system
        self.helper = helper
        self.commands = commands

    def header(self, job: BatchJob) -> Sequence[str]:
        return self.commands.header(job)

    def submit(self, jobs: Sequence[BatchJob]) -> list[str]:
        ids: list[str] = []
        for job in jobs:
            try:
                ids.append(self._submit(job))
            except SchedulerError as error:
                error.accepted = tuple(ids)
                raise
        return ids

    def find(self, name: str) -> list[str]:
        return self.commands.find(name)

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        states = self._ask("status", ids=sorted(ids))["states"]
        answer = {}
        for job, state in states.items():
            answer[job] = STATES.get(state) or self.commands.dialect.unknown_state(state)
        return answer

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        return self.commands.history(ids)

    def cancel(self, ids: Collection[str]) -> None:
        self._control(ids, "TERMINATE")

    def pause(self, ids: Collection[str]) -> None:
        self._steer(ids, {Phase.QUEUED: "HOLD", Phase.RUNNING: "SUSPEND"})

    def resume(self, ids: Collection[str]) -> None:
        self._steer(ids, {Phase.HELD: "RELEASE", Phase.SUSPENDED: "RESUME"})

    def explain(self, log_tail: str) -> Outcome | None:
        return self.commands.explain(log_tail)

    def close(self) -> None:
        self.helper.close()
        self.commands.close()

    def _submit(self, job: BatchJob) -> str:
        try:
            answer = self.helper.ask(
                "submit",
                script=job.path,
                name=job.name,
                log=job.log,
                native=self.commands.dialect.native_specification(job),
            )
        except HelperFailed as error:
            if error.asked:
                raise SubmissionUncertain(str(error), command="drmaa_run_job") from error
            raise SchedulerUnavailable(str(error), command="drmaa_init") from error
        if "error" in answer:
            kind, words = answer["error"]
            if kind in CANNOT_ASK:
                raise SubmissionUncertain(words, command="drmaa_run_job", output=kind)
            raise SubmissionRefused(words, command="drmaa_run_job", output=kind)
        job_id = str(answer["id"])
        if not job_id:  # seen of pbs-drmaa after its server had gone
            raise SubmissionUncertain("DRMAA gave an empty job id", command="drmaa_run_job")
        return job_id

    def _steer(self, ids: Collection[str], actions: Mapping[Phase, str]) -> None:
        todo: dict[str, list[str]] = {}
        for job, status in self.poll(ids).items():
            if status.phase in actions:
                todo.setdefault(actions[status.phase], []).append(job)
        for action, jobs in todo.items():
            self._control(jobs, action)

    def _control(self, ids: Collection[str], action: str) -> None:
        errors = self._ask("control", ids=sorted(ids), action=action)["errors"]
        for job, (kind, words) in errors.items():
            if kind in NOT_PERMITTED:
                raise NotPermitted(words, command=f"drmaa_control {action}", output=job)
            if kind in CANNOT_ASK:
                raise SchedulerUnavailable(words, command=f"drmaa_control {action}", output=job)
            LOGGER.info("%s: %s of %s: %s (%s)", self.system, action, job, words, kind)

    def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self.helper.ask(do, **request)
        except HelperFailed as error:
            raise SchedulerUnavailable(str(error), command=f"DRMAA {do}") from error
        if "error" in answer:
            kind, words = answer["error"]
            raise SchedulerUnavailable(words, command=f"DRMAA {do}", output=kind)
        return answer


def with_remedy(problem: str) -> str:
    """A library's complaint at start, with what to do about it."""
    for sign, remedy in REMEDIES:
        if sign in problem.lower():
            return f"{problem} — {remedy}"
    return problem
