"""A batch system reached through its own commands.

One engine for all dialects: it does the input and output, gives every command a time limit, cuts
long lists of ids into chunks, and keeps apart "no", "cannot ask" and "cannot know".
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from pywps_hpc.dispatch.channels.local import (
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
    Resources,
    Scheduler,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.dialect import Action, Dialect, Question
from pywps_hpc.dispatch.schedulers.lookup import Found, LookUp
from pywps_hpc.dispatch.schedulers.parts import Ask as AskAbout
from pywps_hpc.dispatch.schedulers.parts import NotInstalled, NotStarted, Parts, Unasked
from pywps_hpc.dispatch.schedulers.why import Why

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
        self.remedies = dialect.remedies
        self.dialect = dialect
        self._channel = channel
        self._timeout = timeout
        self._said: set[str] = set()
        self._why = Why(dialect.why, self._ask, hopeless=dialect.hopeless_waits)
        self._parts: defaultdict[str, Parts] = defaultdict(Parts)
        self.unpolled: set[str] = set()
        self._without_history: set[str] = set()
        self.forgotten: set[str] = set()

    @property
    def unasked(self) -> Collection[str]:  # type: ignore[override]
        return self.unpolled | self._without_history

    def header(self, job: BatchJob) -> Sequence[str]:
        return self.dialect.header(job)

    def takes_arrays(self, need: Resources) -> bool:
        return self.dialect.takes_arrays(need)

    def probe(self) -> str:
        self._ask(self.dialect.probe())
        question, version = self.dialect.version(), ""
        if question is not None:
            with contextlib.suppress(SchedulerUnavailable):
                version = self._ask(question)
        return f"{self.system} {version}".rstrip()

    def submit(self, job: BatchJob) -> list[str]:
        native = self._submit(job)
        return [self.dialect.element(native, index) for index in job.array_indices] or [native]

    def find(self, name: str, array_index: int = 0) -> list[str]:
        found, unasked = self.find_all([(name, array_index)])
        if unasked is not None:
            raise unasked
        return found[name, array_index]

    def find_all(
        self, wanted: Collection[tuple[str, int]]
    ) -> tuple[Found, SchedulerUnavailable | None]:
        return LookUp(self.dialect, self._ask, self._lacks_accounting).find(wanted)

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        self._without_history = set()
        answer = self._poll(ids)
        vague = [job for job, status in answer.items() if _is_vague(status)]
        if vague:
            # "Over, somehow" is no answer yet: whoever asks takes them for gone from the queue.
            details, unasked = self._details(vague)
            answer.update(details)
            for job in unasked:
                log.info("%s: no details of %s: %s", self.system, job, unasked[job])
                del answer[job]
        return self._why.added(answer)

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        dialect = self.dialect
        self.forgotten = set()
        answer, unasked, silent = self._ended(
            ids,
            ("history", dialect.history, dialect.history_chunk),
            ("recent", dialect.recent, dialect.recent_chunk),
        )
        # "Not known" is an answer only if every source was asked.
        if len(unasked) == len(set(ids)) and not answer and ids:
            raise next(iter(unasked.values()))
        self._without_history = set(unasked)
        if silent == {"history"}:  # the server was asked about each by its id
            self.forgotten = set(ids) - answer.keys() - unasked.keys()
        return answer

    def cancel(self, ids: Collection[str]) -> None:
        self.wake(ids)
        self._control(Action.CANCEL, ids)

    def wake(self, ids: Collection[str]) -> None:
        """Let suspended jobs go on, where only a running job can be cancelled for certain."""
        if not self.dialect.cancels_running:
            return
        for job, status in self._poll(ids).items():
            if status.phase is Phase.SUSPENDED:
                try:
                    self._control(Action.RESUME, [job], status.detail)
                except SchedulerUnavailable:
                    raise
                except SchedulerError as error:  # it may be possible to cancel it nevertheless
                    log.info("%s: %s", self.system, error)

    def pause(self, ids: Collection[str]) -> None:
        self._steer(PAUSE, ids)

    def resume(self, ids: Collection[str]) -> None:
        self._steer(RESUME, ids)

    def explain(self, log_tail: str) -> Outcome | None:
        return self.dialect.explain(log_tail)

    def close(self) -> None:
        self._channel.close()

    def ask(self, question: Question[Answer]) -> Answer:
        """Ask one question of the batch system, with the time limit of all its commands.

        Raises:
            SchedulerUnavailable: it was not answered.
            SchedulerError: it was answered by a no.
        """
        return self._ask(question)

    def _submit(self, job: BatchJob) -> str:
        try:
            return self._ask(self.dialect.submit(job))
        except SubmissionPostponed:
            raise
        except NotStarted as error:
            raise SubmissionPostponed(str(error), command=error.command) from error
        except SchedulerUnavailable as error:
            if self.dialect.messages.not_taken.search(error.output):
                raise SubmissionPostponed(
                    str(error),
                    command=error.command,
                    returncode=error.returncode,
                    output=error.output,
                ) from error
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

        def ask(chunk: Sequence[str]) -> None:
            found = self._ask(self.dialect.poll(chunk))
            answer.update(found)

        self.unpolled = set(self._in_parts("poll", wanted, self.dialect.poll_chunk, ask))
        return {job: answer[job] for job in wanted if job in answer}

    def _in_parts(self, kind: str, ids: Sequence[str], size: int, ask: AskAbout) -> Unasked:
        """Ask a few at a time; who could not be asked about, where others could."""
        if not size and ids:
            ask(ids)  # the question is the same whoever it is about
            return {}
        unasked = self._parts[kind].ask(ids, size, ask)
        for job, error in unasked.items():
            self._say_once("%s: cannot query %s: %s", self.system, job, error)
        return unasked

    def _details(self, vague: Sequence[str]) -> tuple[dict[str, JobStatus], Unasked]:
        """More about jobs that the queue lists as ended but not how; asked of the server first,
        since accounting lags. Where nobody knows more, what the queue said stands; also returned
        is where somebody who may know could not be asked."""
        dialect = self.dialect
        known, unasked, _ = self._ended(
            vague,
            ("recent", dialect.recent, dialect.recent_chunk),
            ("history", dialect.history, dialect.history_chunk),
        )
        return {job: status for job, status in known.items() if not _is_vague(status)}, unasked

    def _ended(
        self, ids: Collection[str], *sources: tuple[str, Ask, int]
    ) -> tuple[dict[str, JobStatus], Unasked, set[str]]:
        """Ask one source after the other about the ids still open; only ends count, since
        accounting may show a job that left the queue as running for a while (or for ever). Also
        returned is who is still open while some source could not be asked about it, and which
        sources there are none of."""
        answer: dict[str, JobStatus] = {}
        unasked: Unasked = {}
        silent: set[str] = set()
        for kind, ask, size in sources:

            def look(chunk: Sequence[str], kind: str = kind, ask: Ask = ask) -> None:
                if answer.keys() >= set(chunk):
                    return  # elements of an array whose other elements were asked about
                question = ask(chunk)
                if question is None:
                    silent.add(kind)
                    return
                found = self._ask(question)
                answer.update(
                    (job, found[job])
                    for job in ids
                    if job in found and found[job].phase is Phase.FINISHED
                )

            still = sorted(set(ids) - answer.keys())
            try:
                unasked.update(self._in_parts(kind, still, size, look))
            except NotInstalled as error:
                silent.add(kind)
                self._lacks_accounting(error)
            except SchedulerUnavailable as error:
                unasked.update(dict.fromkeys(still, error))
        unasked = {job: error for job, error in unasked.items() if job not in answer}
        return answer, unasked, silent

    def _steer(self, actions: dict[Phase, Action], ids: Collection[str]) -> None:
        todo: dict[tuple[Action, str], list[str]] = {}
        for job, status in self._poll(ids).items():
            # One that was sent a stop signal may run on: for a pause it counts as running.
            uncertain = status.by_signal and actions is PAUSE
            phase = Phase.RUNNING if uncertain else status.phase
            if phase in actions:
                todo.setdefault((actions[phase], status.detail), []).append(job)
        for (action, detail), jobs in todo.items():
            self._control(action, jobs, detail)

    def _control(self, action: Action, ids: Collection[str], detail: str = "") -> None:
        def tell(chunk: Sequence[str]) -> None:
            ways = self.dialect.control(action, chunk, detail)
            for way in ways:
                try:
                    self._ask(way)
                    break
                except NotPermitted as error:
                    if way is ways[-1]:
                        raise
                    self._say_once("%s: %s; trying another way", self.system, error)

        untold = self._in_parts(action.value, sorted(set(ids)), self.dialect.control_chunk, tell)
        if untold:
            error = next(iter(untold.values()))
            raise SchedulerError(f"{', '.join(untold)}: {error}", command=error.command)

    def _ask(self, question: Question[Answer]) -> Answer:
        command = shlex.join(question.argv)
        try:
            reply = self._channel.run(question.argv, stdin=question.stdin, timeout=self._timeout)
        except CommandMissing as error:
            raise NotInstalled(str(error), command=command) from error
        except ChannelUnavailable as error:
            raise NotStarted(str(error), command=command) from error
        except ChannelError as error:
            raise SchedulerUnavailable(str(error), command=command) from error
        output = f"{reply.stdout}\n{reply.stderr}".strip()
        log.debug("%s -> %s", command, reply.returncode)
        try:
            if reply.returncode < 0:
                raise SchedulerUnavailable(
                    f"{question.argv[0]} was killed by signal {-reply.returncode}"
                )
            failed = reply.returncode not in self.dialect.answers
            if failed and (match := self.dialect.messages.cannot_ask.search(reply.stderr)):
                raise SchedulerUnavailable(f"{self.system} cannot be reached: {match.group()}")
            return question.read(*reply)
        except SchedulerError as error:
            error.command = error.command or command
            error.returncode = reply.returncode
            error.output = error.output or output
            raise

    def _lacks_accounting(self, error: NotInstalled) -> None:
        self._say_once("%s: %s", self.system, error)

    def _say_once(self, text: str, *values: object) -> None:
        said = text % values
        if said not in self._said:
            self._said.add(said)
            log.warning(text, *values)


def _is_vague(status: JobStatus) -> bool:
    """Over, but how is not known to the end."""
    return status.phase is Phase.FINISHED and (
        status.outcome in (None, Outcome.UNKNOWN)
        or (status.outcome is Outcome.EXITED and status.exit_code is None)
        or (status.outcome is Outcome.SIGNALLED and status.signal is None)
    )
