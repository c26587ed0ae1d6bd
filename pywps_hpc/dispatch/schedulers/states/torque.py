"""What TORQUE's job states and exit statuses mean; measured on TORQUE's master branch."""

from __future__ import annotations

from collections.abc import Mapping

from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.dispatch.schedulers.states import pbs
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
    **pbs.DELETED,
}


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
        reason = pbs.held_by(record)
    detail = f"{state} ({reason})" if reason else state
    waits = pbs.waits(reason) if phase is Phase.QUEUED else ""
    restarts = pbs.restarts(record.get("start_count", ""))
    return JobStatus(phase, detail=detail, waits=waits, restarts=restarts)


def _ended(record: Mapping[str, str]) -> JobStatus:
    text = record.get("exit_status")
    if text is None:  # measured: deleted before it was started
        return JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail="C, never started")
    code = pbs.exit_status(text)
    limit = _time_limit(record) if pbs.killer(code) else None
    return pbs.ended(
        code,
        limit or EXIT_STATUSES.get(code),
        detail=f"C, exit_status {code}",
        starts=record.get("start_count", ""),
    )


def _time_limit(record: Mapping[str, str]) -> Outcome | None:
    """Whether a job that was killed had reached its time limit; not every MOM says so itself.

    Its use of memory tells nothing: resources_used.mem is the sum over its processes, and mem
    limits each of them by itself. Who was killed while the sum was beyond that was deleted.
    """
    elapsed = seconds(record.get("resources_used.walltime", ""))
    walltime = seconds(record.get("Resource_List.walltime", ""))
    return Outcome.TIME_LIMIT if walltime and elapsed >= walltime else None
