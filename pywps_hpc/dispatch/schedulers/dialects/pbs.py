"""What every PBS has in common: qsub, qstat, qdel, qhold, qrls, qsig, and how they answer.

Jobs are asked about by their full ids (``123.server``), for then qstat names those that it does not
know: an empty answer cannot be mistaken for an empty queue.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Resources,
    SchedulerError,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.schedulers.dialect import Action, Dialect, Question, turned_down
from pywps_hpc.dispatch.schedulers.states import pbs
from pywps_hpc.dispatch.schedulers.text import (
    first_line,
    job_name,
    plain,
    plain_word,
    printed_id,
    read_version,
)

COMMANDS = {
    Action.CANCEL: ("qdel",),
    Action.HOLD: ("qhold",),
    Action.RELEASE: ("qrls",),
    # qsig(1): only operators; a STOP by the owner would leave the job listed as running for ever.
    Action.SUSPEND: ("qsig", "-s", "suspend"),
    Action.RESUME: ("qsig", "-s", "resume"),
}

# pbs_error.h: exit codes are the error's number modulo 256.
UNKNOWN_JOB = 153  # PBSE_UNKJOBID 15001
UNAUTHORIZED = 159  # PBSE_PERM 15007

_ID = re.compile(r"(\d+(?:\[\d*\])?(?:\.[\w.-]+)+)")


class PbsDialect(Dialect):
    """One of the PBS through its own commands."""

    #: What users call it.
    title: str
    #: Exit codes of control commands: nothing was left to do to some job.
    over: frozenset[int]
    #: On qstat's standard error: an id that it does not know.
    unknown: re.Pattern[str]
    qsub: tuple[str, ...] = ("qsub",)
    qstat: tuple[str, ...]
    #: What is appended to the path of an array's log, for each element's own.
    element_log: str
    #: An option without which a job would start, or write its log, elsewhere.
    place: str
    index = re.compile(r"\[(\d+)\]")

    def header(self, job: BatchJob) -> list[str]:
        # qsub(1B), -o: a colon would end a host name. Without one the path is on the submitting
        # host, and so on every host: its folder is shared.
        if ":" in job.log:
            raise ValueError(f"{self.title} cannot take a colon in the path of a log: {job.log!r}")
        log = plain_word(job.log, "log") + (self.element_log if job.array_indices else "")
        lines = [f"-N {job_name(job.name)}", f"-o {log}", "-j oe", self.place]
        if job.array_indices:
            lines.append(self.array(job.array_indices))
        return [f"#PBS {line}" for line in [*lines, *self._options(job)]]

    @abstractmethod
    def array(self, own: Sequence[int]) -> str:
        """The option that makes an array of these indices."""

    @abstractmethod
    def limits(self, need: Resources) -> Sequence[str]:
        """The values of the options ``-l``."""

    @abstractmethod
    def status(self, record: Mapping[str, str]) -> JobStatus | None:
        """What a job's attributes say; ``None``: its state is not known."""

    def submit(self, job: BatchJob) -> Question[str]:
        return Question(self.qsub, self.read_submitted, stdin=job.script)

    def version(self) -> Question[str]:
        return Question(("qstat", "--version"), read_version)

    def element(self, array: str, array_index: int) -> str:
        return array.replace("[]", f"[{array_index}]", 1)

    def poll(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question((*self.qstat, *ids), partial(self.read_queue, ids))

    def control(
        self, action: Action, ids: Sequence[str], detail: str = ""
    ) -> Sequence[Question[None]]:
        held_by = pbs.HOLD.search(detail)
        if action is Action.RELEASE and held_by and "u" not in held_by.group(1):
            # qrls would report success and take away nothing but the owner's own hold.
            raise NotPermitted(
                f"{self.title}: the job is held by its administration ({held_by.group()}), which "
                "only an operator of the server can undo"
            )
        return (Question((*COMMANDS[action], *ids), self.read_control),)

    def native_specification(self, job: BatchJob) -> str:
        # pbs-drmaa reads a subset of qsub's options.
        return " ".join(self._options(job))

    def explain(self, log_tail: str) -> Outcome | None:
        return pbs.explain(log_tail)

    def read_submitted(self, returncode: int, stdout: str, stderr: str) -> str:
        """The id that qsub printed last; banners and the site's submit filter may speak before."""
        if returncode != 0:
            match = re.search(r"qsub: *(?:submit error )?\(?(.+?)\)?$", stderr, re.MULTILINE)
            # Libraries put it otherwise than the command.
            known = self.messages.passing.search(stderr) or self.messages.final.search(stderr)
            reason = match.group(1) if match else first_line(stderr) if known else ""
            if not reason:
                raise SchedulerUnavailable(f"qsub ended with {returncode}: {first_line(stderr)}")
            raise turned_down(self.title, reason, stderr, self.messages)
        return printed_id("qsub", stdout, _ID)

    def read_queue(
        self, ids: Sequence[str], returncode: int, stdout: str, stderr: str
    ) -> dict[str, JobStatus]:
        """qstat's answer about these jobs.

        Raises:
            SchedulerUnavailable: some of them are neither described nor said to be unknown.
        """
        answer = self.described(returncode, stdout, stderr)
        # Without its server's name an id is completed with another spelling of that name.
        answered = {_number(job) for job in (*answer, *self.unknown.findall(stderr))}
        for job in ids:
            if _number(job) not in answered:
                raise SchedulerUnavailable(f"qstat's answer lacks {job}")
        return answer

    def described(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """The jobs that qstat describes; an unknown one among them does not spoil the rest."""
        if returncode not in self.answers:
            raise SchedulerUnavailable(f"qstat failed: {first_line(stderr) or returncode}")
        return {
            job: replace(
                self.status(record) or self.unknown_state(record["job_state"]),
                name=record.get("Job_Name", ""),
            )
            for job, record in _records(stdout)
        }

    def read_control(self, returncode: int, stdout: str, stderr: str) -> None:
        """The answer of qdel and its like, a line for each failure: "it is over" is none."""
        said = [line for line in stderr.splitlines() if line.strip()]
        if returncode in self.over:  # it has answered, whatever else it says
            said = [line for line in said if not self.messages.cannot_ask.search(line)]
        grave = [line for line in said if not self.messages.gone.search(line)]
        # Libraries have the messages without the commands' exit status.
        if returncode == 0 or (not grave and (said or returncode in self.over)):
            return
        reason = "; ".join(grave) or f"exit status {returncode}"
        if returncode == UNAUTHORIZED or self.messages.forbidden.search(reason):
            raise NotPermitted(f"{self.title}: {reason} (an operator of the server may do this)")
        raise SchedulerError(f"{self.title}: {reason}")

    def _options(self, job: BatchJob) -> Iterator[str]:
        need = job.resources
        yield "-S /bin/bash"
        yield "-r y" if need.requeue else "-r n"
        yield "-m n"
        yield from (f"-l {limit}" for limit in self.limits(need))
        if need.queue:
            yield f"-q {plain_word(need.queue, 'queue')}"
        if need.account:
            yield f"-A {plain_word(need.account, 'account')}"
        yield from (plain(extra, "extra option") for extra in need.extra)


def _records(stdout: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and attributes of each job."""
    _, *records = re.split(r"^Job Id: ", stdout, flags=re.MULTILINE)
    for text in records:
        job, *lines = text.replace("\n\t", "").split("\n")  # long values go on in another line
        record: dict[str, str] = {}
        for line in lines:
            key, found, value = line.strip().partition(" = ")
            if found:
                record.setdefault(key, value)
        if not text.endswith("\n\n") or "job_state" not in record:
            raise SchedulerUnavailable(f"qstat's answer is cut off at {job}")
        yield job.strip(), record


def _number(job: str) -> str:
    """The id without its server."""
    return job.partition(".")[0]
