"""Slurm's dialect: sbatch, squeue, sacct, scontrol, scancel. Measured on 22.05 and 24.11.

Output formats are named field by field and keep their header line: it proves that the command
really answered, so that an empty queue and an empty answer are two different things. No
``--json``: it is unstable between releases and very large.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.dialect import (
    Action,
    Dialect,
    Question,
    first_line,
    job_name,
    plain,
    whole_lines,
)

# squeue(1), JOB STATE CODES: states of jobs that are not over.
PHASES = {
    "PENDING": Phase.QUEUED,
    "CONFIGURING": Phase.QUEUED,
    "REQUEUED": Phase.QUEUED,
    "REQUEUE_FED": Phase.QUEUED,
    "PREEMPTED": Phase.QUEUED,  # while listed it may be started anew; accounting knows the end
    "REQUEUE_HOLD": Phase.HELD,
    "RESV_DEL_HOLD": Phase.HELD,
    "SPECIAL_EXIT": Phase.HELD,
    "RUNNING": Phase.RUNNING,
    "COMPLETING": Phase.RUNNING,  # processes or the epilog are still at work
    "SIGNALING": Phase.RUNNING,
    "STAGE_OUT": Phase.RUNNING,
    "RESIZING": Phase.RUNNING,
    "SUSPENDED": Phase.SUSPENDED,  # by an operator: the processors are free
    "STOPPED": Phase.SUSPENDED,  # by SIGSTOP: the processors stay allocated
}

# squeue(1) and sacct(1), JOB STATE CODES: states of jobs that are over.
OUTCOMES = {
    "COMPLETED": Outcome.EXITED,  # the only one that means exit code 0
    "FAILED": Outcome.EXITED,  # exit code, signal and reason tell more
    "CANCELLED": Outcome.CANCELLED,
    "TIMEOUT": Outcome.TIME_LIMIT,
    "DEADLINE": Outcome.TIME_LIMIT,
    "OUT_OF_MEMORY": Outcome.MEMORY_LIMIT,
    "NODE_FAIL": Outcome.NODE_FAILURE,
    "BOOT_FAIL": Outcome.NODE_FAILURE,
    "LAUNCH_FAILED": Outcome.COULD_NOT_START,
    "RECONFIG_FAIL": Outcome.COULD_NOT_START,
}
# Where only accounting is asked, a preempted job is over.
ENDED = OUTCOMES | {"PREEMPTED": Outcome.PREEMPTED}

# squeue(1), JOB REASON CODES: reasons of a pending job that waits for somebody to release it.
HELD_REASONS = {
    "JobHeldUser",
    "JobHeldAdmin",
    "JobHoldMaxRequeue",
    "launch failed requeued held",
    "job requeued in held state",
}

# squeue(1), JOB REASON CODES, and job_reason_codes.html: the job as it stands can never start.
HOPELESS_REASONS = {
    "AccountNotAllowed",
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "JobHoldMaxRequeue",
    "MaxCPUsPerNode",
    "MaxMemPerLimit",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
    "QOSTimeLimit",
    "launch failed requeued held",
}
# AssocMaxWallDurationPerJobLimit, QOSMaxCpuPerJobLimit, QOSMaxMemoryPerNode, QOSMinGRES, …
_HOPELESS_LIMIT = re.compile(r"(Assoc|QOS)(Max\w+Per(Job|Node)(Limit)?|Min\w+)")

# Slurm's words for a job step's end, in the log of the job (slurmstepd, slurmd).
LOG_WORDS = {
    "Exceeded job memory limit": Outcome.MEMORY_LIMIT,
    "oom-kill event": Outcome.MEMORY_LIMIT,
    "oom_kill event": Outcome.MEMORY_LIMIT,
    "DUE TO TIME LIMIT": Outcome.TIME_LIMIT,
    "DUE TO NODE FAILURE": Outcome.NODE_FAILURE,
    "DUE TO PREEMPTION": Outcome.PREEMPTED,
}

COMMANDS = {
    Action.CANCEL: (("scancel",),),
    Action.HOLD: (("scontrol", "hold"),),
    Action.RELEASE: (("scontrol", "release"),),
    # scontrol(1): only operators suspend; an owner can stop his processes by a signal (scancel(1)).
    Action.SUSPEND: (("scontrol", "suspend"), ("scancel", "--signal=STOP", "--full")),
    Action.RESUME: (("scontrol", "resume"), ("scancel", "--signal=CONT", "--full")),
}

_CANNOT_ASK = re.compile(
    r"Socket timed out|Unable to contact slurm controller|Zero Bytes were transmitted"
    r"|Unable to establish controller|Communication connection failure"
    r"|Connection (refused|timed out)|Could not establish a configuration source"
    r"|Unable to process configuration file|Unexpected message received|\bmunge\b"
    r"|Protocol authentication error|slurm_persist_conn|Problem talking to the database",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"Invalid job id|already completing or completed|Job has already finished"
    r"|Job is no longer pending|Job is pending execution",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"permission denied|Invalid user id"
    r"|Job is not suspended",  # an operator resumes a job that was stopped by a signal
    re.IGNORECASE,
)
# Limits on how many jobs a user may have: over once some of them have ended.
_TRY_LATER = re.compile(
    r"(QOS|Assoc)(Max|Grp)Submit\w+|MaxSubmitJobsPerAccount|temporarily unable to accept job"
    r"|Resource temporarily unavailable"
)

# Measured: what stands in the place of the signal if the node could not open the job's log.
_NO_LOG = 53
_MARK = "pywps-hpc|"  # tells a row from a banner of the login shell
_END = "|end"  # tells a whole row from one that is cut off
_QUEUE_FORMAT = f"{_MARK}%i|%T|%r{_END}"
_SACCT_FORMAT = "JobID,State,ExitCode"
# --all: also jobs in partitions that are hidden from this user, or they would seem to be gone.
_SQUEUE = ("squeue", "--all", "--me", "--states=all", f"--format={_QUEUE_FORMAT}")
_SACCT = ("sacct", "--allocations", "--parsable2", f"--format={_SACCT_FORMAT}")
_ID = re.compile(r"\d+(_\d+)?")
_SUBMITTED = re.compile(r"(\d+)(;[\w.-]+)?")
_SAFE = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


class SlurmDialect(Dialect):
    """Slurm through its own commands."""

    system = "slurm"
    cannot_ask = _CANNOT_ASK

    def header(self, job: BatchJob) -> list[str]:
        need = job.resources
        # The warning must not come while the job has hardly begun: Slurm rounds limits up to whole
        # minutes and gives the signal up to a minute early (sbatch(1), --signal).
        warning = max(1, min(60, need.walltime // 10))
        options = [
            ("job-name", job_name(job.name)),
            ("comment", job.comment),
            ("output", job.log.replace("%", "%%")),  # sbatch(1), filename pattern
            ("open-mode", "append"),
            ("chdir", "/"),
            ("nodes", "1"),
            ("ntasks", "1"),
            ("cpus-per-task", f"{need.cpus:d}"),
            ("mem", f"{need.memory:d}M"),
            ("time", _clock(need.walltime)),
            ("gres", f"gpu:{need.gpus:d}" if need.gpus else ""),
            ("partition", need.queue),
            ("account", need.account),
            ("export", "NONE"),
            ("signal", f"B:TERM@{warning}"),
        ]
        lines = [f"--{name}={_quoted(value, name)}" for name, value in options if value]
        lines += ["--no-requeue", *(plain(extra, "extra option") for extra in need.extra)]
        return [f"#SBATCH {line}" for line in lines]

    def submit(self, job: BatchJob) -> Question[str]:
        return Question(("sbatch", "--parsable"), read_submitted, stdin=job.script)

    def find(self, name: str) -> Sequence[Question[dict[str, JobStatus]]]:
        job_name(name)
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

    def history(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question((*_SACCT, f"--jobs={','.join(ids)}"), self.read_accounting)

    def control(self, action: Action, ids: Sequence[str]) -> Sequence[Question[None]]:
        return [
            Question(
                (*command, *(ids if command[0] == "scancel" else [",".join(ids)])), read_control
            )
            for command in COMMANDS[action]
        ]

    def explain(self, log_tail: str) -> Outcome | None:
        steps = [
            line for line in log_tail.splitlines() if line.startswith(("slurmstepd:", "slurmd"))
        ]
        for line in reversed(steps):
            for words, outcome in LOG_WORDS.items():
                if words in line:
                    return outcome
        return None

    def read_queue(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """squeue's answer; it holds jobs that ended within MinJobAge, without their exit codes."""
        rows = []
        for line in whole_lines(returncode, stdout, stderr):
            _, found, row = line.partition(_MARK)
            if found:
                rows.append(row)
        if not rows or rows[0] != f"JOBID|STATE|REASON{_END}":
            raise SchedulerUnavailable("squeue's answer lacks its first line")
        answer = {}
        for row in rows[1:]:
            fields = row.removesuffix(_END).split("|")
            if not row.endswith(_END) or len(fields) != 3:
                raise SchedulerUnavailable(f"squeue's answer is cut off at {row!r}")
            job, state, reason = fields
            answer[job] = self._listed(state, "" if reason == "None" else reason)
        return answer

    def read_accounting(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """sacct's answer; nothing where the site keeps no accounting."""
        if "accounting storage is disabled" in stderr:
            return {}
        lines = whole_lines(returncode, stdout, stderr)
        heading = _SACCT_FORMAT.replace(",", "|")
        if heading not in lines:
            raise SchedulerUnavailable("sacct's answer lacks its first line")
        answer = {}
        for line in lines[lines.index(heading) + 1 :]:
            fields = line.split("|")
            if len(fields) != 3 or not re.fullmatch(r"\d+:\d+", fields[2]):
                raise SchedulerUnavailable(f"sacct's answer is cut off at {line!r}")
            job, state, code = fields
            answer[job] = self._ended(state, "", code)
        return answer

    def read_jobs(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """scontrol's answer: one line a job, reason and exit code included."""
        if returncode != 0 and _GONE.search(stderr + stdout):
            return {}
        answer = {}
        for line in whole_lines(returncode, stdout, stderr):
            if not line.startswith("JobId="):
                continue
            fields = dict(_fields(line))
            try:
                status = self._ended(fields["JobState"], fields["Reason"], fields["ExitCode"])
                restarts = int(fields["Restarts"])
            except (KeyError, ValueError) as error:
                raise SchedulerUnavailable(
                    f"scontrol's answer is cut off at {line[:80]!r}"
                ) from error
            task = f"{fields.get('ArrayJobId')}_{fields.get('ArrayTaskId')}"
            job = task if _ID.fullmatch(task) else fields["JobId"]
            answer[job] = replace(status, restarts=restarts)
        return answer

    def _listed(self, state: str, reason: str) -> JobStatus:
        detail = f"{state} ({reason})" if reason else state
        if state in PHASES:
            phase = PHASES[state]
            waits = phase is Phase.QUEUED
            if waits and reason in HELD_REASONS:
                phase = Phase.HELD
            hopeless = waits and (
                reason in HOPELESS_REASONS or bool(_HOPELESS_LIMIT.fullmatch(reason))
            )
            return JobStatus(phase, detail=detail, hopeless=hopeless)
        if state not in OUTCOMES:
            return self.unknown_state(state)
        outcome = OUTCOMES[state]
        if state == "COMPLETED":
            return JobStatus(Phase.FINISHED, outcome, exit_code=0, detail=detail)
        if reason == "JobLaunchFailure":  # or a memory limit enforced without cgroups
            outcome = Outcome.UNKNOWN
        return JobStatus(Phase.FINISHED, outcome, detail=detail)

    def _ended(self, state: str, reason: str, code: str) -> JobStatus:
        """A job's end with its exit code ``code:signal``; other states as the queue shows them."""
        words, _, _by = state.partition(" ")  # "CANCELLED by 1001"
        if words not in ENDED:
            return self._listed(words, reason)
        exit_code, signal = (int(number) for number in code.split(":"))
        reason = "" if reason == "None" else reason
        detail = f"{state} ({reason})" if reason else state
        outcome = ENDED[words]
        if words == "COMPLETED":
            return JobStatus(Phase.FINISHED, outcome, exit_code=0, detail=detail)
        if words == "FAILED":
            detail += f", exit code {code}"
            if signal == _NO_LOG:
                detail += ", the log file could not be opened"
                return JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail=detail)
            if signal:
                # 128 and more are flags of the wait status (core dumped).
                return JobStatus(
                    Phase.FINISHED, Outcome.SIGNALLED, signal=signal & 127, detail=detail
                )
            if reason == "JobLaunchFailure":
                return JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail=detail)
            if exit_code == 0:  # only COMPLETED may mean success
                return JobStatus(Phase.FINISHED, Outcome.UNKNOWN, detail=detail)
            return JobStatus(Phase.FINISHED, outcome, exit_code=exit_code, detail=detail)
        return JobStatus(Phase.FINISHED, outcome, detail=detail)


def read_submitted(returncode: int, stdout: str, stderr: str) -> str:
    """The id that sbatch --parsable printed last; warnings and banners may stand before it."""
    if returncode != 0:
        if later := _TRY_LATER.search(stdout + stderr):
            raise SubmissionPostponed(f"Slurm takes no further job for now ({later.group()})")
        raise SubmissionRefused(f"Slurm refused the job: {_reason(stderr or stdout)}")
    last = stdout.rstrip("\n").rpartition("\n")[2].strip()
    if match := _SUBMITTED.fullmatch(last):
        return match.group(1)
    raise SchedulerUnavailable("sbatch reported success but no job id")


def read_control(returncode: int, stdout: str, stderr: str) -> None:
    """scontrol's and scancel's answer: errors that only say "it is over" are none."""
    if returncode == 0:
        return
    errors = [line for line in (stderr or stdout).splitlines() if line.strip()]
    grave = [line for line in errors if not _GONE.search(line)]
    if not errors or grave:
        words = _reason("\n".join(grave))
        if any(_FORBIDDEN.search(line) for line in grave):
            raise NotPermitted(f"Slurm: {words} (an operator of the cluster may do this)")
        raise SchedulerError(f"Slurm: {words or f'exit status {returncode}'}")


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
    words = [error.removeprefix("Batch job submission failed: ") for error in errors]
    return "; ".join(dict.fromkeys(words)) or first_line(text)


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def _quoted(value: str, what: str) -> str:
    """A value as sbatch reads it in a script's ``#SBATCH`` line."""
    if _SAFE.fullmatch(value):
        return value
    if '"' in value or "\\" in value:
        raise ValueError(f"{what} may not contain quotes or backslashes: {value!r}")
    return f'"{plain(value, what)}"'
