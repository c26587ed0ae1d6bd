"""TORQUE's dialect: qsub, qstat, qdel, qhold, qrls, qsig. Measured on TORQUE's master branch.

The queue is asked about jobs by their full ids (``123.server``), for then qstat names those that it
does not know: an empty answer cannot be mistaken for an empty queue. A job that ended is listed for
``keep_completed`` seconds (qmgr(8)), after which nobody but its own document knows how; users have
no history.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    SchedulerError,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.schedulers.dialect import (
    Action,
    Dialect,
    Drmaa,
    Question,
    turned_down,
)
from pywps_hpc.dispatch.schedulers.messages.torque import MESSAGES
from pywps_hpc.dispatch.schedulers.states import torque
from pywps_hpc.dispatch.schedulers.text import (
    first_line,
    indices,
    job_name,
    plain,
    plain_word,
    printed_id,
    read_version,
)
from pywps_hpc.durations import clock

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
WRONG_STATE = 170  # PBSE_BADSTATE 15018


# Measured: nine or more unknown ids spoil the memory of the commands, which go on to name servers
# that do not exist.
_MOST_IDS = 8

_ID = re.compile(r"(\d+(?:\[\d*\])?(?:\.[\w.-]+)+)")
_ELEMENT = re.compile(r"-\d+$")  # what it appends to the name of an array
_UNKNOWN = re.compile(r"^qstat: Unknown (?:Job Id|Array ID)(?: Error)? (\S+)", re.MULTILINE)


class TorqueDialect(Dialect):
    """TORQUE through its own commands."""

    system = "torque"
    messages = MESSAGES
    remedies = (
        ("default server", "[hpc] command_environment: PBS_DEFAULT must name the server"),
        ("pbs_iff", "is trqauthd running on this host?"),
        ("trqauthd", "is trqauthd running on this host?"),
        ("munge", "is munged running on this host, with the cluster's key?"),
    )
    drmaa = Drmaa(
        signs=("pbs", "torque"),
        remedies=(
            (
                "pbs",
                "is pbs_server running, and is PBS_DEFAULT in [hpc] command_environment right?",
            ),
        ),
        # Measured: pbs-drmaa submits one job after the other, which have no index by which to find
        # them, and crashes when one of them is refused.
        arrays=False,
    )
    # Whatever else they say (measured: see _MOST_IDS), by these codes the server has answered.
    answers = frozenset({0, UNKNOWN_JOB, UNAUTHORIZED, WRONG_STATE})
    index = re.compile(r"\[(\d+)\]")
    poll_chunk = recent_chunk = control_chunk = _MOST_IDS

    def header(self, job: BatchJob) -> list[str]:
        # qsub(1B), -o: a colon would end a host name. Without one the path is on the submitting
        # host, where MOM copies the log at the job's end, over what is there: the same file where
        # its folder is shared (mom_priv/config: $usecp; $spool_as_final_name to write it live, to a
        # plain file of the owner's only: measured, a symbolic link ends the job with -9).
        if ":" in job.log:
            raise ValueError(f"TORQUE cannot take a colon in the path of a log: {job.log!r}")
        # Measured: for the element 7 of an array it appends "-7" to the path, and to the name.
        log = plain_word(job.log, "log") + ("/log" if job.array_indices else "")
        lines = [f"-N {job_name(job.name)}", f"-o {log}", "-j oe", "-d /"]
        if job.array_indices:
            lines.append(f"-t {indices(job.array_indices)}")
        return [f"#PBS {line}" for line in [*lines, *_options(job)]]

    def submit(self, job: BatchJob) -> Question[str]:
        return Question(("qsub",), read_submitted, stdin=job.script)

    def probe(self) -> Question[dict[str, JobStatus]]:
        return self.poll(("0",))  # the server says that it is unknown; the default lists all jobs

    def version(self) -> Question[str]:
        return Question(("qstat", "--version"), read_version)

    def element(self, array: str, array_index: int) -> str:
        return array.replace("[]", f"[{array_index}]", 1)

    def find(self, *names: str) -> Sequence[Question[dict[str, JobStatus]]]:
        # -t: each element of an array by itself.
        wanted = set(map(job_name, names))
        return (Question(("qstat", "-f", "-1", "-t"), partial(self._read_named, wanted)),)

    def poll(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question(("qstat", "-f", "-1", *ids), partial(self.read_queue, ids))

    def recent(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return self.poll(ids)  # while keep_completed lasts

    def control(
        self, action: Action, ids: Sequence[str], detail: str = ""
    ) -> Sequence[Question[None]]:
        held_by = torque.HOLD.search(detail)
        if action is Action.RELEASE and held_by and "u" not in held_by.group(1):
            # qrls would report success and take away nothing but the owner's own hold.
            raise NotPermitted(
                f"TORQUE: the job is held by its administration ({held_by.group()}), which only an "
                "operator of the server can undo"
            )
        return (Question((*COMMANDS[action], *ids), read_control),)

    def native_specification(self, job: BatchJob) -> str:
        # pbs-drmaa reads a subset of qsub's options.
        return " ".join(_options(job))

    def read_queue(
        self, ids: Sequence[str], returncode: int, stdout: str, stderr: str
    ) -> dict[str, JobStatus]:
        """qstat's answer about these jobs.

        Raises:
            SchedulerUnavailable: some of them are neither described nor said to be unknown.
        """
        answer = {job: self._status(record) for job, record in _records(returncode, stdout, stderr)}
        # Without its server's name an id is completed with another spelling of that name.
        answered = {_number(job) for job in (*answer, *_UNKNOWN.findall(stderr))}
        for job in ids:
            if _number(job) not in answered:
                raise SchedulerUnavailable(f"qstat's answer lacks {job}")
        return answer

    def _read_named(
        self, names: Collection[str], returncode: int, stdout: str, stderr: str
    ) -> dict[str, JobStatus]:
        found = {job: self._status(record) for job, record in _records(returncode, stdout, stderr)}
        return {job: status for job, status in found.items() if status.name in names}

    def _status(self, record: dict[str, str]) -> JobStatus:
        status = torque.status(record) or self.unknown_state(record["job_state"])
        return replace(status, name=_ELEMENT.sub("", record.get("Job_Name", "")))

    def explain(self, log_tail: str) -> Outcome | None:
        return torque.explain(log_tail)


def read_submitted(returncode: int, stdout: str, stderr: str) -> str:
    """The id that qsub printed last; banners and the site's submit filter may speak before."""
    if returncode != 0:
        match = re.search(r"qsub: (?:submit error )?\(?(.+?)\)?$", stderr, re.MULTILINE)
        # Libraries put it otherwise than the command.
        known = MESSAGES.passing.search(stderr) or MESSAGES.final.search(stderr)
        reason = match.group(1) if match else first_line(stderr) if known else ""
        if not reason:
            raise SchedulerUnavailable(f"qsub ended with {returncode}: {first_line(stderr)}")
        raise turned_down("TORQUE", reason, stderr, MESSAGES)
    return printed_id("qsub", stdout, _ID)


def read_control(returncode: int, stdout: str, stderr: str) -> None:
    """The answer of qdel and its like, a line for each failure: "it is over" is none."""
    said = [line for line in stderr.splitlines() if line.strip()]
    if returncode in (UNKNOWN_JOB, WRONG_STATE):  # it has answered, whatever else it says
        said = [line for line in said if not MESSAGES.cannot_ask.search(line)]
    grave = [line for line in said if not MESSAGES.gone.search(line)]
    # Libraries have the messages without the commands' exit status.
    if returncode == 0 or (not grave and (said or returncode in (UNKNOWN_JOB, WRONG_STATE))):
        return
    reason = "; ".join(grave) or f"exit status {returncode}"
    if returncode == UNAUTHORIZED or MESSAGES.forbidden.search(reason):
        raise NotPermitted(f"TORQUE: {reason} (an operator of the server may do this)")
    raise SchedulerError(f"TORQUE: {reason}")


def _records(returncode: int, stdout: str, stderr: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and attributes of each job; an unknown one among them does not spoil the rest."""
    if returncode not in (0, UNKNOWN_JOB):
        raise SchedulerUnavailable(f"qstat failed: {first_line(stderr) or returncode}")
    _, *records = re.split(r"^Job Id: ", stdout, flags=re.MULTILINE)
    for text in records:
        job, *lines = text.split("\n")
        record: dict[str, str] = {}
        for line in lines:
            key, found, value = line.strip().partition(" = ")
            if found:
                record.setdefault(key, value)
        if not text.endswith("\n\n") or "job_state" not in record:
            raise SchedulerUnavailable(f"qstat's answer is cut off at {job}")
        yield job.strip(), record


def _options(job: BatchJob) -> Iterator[str]:
    need = job.resources
    yield "-S /bin/bash"
    yield "-r y" if need.requeue else "-r n"
    yield "-m n"
    gpus = f":gpus={need.gpus:d}" if need.gpus else ""
    walltime = clock(need.walltime)
    # Measured: mem limits each process by itself (RLIMIT_DATA), whose allocation then fails. vmem
    # would limit their sum, but of addresses, which says little of memory in use.
    yield f"-l nodes=1:ppn={need.cpus:d}{gpus},mem={need.memory:d}mb,walltime={walltime}"
    if need.queue:
        yield f"-q {plain_word(need.queue, 'queue')}"
    if need.account:
        yield f"-A {plain_word(need.account, 'account')}"
    yield from (plain(extra, "extra option") for extra in need.extra)


def _number(job: str) -> str:
    """The id without its server."""
    return job.partition(".")[0]


DIALECT = TorqueDialect
