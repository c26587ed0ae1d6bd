"""What OpenPBS's job states and exit statuses mean; measured on 23.06.06."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.dispatch.schedulers.states import pbs

# qstat(1B), job state.
PHASES = {
    "Q": Phase.QUEUED,
    "W": Phase.QUEUED,  # its execution time has not come
    "T": Phase.QUEUED,  # being moved to another queue
    "H": Phase.HELD,
    "R": Phase.RUNNING,
    "E": Phase.RUNNING,  # exiting: its files are being copied
    "B": Phase.RUNNING,  # an array of which some element has begun
    "M": Phase.RUNNING,  # moved to another server, where it may live
    "S": Phase.SUSPENDED,
    "U": Phase.SUSPENDED,  # somebody uses the workstation
    "F": Phase.FINISHED,
    "X": Phase.FINISHED,  # an element of an array that is not over yet
}
#: In ``substate`` (job.h, JOB_SUBSTATE_TERMINATED): deleted, whatever the exit status says.
TERMINATED = "91"

# PBS Professional Reference Guide, "Job Exit Status"; job.h, JOB_EXEC_*. Those that mean another
# start (-11 RERUN, -12 CHKP, -15 QUERST, -18 HOOK_RERUN) tell nothing of an end.
EXIT_STATUSES = {
    -1: Outcome.COULD_NOT_START,  # FAIL1: before files
    -2: Outcome.COULD_NOT_START,  # FAIL2: after files
    -3: Outcome.COULD_NOT_START,  # RETRY: its log cannot be written, for one
    -4: Outcome.NODE_FAILURE,  # INITABT: MOM started anew
    -5: Outcome.NODE_FAILURE,  # INITRST: likewise, checkpointed
    -6: Outcome.NODE_FAILURE,  # INITRMG: likewise, may migrate
    -7: Outcome.COULD_NOT_START,  # BADRESRT: restart failed
    -10: Outcome.COULD_NOT_START,  # FAILUID: no such user there
    -13: Outcome.COULD_NOT_START,  # FAIL_PASSWORD
    -14: Outcome.NODE_FAILURE,  # RERUN_SIS_FAIL: another of its nodes
    -16: Outcome.COULD_NOT_START,  # FAILHOOK_RERUN
    -17: Outcome.COULD_NOT_START,  # FAILHOOK_DELETE
    -19: Outcome.CANCELLED,  # HOOK_DELETE: by a hook of the site
    -20: Outcome.NODE_FAILURE,  # RERUN_MS_FAIL: its first node
    -21: Outcome.COULD_NOT_START,  # FAIL_SECURITY
    -22: Outcome.COULD_NOT_START,  # HOOKERROR
    -23: Outcome.COULD_NOT_START,  # FAIL_KRB5
    -24: Outcome.CANCELLED,  # KILL_NCPUS_BURST: more processors than asked for
    -25: Outcome.CANCELLED,  # KILL_NCPUS_SUM: likewise, on average
    -26: Outcome.MEMORY_LIMIT,  # KILL_VMEM
    -27: Outcome.MEMORY_LIMIT,  # KILL_MEM
    -28: Outcome.TIME_LIMIT,  # KILL_CPUT
    -29: Outcome.TIME_LIMIT,  # KILL_WALLTIME
    -30: Outcome.COULD_NOT_START,  # JOINJOB
    **pbs.DELETED,
}

# In the comment of a job, by server or scheduler.
NEVER = "Can Never Run"
QUEUE_CLOSED = "Queue not started"
#: Measured: after 21 attempts the server holds the job, and will never try again.
NOT_STARTED = "too many failed attempts to run"


def status(record: Mapping[str, str]) -> JobStatus | None:
    """What a job's attributes say; ``None``: its state is not known."""
    state, comment = record["job_state"], record.get("comment", "")
    phase = PHASES.get(state)
    if phase is None:
        return None
    if phase is Phase.FINISHED:
        return _ended(record)
    known = JobStatus(phase, detail=state, restarts=pbs.restarts(record.get("run_count", "")))
    if phase is Phase.HELD and NOT_STARTED in comment:
        detail = f"{state} ({comment})"
        could_not = Outcome.COULD_NOT_START
        return replace(known, phase=Phase.FINISHED, outcome=could_not, detail=detail, hopeless=True)
    # Measured: an element of an array that is held reads Q all the same.
    if phase is Phase.HELD or (
        phase is Phase.QUEUED and record.get("Hold_Types", pbs.NO_HOLD) != pbs.NO_HOLD
    ):
        return replace(known, phase=Phase.HELD, detail=f"{state} ({pbs.held_by(record)})")
    if phase is Phase.QUEUED and comment:
        return replace(
            known,
            detail=f"{state} ({comment})",
            waits=pbs.waits(comment),
            hopeless=comment.startswith(NEVER),
            maintenance=QUEUE_CLOSED in comment,
        )
    return known


def _ended(record: Mapping[str, str]) -> JobStatus:
    state, text = record["job_state"], record.get("Exit_status")
    # Measured: an element that was deleted while it waited shows the exit status of its array, even
    # 0, once that is over.
    started = "run_count" in record or "array" in record
    # Likewise one that was deleted while it ran: then only its substate tells of that.
    if record.get("substate") == TERMINATED or text is None:
        detail = f"{state}, deleted" if started else f"{state}, never started"
        return JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail=detail)
    code = pbs.exit_status(text)
    if code >= 0 and not started:
        return JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail=f"{state}, never started")
    return pbs.ended(
        code,
        EXIT_STATUSES.get(code),
        detail=f"{state}, Exit_status {code}",
        starts=record.get("run_count", ""),
    )
