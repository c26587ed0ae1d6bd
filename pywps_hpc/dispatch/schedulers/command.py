"""A batch system reached through its own commands.

One engine for all dialects: it does the input and output, gives every command a time limit, cuts
long lists of ids into chunks, and keeps apart "no", "cannot ask" and "cannot know".
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from pywps_hpc.dispatch.channels import (
    Channel,
    ChannelError,
    ChannelUnavailable,
    CommandMissing,
)
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Scheduler,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.dialect import Action, Dialect, Question

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Ask = Callable[[Sequence[str]], "Question[dict[str, JobStatus]] | None"]

#: What to do with a job in this phase when it is to pause, or to go on; other phases need nothing.
PAUSE = {Phase.QUEUED: Action.HOLD, Phase.RUNNING: Action.SUSPEND}
RESUME = {Phase.HELD: Action.RELEASE, Phase.SUSPENDED: Action.RESUME}


class CommandScheduler(Scheduler):
    """A batch system driven by a dialect over a channel.

    Args:
        dialect: the batch system's commands.
        channel: where they run.
        timeout: limit for each command in seconds.
    """

    def __init__(self, dialect: Dialect, channel: Channel, *, timeout: float = 30.0) -> None:
        self.system = dialect.system
        self.arrays = True
        self.dialect = dialect
        self._channel = channel
        self._timeout = timeout
        self._said: set[str] = set()

    def header(self, job: BatchJob) -> Sequence[str]:
        return self.dialect.header(job)

    def submit(self, job: BatchJob) -> list[str]:
        native = self._submit(job)
        return [self.dialect.element(native, place) for place in job.places] or [native]

    def find(self, name: str, place: int = 0) -> list[str]:
        unasked: SchedulerUnavailable | None = None
        for order, question in enumerate(self.dialect.find(name)):
            try:
                found = self._ask(question)
            except _NotInstalled as error:
                if order == 0:  # a site may lack accounting, but not the queue
                    raise
                self._say_once("%s: %s", self.system, error)
            except SchedulerUnavailable as error:
                unasked = error
            else:
                if ids := [job for job in found if self._place(job) == place]:
                    return ids
        # "Nowhere" is an answer only if every place was asked.
        if unasked is not None:
            raise unasked
        return []

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        answer = self._poll(ids)
        vague = [job for job, status in answer.items() if _is_vague(status)]
        if vague:
            try:
                answer.update(self._details(vague))
            except SchedulerUnavailable as error:
                # "Over, somehow" is no answer yet: whoever asks takes them for gone from the queue.
                log.info("%s: no details of ended jobs: %s", self.system, error)
                for job in vague:
                    del answer[job]
        return answer

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        dialect = self.dialect
        return self._ended(
            ids, (dialect.history, dialect.history_chunk), (dialect.recent, dialect.recent_chunk)
        )

    def cancel(self, ids: Collection[str]) -> None:
        self._control(Action.CANCEL, ids)

    def pause(self, ids: Collection[str]) -> None:
        self._steer(PAUSE, ids)

    def resume(self, ids: Collection[str]) -> None:
        self._steer(RESUME, ids)

    def explain(self, log_tail: str) -> Outcome | None:
        return self.dialect.explain(log_tail)

    def close(self) -> None:
        self._channel.close()

    def _place(self, job: str) -> int:
        match = self.dialect.index.search(job)
        return int(match.group(1)) if match else 0

    def _submit(self, job: BatchJob) -> str:
        try:
            return self._ask(self.dialect.submit(job))
        except SubmissionPostponed:
            raise
        except _NotStarted as error:
            raise SubmissionPostponed(str(error), command=error.command) from error
        except SchedulerUnavailable as error:
            # Slurm was seen to answer "Socket timed out" for a job that ran later.
            raise SubmissionUncertain(
                f"no clear answer to the submission of {job.name}: {error}",
                command=error.command,
                returncode=error.returncode,
                output=error.output,
            ) from error

    def _poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """What the queue says of these jobs."""
        wanted = sorted(set(ids))
        answer: dict[str, JobStatus] = {}
        for chunk in _chunks(wanted, self.dialect.poll_chunk or len(wanted)):
            found = self._ask(self.dialect.poll(chunk))
            answer.update(found)
        return {job: answer[job] for job in wanted if job in answer}

    def _details(self, vague: Sequence[str]) -> dict[str, JobStatus]:
        """More about jobs that the queue lists as ended but not how; asked of the server first,
        since accounting lags. Where nobody knows more, what the queue said stands.

        Raises:
            SchedulerUnavailable: somebody who may know could not be asked.
        """
        dialect = self.dialect
        known = self._ended(
            vague,
            (dialect.recent, dialect.recent_chunk),
            (dialect.history, dialect.history_chunk),
        )
        return {job: status for job, status in known.items() if not _is_vague(status)}

    def _ended(self, ids: Collection[str], *sources: tuple[Ask, int]) -> dict[str, JobStatus]:
        """Ask one source after the other about the ids still open; only ends count, since
        accounting may show a job that left the queue as running for a while (or for ever)."""
        answer: dict[str, JobStatus] = {}
        unasked: SchedulerUnavailable | None = None
        for ask, size in sources:
            for chunk in _chunks(sorted(set(ids) - answer.keys()), size):
                if answer.keys() >= set(chunk):
                    continue  # elements of an array whose other elements were asked about
                question = ask(chunk)
                if question is None:
                    break
                try:
                    found = self._ask(question)
                except _NotInstalled as error:
                    self._say_once("%s: %s", self.system, error)
                    break
                except SchedulerUnavailable as error:
                    unasked = error
                    break
                answer.update(
                    (job, found[job])
                    for job in ids
                    if job in found and found[job].phase is Phase.FINISHED
                )
        # "Not known" is an answer only if every source was asked.
        if unasked is not None and set(ids) - answer.keys():
            raise unasked
        return answer

    def _steer(self, actions: dict[Phase, Action], ids: Collection[str]) -> None:
        todo: dict[tuple[Action, str], list[str]] = {}
        for job, status in self._poll(ids).items():
            if status.phase in actions:
                todo.setdefault((actions[status.phase], status.detail), []).append(job)
        for (action, detail), jobs in todo.items():
            self._control(action, jobs, detail)

    def _control(self, action: Action, ids: Collection[str], detail: str = "") -> None:
        for chunk in _chunks(sorted(set(ids)), self.dialect.control_chunk):
            ways = self.dialect.control(action, chunk, detail)
            for way in ways:
                try:
                    self._ask(way)
                    break
                except NotPermitted as error:
                    if way is ways[-1]:
                        raise
                    self._say_once("%s: %s; doing the next best", self.system, error)

    def _ask(self, question: Question[Answer]) -> Answer:
        command = shlex.join(question.argv)
        try:
            reply = self._channel.run(question.argv, stdin=question.stdin, timeout=self._timeout)
        except CommandMissing as error:
            raise _NotInstalled(str(error), command=command) from error
        except ChannelUnavailable as error:
            raise _NotStarted(str(error), command=command) from error
        except ChannelError as error:
            raise SchedulerUnavailable(str(error), command=command) from error
        output = f"{reply.stdout}\n{reply.stderr}".strip()
        log.debug("%s -> %s", command, reply.returncode)
        try:
            if reply.returncode < 0:
                raise SchedulerUnavailable(
                    f"{question.argv[0]} was killed by signal {-reply.returncode}"
                )
            if reply.returncode != 0 and (match := self.dialect.cannot_ask.search(output)):
                raise SchedulerUnavailable(f"{self.system} cannot be asked: {match.group()}")
            return question.read(*reply)
        except SchedulerError as error:
            error.command = error.command or command
            error.returncode = reply.returncode
            error.output = error.output or output
            raise

    def _say_once(self, text: str, *values: object) -> None:
        said = text % values
        if said not in self._said:
            self._said.add(said)
            log.warning(text, *values)


class _NotStarted(SchedulerUnavailable):
    """The command certainly did not start."""


class _NotInstalled(_NotStarted):
    """There is no such command: a site without accounting, for one."""


def _is_vague(status: JobStatus) -> bool:
    """Over, but how is not known to the end."""
    return status.phase is Phase.FINISHED and (
        status.outcome in (None, Outcome.UNKNOWN)
        or (status.outcome is Outcome.EXITED and status.exit_code is None)
        or (status.outcome is Outcome.SIGNALLED and status.signal is None)
    )


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), max(size, 1)):
        yield ids[start : start + size]
