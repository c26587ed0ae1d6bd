"""A batch system through its DRMAA library, for sites where that is the way in.

DRMAA submits, holds, suspends, releases, resumes and terminates. The rest is asked by the batch
system's own commands, through the same dialect as elsewhere: DRMAA cannot look a job up by its
name, its "done" and "failed" are not to be trusted, it does not say why a job waits, and one job a
call costs 11 ms (Grid Engine) where one qstat answers for all. Only on a host without those
commands its states count.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.command import PAUSE, RESUME, CommandScheduler
from pywps_hpc.dispatch.schedulers.dialect import Action, Drmaa
from pywps_hpc.dispatch.schedulers.drmaa_session.process import Helper, HelperFailed
from pywps_hpc.dispatch.schedulers.drmaa_session.protocol import (
    CANNOT_ASK,
    DENIED,
    NO_ERROR,
    NOT_PERMITTED,
    NOT_TAKEN,
    REFUSED,
    STATES,
)
from pywps_hpc.dispatch.schedulers.parts import NotInstalled, Parts

__all__ = ["DrmaaScheduler", "Helper"]

log = logging.getLogger(__name__)

#: The C library's message for a script that is missing.
MISSING = os.strerror(errno.ENOENT)
#: Most ids in one call, each of which has the same time limit.
CHUNK = 100


class DrmaaScheduler(Scheduler):
    """A batch system through its DRMAA library.

    Args:
        helper: holds the session.
        commands: the same batch system through its own commands, for what DRMAA cannot tell.

    Raises:
        ValueError: that batch system is not supported through DRMAA.
    """

    def __init__(self, helper: Helper, commands: CommandScheduler) -> None:
        library = commands.dialect.drmaa
        if library is None:
            raise ValueError(f"{commands.system} is not supported through DRMAA")
        self._library: Drmaa = library
        self.system = commands.system
        self.arrays = library.arrays
        self.remedies = commands.remedies
        self.helper = helper
        self.commands = commands
        self._parts: defaultdict[str, Parts] = defaultdict(Parts)
        self._unpolled: set[str] = set()

    @property
    def unasked(self) -> Collection[str]:  # type: ignore[override]
        return {*self.commands.unasked, *self._unpolled}

    @property
    def unpolled(self) -> Collection[str]:  # type: ignore[override]
        return {*self.commands.unpolled, *self._unpolled}

    @property
    def forgotten(self) -> Collection[str]:  # type: ignore[override]
        return self.commands.forgotten - self._unpolled

    def header(self, job: BatchJob) -> Sequence[str]:
        return self.commands.header(job)

    def takes_arrays(self, need: Resources) -> bool:
        return self.arrays and self.commands.takes_arrays(need)

    def probe(self) -> str:
        library = self._ask("hello")
        try:
            system = self.commands.probe()
        except NotInstalled:
            system = self.system
        return f"{system} by DRMAA ({library.get('implementation') or 'library unknown'})"

    def submit(self, job: BatchJob) -> list[str]:
        command = self._library.remote_command(job.path)
        log_path = self._library.output_path(job.log)
        try:
            native = self.commands.dialect.native_specification(job)
        except ValueError as error:  # libraries read fewer characters than the script's header
            raise SubmissionRefused(str(error), command="drmaa_native_specification") from error
        request = {"command": command, "name": job.name, "log": log_path, "native": native}
        own = job.array_indices
        indices = range(own[0], own[-1] + 1) if own else (0,)
        try:
            if own:
                ends = {"first": indices[0], "last": indices[-1]}
                answer = self.helper.ask("submit_array", **request, **ends)
            else:
                answer = self.helper.ask("submit", **request)
        except HelperFailed as error:
            if error.asked:
                raise SubmissionUncertain(str(error), command="drmaa_run_job") from error
            raise SubmissionPostponed(str(error), command="drmaa_init") from error
        if "error" in answer:
            self._refused(job, *answer["error"])
        ids = [str(native_id) for native_id in answer["ids"]]
        if len(ids) != len(indices) or not all(ids):  # seen of pbs-drmaa after its server had gone
            raise SubmissionUncertain("DRMAA gave an empty job id", command="drmaa_run_job")
        return [ids[index - indices[0]] for index in own or (0,)]

    def find(self, name: str, array_index: int = 0) -> list[str]:
        return self.commands.find(name, array_index)

    def find_all(
        self, wanted: Collection[tuple[str, int]]
    ) -> tuple[dict[tuple[str, int], list[str]], SchedulerUnavailable | None]:
        return self.commands.find_all(wanted)

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        self._unpolled = set()
        try:
            return self.commands.poll(ids)
        except NotInstalled:
            return self._states(ids)

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        return self.commands.history(ids)

    def cancel(self, ids: Collection[str]) -> None:
        self._afterwards(self.commands.wake, ids)
        # DRMAA promises to know the jobs of its own session only.
        unknown = self._control(ids, Action.CANCEL)
        if unknown:
            self._afterwards(self.commands.cancel, unknown)

    def pause(self, ids: Collection[str]) -> None:
        left = self._steer(PAUSE, ids)
        # slurm-drmaa says "done" to a suspension and changes nothing.
        self._afterwards(self.commands.pause, ids, left)

    def resume(self, ids: Collection[str]) -> None:
        left = self._steer(RESUME, ids)
        # Also says what only an operator can resume.
        self._afterwards(self.commands.resume, ids, left)

    def explain(self, log_tail: str) -> Outcome | None:
        return self.commands.explain(log_tail)

    def close(self) -> None:
        self.helper.close()
        self.commands.close()

    def _refused(self, job: BatchJob, kind: str, message: str) -> NoReturn:
        """What the library's exception means; the dialect knows the batch system's messages."""
        dialect = self.commands.dialect
        if kind in REFUSED and job.path and job.path in message and MISSING in message:
            raise SubmissionRefused(
                "the job's script is missing", command="drmaa_run_job", output=f"{kind}: {message}"
            )
        error: SchedulerError = SubmissionUncertain(message or kind)
        if kind in NOT_TAKEN or dialect.messages.not_taken.search(message):
            error = SubmissionPostponed(message or kind)
        elif not dialect.messages.cannot_ask.search(message):
            if kind in DENIED:
                error = SubmissionPostponed(message or kind, answered=True, passing=False)
            elif kind in REFUSED:
                error = SubmissionRefused(message or kind)
            try:
                dialect.submit(job).read(1, "", message or kind)
            except SubmissionRefused as known:
                error = known  # slurm-drmaa calls a plain refusal an InternalException
            except SubmissionPostponed as known:
                if known.passing or kind in DENIED:
                    error = known
            except SchedulerUnavailable:
                pass  # not how the command puts it; the exception's kind is clear enough
        error.command, error.output = "drmaa_run_job", f"{kind}: {message}"
        raise error

    def _states(self, ids: Collection[str]) -> dict[str, JobStatus]:
        answer = {}

        def ask(chunk: Sequence[str]) -> None:
            for job, state in self._ask("status", ids=list(chunk))["states"].items():
                answer[job] = STATES.get(state) or self.commands.dialect.unknown_state(state)

        # The library crashes on some ids: measured, TORQUE's own.
        self._unpolled = set(self._parts["status"].ask(ids, CHUNK, ask))
        return answer

    def _steer(self, actions: Mapping[Phase, Action], ids: Collection[str]) -> list[str]:
        """Do what each job needs, and return those that have to be left to the commands."""
        todo: dict[Action, list[str]] = {}
        left: list[str] = []
        for job, status in self.poll(ids).items():
            action = actions.get(status.phase)
            if action in self._library.whole_array and self._is_element(job):
                left.append(job)
            elif action is not None:
                todo.setdefault(action, []).append(job)
        for action, jobs in todo.items():
            self._control(jobs, action)
        return left

    def _is_element(self, job: str) -> bool:
        return self.commands.dialect.index.search(job) is not None

    def _afterwards(
        self,
        do: Callable[[Collection[str]], None],
        ids: Collection[str],
        left: Collection[str] = (),
    ) -> None:
        """The same by the batch system's commands, where this host has them.

        Raises:
            NotPermitted: it has not, and these are left.
        """
        try:
            do(ids)
        except NotInstalled as error:
            if left:
                raise NotPermitted(
                    f"DRMAA holds and releases a job array of {self.system} as a whole only; one "
                    "job of it takes the commands of the batch system, which this host lacks",
                    command=error.command,
                ) from error

    def _control(self, ids: Collection[str], action: Action) -> list[str]:
        """Do this to all of the jobs, and return those that the library does not know.

        Raises:
            SchedulerError: the first error; the other jobs were tried nevertheless.
        """
        unknown: list[str] = []
        errors: list[SchedulerError] = []
        name = "TERMINATE" if action is Action.CANCEL else action.name

        def tell(chunk: Sequence[str]) -> None:
            answer = self._ask("control", ids=list(chunk), action=name)
            unknown.extend(answer["unknown"])
            for job, (kind, message) in answer["errors"].items():
                error = self._trouble(job, action, kind, message or kind)
                if error is None:
                    log.info("%s: %s of %s: %s", self.system, name, job, message)
                    continue
                error.command, error.output = f"drmaa_control {name} {job}", f"{kind}: {message}"
                errors.append(error)

        untold = self._parts[name].ask(ids, CHUNK, tell)
        errors += [SchedulerError(f"{job}: {error}") for job, error in untold.items()]
        if errors:
            raise errors[0]
        return unknown

    def _trouble(self, job: str, action: Action, kind: str, message: str) -> SchedulerError | None:
        """What the library's exception means; ``None``: there was nothing left to do."""
        if kind in NO_ERROR:
            return None
        if kind in NOT_PERMITTED:
            return NotPermitted(message)
        try:
            # slurm-drmaa says by an InternalException that a job is over.
            self.commands.dialect.control(action, [job])[0].read(1, "", message)
        except NotPermitted as known:
            return known
        except SchedulerError as known:
            return SchedulerUnavailable(message) if kind in CANNOT_ASK else known
        return None

    def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self.helper.ask(do, **request)
        except HelperFailed as error:
            raise SchedulerUnavailable(str(error), command=f"DRMAA {do}") from error
        if "error" in answer:
            kind, message = answer["error"]
            raise SchedulerUnavailable(
                message or kind, command=f"DRMAA {do}", output=f"{kind}: {message}"
            )
        return answer
