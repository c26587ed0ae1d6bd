"""What Grid Engine's job states (qstat) and accounting (qacct -j) mean; measured on 8.1.9."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.base import (
    JobStatus,
    Outcome,
    Phase,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.schedulers.text import amount, first_line, seconds

# sge_status(5), Job state: letters are combined ("hRwq", "dr"); the first one here that occurs
# decides.
LETTERS = {
    "z": Phase.FINISHED,  # over; only accounting knows how
    "E": Phase.FINISHED,  # could not be started; stays so until somebody clears the error
    "s": Phase.SUSPENDED,  # by qmod -sj
    "S": Phase.SUSPENDED,  # its queue is suspended
    "T": Phase.SUSPENDED,  # its queue is overloaded
    "r": Phase.RUNNING,
    "t": Phase.RUNNING,  # on its way to the host
    "h": Phase.HELD,  # on a running job a hold has no effect
    "q": Phase.QUEUED,
    "w": Phase.QUEUED,
}
# Letters that do not change where the job stands.
WAS_RESTARTED = "R"
IS_BEING_DELETED = "d"

# sge_status(5), "failed" values. Others: the job ran, and something went wrong around it.
FAILED = {
    0: Outcome.EXITED,
    1: Outcome.COULD_NOT_START,  # before the job, in execd
    3: Outcome.COULD_NOT_START,  # before execd had a folder for it
    4: Outcome.COULD_NOT_START,  # before the shepherd's process id was written
    6: Outcome.COULD_NOT_START,  # processor set
    7: Outcome.COULD_NOT_START,  # before the prolog
    8: Outcome.COULD_NOT_START,  # in the prolog
    9: Outcome.COULD_NOT_START,  # before the parallel environment's start
    10: Outcome.COULD_NOT_START,  # in the parallel environment's start
    11: Outcome.COULD_NOT_START,  # before the job, in the shepherd
    17: Outcome.CANCELLED,  # through a signal
    18: Outcome.NODE_FAILURE,  # the shepherd died
    19: Outcome.NODE_FAILURE,  # before the exit status was written: a crash
    21: Outcome.NODE_FAILURE,  # the host no longer knew the job
    26: Outcome.COULD_NOT_START,  # opening the output file
    27: Outcome.COULD_NOT_START,  # no such shell
    28: Outcome.COULD_NOT_START,  # changing to the working directory
    29: Outcome.COULD_NOT_START,  # AFS
    30: Outcome.EXITED,  # with exit code 100, which Grid Engine takes for an error
    36: Outcome.COULD_NOT_START,  # configured daemons
    37: Outcome.TIME_LIMIT,  # or the memory limit, which the use of memory tells
    38: Outcome.COULD_NOT_START,  # supplementary group
    100: Outcome.SIGNALLED,  # its own signal, or one of Grid Engine's
}
# The job was started again: this record is not its end.
RESTARTED = {
    24,  # migrating
    25,  # rescheduling: the host failed, or the job exited with 99
}

# After these the limits are looked at.
LIMITED = {17, 37, 100}
# After these an end by SIGUSR2 is a deletion: it is the notice before a kill (qsub(1), -notify).
# A container's runtime passes it on and then exits with 140 itself.
NOTICED = {0, 17, 100}
#: The launcher's message about that notice, in the log of the job. Measured: the notice also ends
#: the process that mounts the container's image, and then the launcher dies of SIGBUS on its way.
NOTICE = "joblauncher: asked to stop by SIGUSR2"

#: How sharply use of memory has to meet the limit: it is sampled once a second.
NEAR = 0.95

_NOT_KNOWN = re.compile(r"(job id|job name) .* not found|no jobs running since startup")
#: The file is there and cannot be read: an outage, while a site without accounting has no file.
_NOT_READABLE = "error: unable to open"
#: What the job had asked for. 6.2, Open Grid Scheduler, Univa and Open Cluster Scheduler lack it.
_CATEGORY = "category"
_PE_TASK, _NONE = "pe_taskid", "NONE"
_NEEDED = {"jobname", "jobnumber", "taskid", "failed", "exit_status", "ru_wallclock", "maxvmem"}


def listed(state: str) -> JobStatus | None:
    """What the letters of a job's state in the queue say; ``None``: they are not known."""
    known = {*LETTERS, WAS_RESTARTED, IS_BEING_DELETED}
    letter = next((letter for letter in LETTERS if letter in state), "")
    if not letter or not known.issuperset(state):
        return None
    status = JobStatus(LETTERS[letter], detail=state, restarts=int(WAS_RESTARTED in state))
    if letter == "z":
        return replace(status, outcome=Outcome.UNKNOWN)
    if letter == "E":
        detail = f"{state}: Grid Engine could not start it, qstat -j shows why"
        return replace(status, outcome=Outcome.COULD_NOT_START, detail=detail, hopeless=True)
    return status


#: Remarks of the scheduler on a waiting job -> why it waits, without names of hosts; the first that
#: occurs counts. It remarks on each queue, so what is only true of some of them comes last.
_WHY = (
    (re.compile(r"because (\w+ )?reservation|advance reservation"), "a reservation comes first"),
    (
        re.compile(r"job dropped because of (user|job) limitations?"),
        "the account's limit of jobs is reached",
    ),
    (re.compile(r"exceeds limit|resource quota"), "a quota of the site is reached"),
    (re.compile(r"dependency|predecessor"), "it waits for another job"),
    (re.compile(r"execution time not reached"), "its earliest start has not come"),
    (
        re.compile(r"has no permission|does not have access|not have the correct project"),
        "the account may not use some of the queues; the others are full",
    ),
    (re.compile(r"cannot run in PE"), "its parallel environment has too few free processors"),
    (
        re.compile(r"offers only|because it offers|only offers"),
        "too little of what it asks for is free",
    ),
    (
        re.compile(r"because it is (full|overloaded)|overload or full"),
        "other jobs take all places of its queues",
    ),
    (
        re.compile(r"disabled|suspended|temporarily not available|in (alarm|error|unknown)"),
        "its queues are closed for now",
    ),
)


#: Why a job waits that can never start as it stands.
NEVER = "no host has what it asks for"
#: What a host or queue has for good (qhost(1), -F): fixed values, and loads that never change.
_FOR_GOOD = re.compile(
    r"offers only (?:[ghq]f:|hl:(?:arch|num_proc|m_\w+|mem_total|swap_total|virtual_total)=)"
)
#: Remarks on queues that are not for such jobs.
_ELSEWHERE = re.compile(r"is not of type batch|is not in PE list|not in hard queue list")


def why(remarks: str) -> str:
    """Why a job waits, as a clause for its client; empty if the scheduler does not say."""
    lines = [line for line in remarks.splitlines() if line.strip()]
    lines = [line for line in lines if not _ELSEWHERE.search(line)]
    if lines and all(_FOR_GOOD.search(line) for line in lines):
        return NEVER
    return next((reason for sign, reason in _WHY if sign.search(remarks)), "")


def read(returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
    """qacct's answer; nothing where this host has no accounting file.

    Of several records of one id the last counts: those before it are earlier starts of the job, or
    of another one, since ids are used again.
    """
    answer: dict[str, JobStatus] = {}
    restarts: Counter[tuple[str, str]] = Counter()
    for record in records(returncode, stdout, stderr):
        if is_of_one_rank(record):
            continue
        job, name = job_of(record), record["jobname"]
        if is_restart(record):
            restarts[job, name] += 1
            answer.pop(job, None)
        else:
            answer[job] = replace(_ended(record), restarts=restarts.pop((job, name), 0), name=name)
    return answer


def explain(log_tail: str) -> Outcome | None:
    """What the end of a job's log says where the accounting only shows an unclear exit status."""
    return Outcome.CANCELLED if NOTICE in log_tail else None


def records(returncode: int, stdout: str, stderr: str) -> Iterator[dict[str, str]]:
    """qacct's records; none where this host has no accounting file, or it knows no such job."""
    if returncode != 0:
        if _NOT_READABLE in stdout + stderr:
            raise SchedulerUnavailable("qacct cannot read the accounting")
        if _NOT_KNOWN.search(stdout + stderr):
            return
        raise SchedulerUnavailable(f"qacct failed: {first_line(stderr) or returncode}")
    if not stdout.endswith("\n"):
        raise SchedulerUnavailable("qacct's answer is cut off")
    _, *texts = re.split(r"^=+\n", stdout, flags=re.MULTILINE)
    if not texts:
        raise SchedulerUnavailable("qacct's answer has no record")
    for text in texts:
        pairs = (line.partition(" ") for line in text.splitlines())
        record = {key: value.strip() for key, _, value in pairs}
        if not _NEEDED.issubset(record):
            raise SchedulerUnavailable("qacct's answer is cut off")
        yield record


def job_of(record: Mapping[str, str]) -> str:
    """The id of a record's job, as the queue had it."""
    job, task = record["jobnumber"], record["taskid"]
    return f"{job}.{task}" if task.isdigit() else job


def is_of_one_rank(record: Mapping[str, str]) -> bool:
    """Whether it is not the job's own record, but that of one process of a parallel job
    (accounting_summary in sge_pe(5))."""
    return record.get(_PE_TASK, _NONE) != _NONE


def is_restart(record: Mapping[str, str]) -> bool:
    """Whether the job was started again after it."""
    return int(number(record["failed"])) in RESTARTED


def _ended(record: Mapping[str, str]) -> JobStatus:
    failed, code = int(number(record["failed"])), int(number(record["exit_status"]))
    outcome = FAILED.get(failed, Outcome.UNKNOWN)
    killer = code - 128 if failed and 128 < code <= 128 + signal.SIGRTMAX else None
    detail = " ".join(f"failed {record['failed']}".split()) if failed else ""
    if killer:
        detail += f", signal {killer}"
    status = JobStatus(Phase.FINISHED, outcome, detail=detail)
    if outcome is Outcome.EXITED and code == 0 and _is_unused(record):
        return replace(status, outcome=Outcome.CANCELLED, detail="deleted by force")
    if failed in LIMITED and (limit := _limit(record)):
        return replace(status, outcome=limit)
    # Where the record lacks the limits, the notice may have been that of one: the log tells.
    if code == 128 + signal.SIGUSR2 and failed in NOTICED and _CATEGORY in record:
        return replace(status, outcome=Outcome.CANCELLED)
    if outcome is Outcome.EXITED:
        return replace(status, exit_code=code)
    if outcome is Outcome.SIGNALLED:
        return replace(status, outcome=outcome if killer else Outcome.UNKNOWN, signal=killer)
    return status


def _limit(record: Mapping[str, str]) -> Outcome | None:
    """Which of its limits a job that was killed had reached; often only its usage tells."""
    limits = dict(re.findall(r"\b(h_rt|h_vmem)=([^,\s]+)", record.get(_CATEGORY, "")))
    memory = amount(limits.get("h_vmem", "")) * int(record.get("slots") or 1)
    if memory and amount(record["maxvmem"]) >= NEAR * memory:
        return Outcome.MEMORY_LIMIT
    walltime = seconds(limits.get("h_rt", ""))
    return Outcome.TIME_LIMIT if 0 < walltime <= number(record["ru_wallclock"]) else None


def _is_unused(record: Mapping[str, str]) -> bool:
    """Whether no process of it was seen to end, as with qdel -f: measured, all usage is then 0, the
    exit status too, though every process that really ran has had page faults."""
    return not number(record["ru_wallclock"]) and record.get("ru_minflt") == "0"


def number(text: str) -> float:
    """A number with or without a unit."""
    match = re.match(r"\d+(\.\d+)?", text)
    if match is None:
        raise SchedulerUnavailable(f"qacct's answer has {text!r} where a number belongs")
    return float(match.group())
