"""What Slurm's job states, reasons and exit codes mean; measured on 22.05 and 24.11."""

from __future__ import annotations

import re
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase

# squeue(1), JOB STATE CODES: states of jobs that are not over.
PHASES = {
    "PENDING": Phase.QUEUED,
    "CONFIGURING": Phase.QUEUED,
    "REQUEUED": Phase.QUEUED,
    "REQUEUE_FED": Phase.QUEUED,
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
# Measured, and agent.c: also after a signal to the batch script alone (scancel(1), --batch), while
# what it started runs on.
BY_SIGNAL = "STOPPED"

# squeue(1) and sacct(1), JOB STATE CODES: states of jobs that are over.
OUTCOMES = {
    "COMPLETED": Outcome.EXITED,  # the only one that means exit code 0
    "FAILED": Outcome.EXITED,  # exit code, signal and reason tell more
    "CANCELLED": Outcome.CANCELLED,
    "TIMEOUT": Outcome.TIME_LIMIT,
    "DEADLINE": Outcome.TIME_LIMIT,
    "OUT_OF_MEMORY": Outcome.MEMORY_LIMIT,
    "NODE_FAIL": Outcome.NODE_FAILURE,
    "PREEMPTED": Outcome.PREEMPTED,  # measured: one that is to start again is PENDING at once
    "BOOT_FAIL": Outcome.NODE_FAILURE,
    "LAUNCH_FAILED": Outcome.COULD_NOT_START,
    "RECONFIG_FAIL": Outcome.COULD_NOT_START,
}

# In accounting whoever cancels a job is named ("CANCELLED by 1001"). Measured: without a name the
# record was closed when slurmctld came back and no longer knew the job; how it ended is not known.
ABANDONED = "CANCELLED"

# squeue(1), JOB REASON CODES: reasons of a pending job that waits for somebody to release it.
HELD_REASONS = {
    "JobHeldUser",
    "JobHeldAdmin",
    "JobHoldMaxRequeue",
    "launch failed requeued held",
    "job requeued in held state",
}

# squeue(1), JOB REASON CODES: over when the partition is up again.
MAINTENANCE_REASONS = {"PartitionDown", "PartitionInactive"}

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
    "PartitionTimeLimit",
    "QOSNotAllowed",
    "QOSTimeLimit",
    "launch failed requeued held",
}
# AssocMaxWallDurationPerJobLimit, QOSMaxCpuPerJobLimit, QOSMaxMemoryPerNode, QOSMinGRES, …
_HOPELESS_LIMIT = re.compile(r"(Assoc|QOS)(Max\w+Per(Job|Node)(Limit)?|Min\w+)")

# Slurm's messages about a job step's end, in the log of the job (slurmstepd, slurmd).
LOG_MESSAGES = {
    "Exceeded job memory limit": Outcome.MEMORY_LIMIT,
    "oom-kill event": Outcome.MEMORY_LIMIT,
    "oom_kill event": Outcome.MEMORY_LIMIT,
    "DUE TO TIME LIMIT": Outcome.TIME_LIMIT,
    "DUE TO NODE FAILURE": Outcome.NODE_FAILURE,
    "DUE TO PREEMPTION": Outcome.PREEMPTED,
}

# Measured: given as the signal if the node could not open the job's log.
_NO_LOG = 53
_TERM = 15
# slurmctld looks at time limits every 30 s (sbatch(1), --signal); measured: 24 and 29 s too soon.
_EARLY = 35


# squeue(1), JOB REASON CODES; resource_limits and job_reason_codes of Slurm's documentation: why it
# lets a job wait, as a clause for its client.
_REASONS = {
    "Resources": "not enough nodes, processors or memory are free",
    "Priority": "other jobs come first",
    "BeginTime": "its earliest start has not come",
    "Dependency": "another job has to end first",
    "JobArrayTaskLimit": "as many jobs of its array run as may run at once",
    "Licenses": "no licence is free that it needs",
    "NodeDown": "a node that it needs is down",
    "ReqNodeNotAvail": "the nodes that it may use are not available now",
    "Reservation": "its reservation has not begun",
    "ReservationDeleted": "its reservation is gone",
    "PartitionNodeLimit": "fewer nodes of its partition can be used now than it asks for",
    "PartitionConfig": "it asks for more than its partition gives at the moment",
    "Prolog": "its node is being prepared",
    "Cleaning": "what is left of an earlier start is being removed",
    "NodeNotReady": "its node is being prepared",
    "BurstBufferResources": "not enough burst buffer is free",
    "BurstBufferStageIn": "its burst buffer is being filled",
    "SystemFailure": "the batch system has a failure",
    "FrontEndDown": "a node that it needs is down",
    "QOSUsageThreshold": "its quality of service has used its share",
    # Of versions before 14.11
    "AssociationJobLimit": "as many jobs run as its account may run at once",
    "AssociationResourceLimit": "its account has as much in use as it may have at once",
    "AssociationTimeLimit": "the computing time of its account is used up, or set aside",
    "QOSJobLimit": "as many jobs run as its quality of service allows at once",
    "QOSResourceLimit": "its quality of service has as much in use as it may have at once",
}
#: Measured as a sentence of its own, with a comma in it.
_NODES = "Nodes required for job are DOWN, DRAINED or reserved"

# QOSGrpCpuLimit, AssocGrpCPUMinutesLimit, QOSMaxJobsPerUserLimit, AssocMaxJobsLimit, …
_LIMIT = re.compile(r"(?P<whose>QOS|Assoc)(?:Grp|Max)(?P<what>\w+?)(?:Limit)?")
_WHOSE = {"QOS": "its quality of service", "Assoc": "its account"}
#: What a limit's name has in it -> what is limited. The first one that occurs counts.
_WHAT = (
    ("job", "as many jobs"),
    ("submit", "as many jobs"),
    ("cpu", "as many processors in use"),
    ("mem", "as much memory in use"),
    ("node", "as many nodes in use"),
    ("gres", "as many devices (such as GPUs) in use"),
    ("gpu", "as many GPUs in use"),
    ("license", "as many licences in use"),
    ("", "as much in use"),
)
#: In the name of a limit on computing time.
_TIME = re.compile("minutes|wall")
_CODE = re.compile(r"[A-Za-z_]{1,60}")


def listed(state: str, reason: str) -> JobStatus | None:
    """What squeue's state and reason of a job mean; ``None`` if the state is not known."""
    detail = f"{state} ({reason})" if reason else state
    if state in PHASES:
        phase = PHASES[state]
        waits = phase is Phase.QUEUED
        if waits and reason in HELD_REASONS:
            phase = Phase.HELD
        hopeless = waits and (reason in HOPELESS_REASONS or bool(_HOPELESS_LIMIT.fullmatch(reason)))
        return JobStatus(
            phase,
            detail=detail,
            waits=waits_for(reason) if waits else "",
            hopeless=hopeless,
            maintenance=waits and reason in MAINTENANCE_REASONS,
            by_signal=state == BY_SIGNAL,
        )
    if state not in OUTCOMES:
        return None
    outcome = OUTCOMES[state]
    if state == "COMPLETED":
        return JobStatus(Phase.FINISHED, outcome, exit_code=0, detail=detail)
    if reason == "JobLaunchFailure":  # or a memory limit enforced without cgroups
        outcome = Outcome.UNKNOWN
    return JobStatus(Phase.FINISHED, outcome, detail=detail)


def ended(state: str, reason: str, code: str, elapsed: int, limit: int) -> JobStatus | None:
    """A job's end with its exit code ``code:signal``; other states as the queue shows them.
    Elapsed time and limit in seconds; 0 if there is no limit."""
    status = _ended(state, reason, code, elapsed, limit)
    if status is None or status.phase is not Phase.FINISHED:
        return status
    return replace(status, elapsed=elapsed)


def _ended(state: str, reason: str, code: str, elapsed: int, limit: int) -> JobStatus | None:
    name, _, _by = state.partition(" ")  # "CANCELLED by 1001"
    if name not in OUTCOMES:
        return listed(name, reason)
    exit_code, signal = (int(number) for number in code.split(":"))
    reason = "" if reason == "None" else reason
    detail = f"{state} ({reason})" if reason else state
    outcome = OUTCOMES[name]
    if name == "COMPLETED":
        return JobStatus(Phase.FINISHED, outcome, exit_code=0, detail=detail)
    if name == "FAILED":
        detail += f", exit code {code}"
        if _TERM in (signal, exit_code & 127) and _was_warned(elapsed, limit):
            # It obeyed the TERM that --signal sends ahead of the limit.
            detail += ", warned of its time limit"
            return JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT, detail=detail)
        if signal == _NO_LOG:
            detail += ", the log file could not be opened"
            return JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail=detail)
        if signal:
            # 128 and more are flags of the wait status (core dumped).
            return JobStatus(Phase.FINISHED, Outcome.SIGNALLED, signal=signal & 127, detail=detail)
        if reason == "JobLaunchFailure":
            return JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail=detail)
        if exit_code == 0:  # only COMPLETED may mean success
            return JobStatus(Phase.FINISHED, Outcome.UNKNOWN, detail=detail)
        return JobStatus(Phase.FINISHED, outcome, exit_code=exit_code, detail=detail)
    return JobStatus(Phase.FINISHED, outcome, detail=detail)


def warning(walltime: int) -> int:
    """How many seconds ahead of its time limit a job should get a TERM; 0 for none.

    Slurm sends one at the limit in any case, and KILL some seconds later (slurm.conf, KillWait);
    an early one gives the job time to leave its results in order. Since it comes up to
    ``_EARLY`` seconds too soon, short jobs would lose much of their time by it.
    """
    return min(60, walltime // 10) if walltime >= 300 else 0


def _was_warned(elapsed: int, limit: int) -> bool:
    ahead = warning(limit)
    return bool(ahead) and elapsed >= limit - ahead - _EARLY


def explain(log_tail: str) -> Outcome | None:
    """Slurm's own last message in a job's log, if it names the end."""
    steps = [line for line in log_tail.splitlines() if line.startswith("slurmstepd")]
    for line in reversed(steps):
        for message, outcome in LOG_MESSAGES.items():
            if message in line:
                return outcome
    return None


def waits_for(reason: str) -> str:
    """A pending job's reason as a clause for its client; empty if Slurm gives none."""
    if reason.startswith(_NODES):
        return "the nodes that it may use are down, reserved, or kept for jobs that come first"
    code = reason.partition(",")[0].strip()  # "ReqNodeNotAvail, UnavailableNodes:node[1-3]"
    if code in ("", "None"):
        return ""
    if known := _REASONS.get(code):
        return known
    if limit := _LIMIT.fullmatch(code):
        whose, what = _WHOSE[limit["whose"]], limit["what"].lower()
        if _TIME.search(what):
            return f"the computing time of {whose} is used up, or set aside for other jobs"
        amount = next(amount for sign, amount in _WHAT if sign in what)
        return f"{whose} has {amount} as it may have at once"
    return f"for a reason that Slurm calls {code}" if _CODE.fullmatch(code) else ""
