"""What TORQUE's job states and exit statuses mean; measured on TORQUE's master branch."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.text import seconds

# qstat(1B), job state.
PHASES = {
    "Q": Phase.QUEUED,
    "W": Phase.QUEUED,  # its execution time has not come
    "T": Phase.QUEUED,  # being moved to another place
    "H": Phase.HELD,
    "R": Phase.RUNNING,
    "E": Phase.RUNNING,  # exiting: its files are being copied
    "S": Phase.SUSPENDED,
    "C": Phase.FINISHED,  # listed for keep_completed seconds
}

# TORQUE Administrator Guide, "Job Exit Status": negative ones are MOM's own (resmom.h, JOB_EXEC_*).
EXIT_STATUSES = {
    -1: Outcome.COULD_NOT_START,  # FAIL1: before files
    -2: Outcome.COULD_NOT_START,  # FAIL2: after files
    -3: Outcome.NODE_FAILURE,  # RETRY
    -4: Outcome.NODE_FAILURE,  # INITABT: MOM started anew
    -5: Outcome.NODE_FAILURE,  # INITRST: likewise, checkpointed
    -6: Outcome.NODE_FAILURE,  # INITRMG: likewise, may migrate
    -7: Outcome.COULD_NOT_START,  # BADRESRT: restart failed
    -8: Outcome.COULD_NOT_START,  # CMDFAIL: exec of the shell
    -9: Outcome.COULD_NOT_START,  # STDOUTFAIL
    -10: Outcome.MEMORY_LIMIT,  # OVERLIMIT_MEM
    -11: Outcome.TIME_LIMIT,  # OVERLIMIT_WT
    -12: Outcome.TIME_LIMIT,  # OVERLIMIT_CPUT
    -13: Outcome.COULD_NOT_START,  # RETRY_CGROUP
    -14: Outcome.COULD_NOT_START,  # RETRY_PROLOGUE
    # 256 and the signal by which the server or MOM ended the job.
    256 + signal.SIGTERM: Outcome.CANCELLED,
    256 + signal.SIGKILL: Outcome.CANCELLED,
}

# MOM's lines in a job's log: "=>> PBS: job killed: walltime 73 exceeded limit 60".
LOG_LIMITS = {
    "walltime": Outcome.TIME_LIMIT,
    "cput": Outcome.TIME_LIMIT,
    "mem": Outcome.MEMORY_LIMIT,
    "pmem": Outcome.MEMORY_LIMIT,
    "vmem": Outcome.MEMORY_LIMIT,
    "pvmem": Outcome.MEMORY_LIMIT,
}
_LOG_LINE = re.compile(r"^=>> PBS: job killed: (\w+) .*exceeded limit", re.MULTILINE)

#: In the detail of a held job: who holds it (u: its owner, o: an operator, s: the server).
HOLD = re.compile(r"Hold_Types = (\w+)")


def status(record: Mapping[str, str]) -> JobStatus | None:
    """What a job's attributes say; ``None``: its state is not known."""
    state = record["job_state"]
    phase = PHASES.get(state)
    if phase is None:
        return None
    if phase is Phase.FINISHED:
        return _ended(record)
    reason = record.get("comment", "") if phase is Phase.QUEUED else ""
    if phase is Phase.HELD:
        reason = f"Hold_Types = {record.get('Hold_Types', 'n')}"
    detail = f"{state} ({reason})" if reason else state
    return JobStatus(phase, detail=detail, restarts=_restarts(record))


def explain(log_tail: str) -> Outcome | None:
    """What MOM's last message in a job's log says about its end."""
    limits = _LOG_LINE.findall(log_tail)
    return LOG_LIMITS.get(limits[-1]) if limits else None


def _ended(record: Mapping[str, str]) -> JobStatus:
    text = record.get("exit_status")
    if text is None:  # measured: deleted before it was started
        return JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail="C, never started")
    if not re.fullmatch(r"-?\d+", text):
        raise SchedulerUnavailable(f"qstat's answer has the exit status {text!r}")
    code = int(text)
    outcome = EXIT_STATUSES.get(code)
    # Measured: a signal from the server counts from 256, one that the script gave itself from 128.
    killer = code - 256 if code > 255 else code - 128
    if 0 < killer <= signal.SIGRTMAX:
        outcome = _time_limit(record) or outcome or Outcome.SIGNALLED
    elif outcome is None:
        outcome = Outcome.EXITED if code >= 0 else Outcome.UNKNOWN
    return JobStatus(
        Phase.FINISHED,
        outcome,
        exit_code=code if outcome is Outcome.EXITED else None,
        signal=killer if outcome is Outcome.SIGNALLED else None,
        detail=f"C, exit_status {code}",
        restarts=_restarts(record),
    )


def _time_limit(record: Mapping[str, str]) -> Outcome | None:
    """Whether a job that was killed had reached its time limit; not every MOM says so itself.

    Its use of memory tells nothing: resources_used.mem is the sum over its processes, and mem
    limits each of them by itself. Who was killed while the sum was beyond that was deleted.
    """
    elapsed = seconds(record.get("resources_used.walltime", ""))
    walltime = seconds(record.get("Resource_List.walltime", ""))
    return Outcome.TIME_LIMIT if walltime and elapsed >= walltime else None


def _restarts(record: Mapping[str, str]) -> int:
    count = record.get("start_count", "")
    return max(0, int(count) - 1) if count.isdigit() else 0
