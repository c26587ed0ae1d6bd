"""Slurm's dialect: sbatch, squeue, sacct, scontrol, scancel. Measured on 22.05 and 24.11.

Output formats are named field by field and keep their header line: it proves that the command
really answered, so that an empty queue and an empty answer are two different things. No
``--json``: it is unstable between releases and very large.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.accounting import Accounted
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Resources,
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
from pywps_hpc.dispatch.schedulers.messages.slurm import MESSAGES
from pywps_hpc.dispatch.schedulers.parts import NotInstalled
from pywps_hpc.dispatch.schedulers.states import sacct, slurm
from pywps_hpc.dispatch.schedulers.text import (
    first_line,
    indices,
    job_name,
    parse_indices,
    plain,
    printed_id,
    read_version,
    seconds,
    whole_lines,
)
from pywps_hpc.durations import clock

COMMANDS = {
    Action.CANCEL: (("scancel",),),
    Action.HOLD: (("scontrol", "hold"),),
    Action.RELEASE: (("scontrol", "release"),),
    # scontrol(1): only operators suspend; an owner can stop his processes by a signal (scancel(1)).
    Action.SUSPEND: (("scontrol", "suspend"), ("scancel", "--signal=STOP", "--full")),
    Action.RESUME: (("scontrol", "resume"),),
}
# The way back differs; measured: a signal sent to a job that an operator suspended hangs.
CONTINUE_STOPPED = (("scancel", "--signal=CONT", "--full"),)
SLURM_CONF = "[hpc] command_environment: SLURM_CONF must name the cluster's slurm.conf"

_MARK = "pywps-hpc|"  # tells a row from a banner of the login shell
_ROW = re.compile(re.escape(_MARK) + r"(?=JOBID\||\d+(?:_\d+)?\|)")
_END = "|end"  # tells a whole row from one that is cut off
_QUEUE_FORMAT = f"{_MARK}%i|%T|%r|%j{_END}"
_SACCT_FORMAT = "JobID,State,ExitCode,ElapsedRaw,TimelimitRaw,Submit,JobName"
_SACCT_HEADINGS = tuple(
    told.replace(",", "|") for told in (_SACCT_FORMAT, _SACCT_FORMAT.replace("Submit,", ""))
)
# --all: also jobs in partitions that are hidden from this user, or they would seem to be gone.
# --array: each element of an array on a line of its own.
_SQUEUE = ("squeue", "--all", "--array", "--me", "--states=all", f"--format={_QUEUE_FORMAT}")
_SACCT = ("sacct", "--allocations", "--parsable2", f"--format={_SACCT_FORMAT}")
_EXIT = re.compile(r"\d+:\d+")
_ID = re.compile(r"\d+(_\d+)?")
_PENDING = re.compile(r"(\d+)_\[([\d,-]+)(%\d+)?\]")
_SUBMITTED = re.compile(r"(\d+)(;[\w.-]+)?")
_SAFE = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


class SlurmDialect(Dialect):
    """Slurm through its own commands."""

    system = "slurm"
    messages = MESSAGES
    remedies = (
        ("establish a configuration source", SLURM_CONF),
        ("process configuration file", SLURM_CONF),
        ("munge", "is munged running on this host, with the cluster's key?"),
        ("slurm controller", "is slurmctld running, and can this host reach it?"),
    )
    # slurm-drmaa, measured with 1.1.6 on Slurm 22.05.
    drmaa = Drmaa(
        signs=("slurm",),
        remedies=(
            (
                "slurm",
                "is slurmctld running, and is SLURM_CONF in [hpc] command_environment right?",
            ),
        ),
        # It writes a script of its own with this as its last line. Without "exec" a shell would
        # stand between Slurm's signals and ours, and a killed script's exit code would be lost.
        remote_command=lambda path: f"exec {shlex.quote(path)}",
        # It hands this to Slurm, which reads patterns in it (sbatch(1), filename pattern).
        output_path=lambda log: log.replace("%", "%%"),
        # It reads the number before the "_".
        whole_array=frozenset({Action.HOLD, Action.RELEASE}),
    )
    index = re.compile(r"_(\d+)$")

    def header(self, job: BatchJob) -> list[str]:
        need = job.resources
        warning = slurm.warning(need.walltime)
        options = [
            ("job-name", job_name(job.name)),
            ("comment", job.comment),
            # sbatch(1), filename pattern
            ("output", job.log.replace("%", "%%") + ("/log-%a" if job.array_indices else "")),
            ("array", indices(job.array_indices) if job.array_indices else ""),
            ("open-mode", "append"),
            ("chdir", "/"),
            ("nodes", f"{need.nodes:d}"),
            ("ntasks", f"{need.ranks:d}"),
            ("ntasks-per-node", f"{need.ranks_per_node:d}" if need.nodes > 1 else ""),
            ("cpus-per-task", f"{need.cpus:d}"),
            ("mem", f"{need.memory:d}M"),
            ("time", clock(need.walltime)),
            ("gres", _gres(need)),
            ("partition", need.queue),
            ("account", need.account),
            ("qos", need.qos),
            ("reservation", need.reservation),
            ("licenses", _licenses(need)),
            ("export", "NONE"),
            ("signal", f"B:TERM@{warning}" if warning else ""),
        ]
        lines = [f"--{name}={_quoted(value, name)}" for name, value in options if value]
        lines += [_requeue(need), *(plain(extra, "extra option") for extra in need.extra)]
        return [f"#SBATCH {line}" for line in lines]

    def submit(self, job: BatchJob) -> Question[str]:
        return Question(("sbatch", "--parsable"), read_submitted, stdin=job.script)

    def version(self) -> Question[str]:
        return Question(("squeue", "--version"), read_version)

    def element(self, array: str, array_index: int) -> str:
        return f"{array}_{array_index}"

    def find(self, *names: str) -> Sequence[Question[dict[str, JobStatus]]]:
        name = ",".join(map(job_name, names))
        # A job may have run and left the queue while nobody asked.
        return (
            Question((*_SQUEUE, f"--name={name}"), self.read_queue),
            Question((*_SACCT, "--starttime=now-30days", f"--name={name}"), self.read_accounting),
        )

    def poll(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        # Without ids: one that has been purged would fail the whole question.
        return Question(_SQUEUE, self.read_queue)

    def recent(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question(("scontrol", "--oneliner", "show", "job", ",".join(ids)), self.read_jobs)

    def accounted(self, ids: Sequence[str]) -> Question[Mapping[str, Accounted]]:
        # Times as seconds since the epoch (sacct(1), SLURM_TIME_FORMAT).
        line = ("env", "SLURM_TIME_FORMAT=%s", "sacct", "--noheader", "--parsable2")
        columns = f"--format={','.join(sacct.ACCOUNTED)}"
        return Question((*line, columns, f"--jobs={','.join(ids)}"), sacct.accounted)

    def history(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question((*_SACCT, f"--jobs={','.join(ids)}"), self.read_accounting)

    def control(
        self, action: Action, ids: Sequence[str], detail: str = ""
    ) -> Sequence[Question[None]]:
        stopped = action is Action.RESUME and detail.startswith("STOPPED")
        ways = CONTINUE_STOPPED if stopped else COMMANDS[action]
        return [
            Question((*way, *(ids if way[0] == "scancel" else [",".join(ids)])), read_control)
            for way in ways
        ]

    def native_specification(self, job: BatchJob) -> str:
        # slurm-drmaa reads a subset of sbatch's options and no quotes.
        need = job.resources
        options = [
            f"-N {need.nodes:d} -n {need.ranks:d}",
            f"-c {need.cpus:d}",
            f"--mem={need.memory:d}",
            f"--time={clock(need.walltime)}",
            f"--gres={_gres(need)}" if need.gpus else "",
            f"-p {need.queue}" if need.queue else "",
            f"-A {need.account}" if need.account else "",
            f"--qos={need.qos}" if need.qos else "",
            f"--reservation={need.reservation}" if need.reservation else "",
            f"--licenses={_licenses(need)}" if need.licenses else "",
            f"--comment={job.comment}" if job.comment else "",
            _requeue(need),
            *need.extra,
        ]
        for value in (need.queue, need.account, need.qos, need.reservation, job.comment):
            if not _SAFE.fullmatch(value):
                raise ValueError(f"slurm-drmaa does not support this value: {value!r}")
        return plain(" ".join(filter(None, options)), "native specification")

    def explain(self, log_tail: str) -> Outcome | None:
        return slurm.explain(log_tail)

    def read_queue(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """squeue's answer; it holds jobs that ended within MinJobAge, without their exit codes."""
        whole_lines(returncode, stdout, stderr)
        _, *rows = _ROW.split(stdout)
        ends = [row.rfind(f"{_END}\n") for row in rows]
        if not rows or rows[0][: ends[0]] != "JOBID|STATE|REASON|NAME":
            raise SchedulerUnavailable("squeue's answer lacks its first line")
        answer = {}
        for row, end in zip(rows[1:], ends[1:], strict=True):
            fields = row[:end].split("|", 3)  # a name may hold anything, line breaks too
            if end < 0 or len(fields) != 4:
                raise SchedulerUnavailable(f"squeue's answer is cut off at {row!r}")
            job, state, reason, name = fields
            status = slurm.listed(state, "" if reason == "None" else reason)
            answer[job] = self._known(status, state, name)
        return answer

    def read_accounting(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """sacct's answer.

        Raises:
            NotInstalled: the site keeps no accounting.

        Ids are used again once slurmctld has lost its state. sacct leaves out older jobs of the
        same number, but not an older array's element whose own number was another: of two rows with
        one id, the one submitted last is meant, or the last one where a site's own sacct leaves the
        time of submission out.
        """
        if "accounting storage is disabled" in stderr:
            raise NotInstalled("this cluster keeps no accounting")
        lines = whole_lines(returncode, stdout, stderr)
        heading = next((line for line in lines if line in _SACCT_HEADINGS), "")
        if not heading:
            raise SchedulerUnavailable("sacct's answer lacks its first line")
        answer: dict[str, JobStatus] = {}
        submissions: dict[str, str] = {}
        for line in lines[lines.index(heading) + 1 :]:
            fields = line.split("|", heading.count("|"))
            if (
                len(fields) != heading.count("|") + 1
                or not _EXIT.fullmatch(fields[2])
                or not fields[3].isdigit()
            ):
                raise SchedulerUnavailable(f"sacct's answer is cut off at {line!r}")
            job, state, code, elapsed, limit, *others, name = fields
            submitted = "".join(others)
            if state == slurm.ABANDONED:
                continue
            # Measured: sacct shows exit codes from 128 on less 128; scontrol shows them in full.
            minutes = int(limit) if limit.isdigit() else 0
            status = slurm.ended(state, "", code, int(elapsed), 60 * minutes)
            for element in _elements(job):
                if submitted >= submissions.get(element, ""):
                    submissions[element] = submitted
                    answer[element] = self._known(status, state, name)
        return answer

    def read_jobs(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """scontrol's answer: one line a job, reason and exit code included."""
        if returncode != 0 and MESSAGES.gone.search(stderr + stdout):
            return {}
        answer = {}
        for line in whole_lines(returncode, stdout, stderr):
            if not line.startswith("JobId="):
                continue
            fields = dict(_fields(line))
            try:
                restarts = int(fields["Restarts"])
                status = slurm.ended(
                    fields["JobState"],
                    fields["Reason"],
                    fields["ExitCode"],
                    seconds(fields["RunTime"]),
                    seconds(fields["TimeLimit"]),
                )
            except (KeyError, ValueError) as error:
                raise SchedulerUnavailable(
                    f"scontrol's answer is cut off at {line[:80]!r}"
                ) from error
            task = f"{fields.get('ArrayJobId')}_{fields.get('ArrayTaskId')}"
            job = task if _ID.fullmatch(task) else fields["JobId"]
            known = self._known(status, fields["JobState"], fields.get("JobName", ""))
            answer[job] = replace(known, restarts=restarts)
        return answer

    def _known(self, status: JobStatus | None, state: str, name: str) -> JobStatus:
        return replace(self.unknown_state(state) if status is None else status, name=name)


def read_submitted(returncode: int, stdout: str, stderr: str) -> str:
    """The id that sbatch --parsable printed."""
    if returncode != 0:
        reason = _reason(stderr)
        if not reason:
            raise SchedulerUnavailable(f"sbatch ended with {returncode} and no message")
        raise turned_down("Slurm", reason, stderr, MESSAGES)
    return printed_id("sbatch", stdout, _SUBMITTED)


def read_control(returncode: int, stdout: str, stderr: str) -> None:
    """scontrol's and scancel's answer: errors that only say "it is over" are none."""
    if returncode == 0:
        return
    errors = [line for line in (stderr or stdout).splitlines() if line.strip()]
    grave = [line for line in errors if not MESSAGES.gone.search(line)]
    if not errors or grave:
        reason = _reason("\n".join(grave))
        if any(MESSAGES.forbidden.search(line) for line in grave):
            raise NotPermitted(f"Slurm: {reason} (an operator of the cluster may do this)")
        raise SchedulerError(f"Slurm: {reason or f'exit status {returncode}'}")


def _elements(job: str) -> Iterator[str]:
    """The ids in sacct's first column: one row for all elements that wait (``7_[1-3,5]``)."""
    match = _PENDING.fullmatch(job)
    if match is None:
        yield job
        return
    yield from (f"{match.group(1)}_{index}" for index in parse_indices(match.group(2)))


def _fields(line: str) -> Iterator[tuple[str, str]]:
    """``Name=value`` pairs of scontrol; the first of each name counts, values may hold anything."""
    seen = set()
    for match in re.finditer(r"(?:^|\s)([A-Z]\w*)=(\S*)", line):
        if match.group(1) not in seen:
            seen.add(match.group(1))
            yield match.group(1), match.group(2)


def _reason(text: str) -> str:
    """The sentence in ``sbatch: error: Batch job submission failed: Invalid partition …``."""
    errors = re.findall(r"^\w+: (?:error|fatal): (.*)$", text, re.MULTILINE)
    reasons = [error.removeprefix("Batch job submission failed: ") for error in errors]
    return "; ".join(dict.fromkeys(reasons)) or first_line(text)


def _gres(need: Resources) -> str:
    kind = f"{need.gpu_type}:" if need.gpu_type else ""
    return f"gpu:{kind}{need.gpus:d}" if need.gpus else ""


def _licenses(need: Resources) -> str:
    return ",".join(f"{name}:{number:d}" for name, number in need.licenses)


def _requeue(need: Resources) -> str:
    return "--requeue" if need.requeue else "--no-requeue"


def _quoted(value: str, what: str) -> str:
    """A value as sbatch reads it in a script's ``#SBATCH`` line."""
    if _SAFE.fullmatch(value):
        return value
    if '"' in value or "\\" in value:
        raise ValueError(f"{what} may not contain quotes or backslashes: {value!r}")
    return f'"{plain(value, what)}"'


DIALECT = SlurmDialect
