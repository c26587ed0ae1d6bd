"""What to do with a job, given what the batch system says and what the job left in its folder.

Pure: everything is handed in, the clock too. A job is over when the batch system says so. The
job's documents tell what came of it, and process and launcher are one account: a document can be
forged, so one of success counts only where the batch system does not contradict it, and none ends a
job that is missing from the answers before the grace has passed: it may be alive. One of which the
batch system says, asked by its id, that it does not have it, is over. Where the
launcher only knows that it was cut short, the batch system says why. A dismissal that was recorded
comes before all of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto

from joblauncher.shared.exits import NOT_MINE, stopped_by
from pywps_hpc.dispatch.decide import causes, messages
from pywps_hpc.dispatch.decide.action import KEEP, WAIT, Action, Do
from pywps_hpc.dispatch.decide.evidence import Evidence, Left
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, Resources
from pywps_hpc.jobs.job import Cause, ControlRequest, Job, State
from pywps_hpc.timing import TIMING, Timing


class Seen(Enum):
    """What the batch system says."""

    ALIVE = auto()  # waits, runs, or stands still
    AGAIN = auto()  # the start that told its end is over, and another one waits
    CLEAN = auto()  # over, exit code 0
    ENDED = auto()  # over by itself, as far as the batch system knows
    CUT = auto()  # over, for a reason that only the batch system knows
    TWICE = auto()  # over: the launcher refused, since another start of the job has its lease
    GONE = auto()  # neither queue nor accounting list it: a record may yet come
    FORGOTTEN = auto()  # the batch system says that it does not have it, and nobody keeps records
    UNASKED = auto()  # the queue does not know it, accounting could not be asked
    LOGGED = auto()  # the queue does not know it, and its log has the limit that ended it


class Step(Enum):
    """What follows from both."""

    FOLLOW = auto()  # take over the batch system's state
    KEEP = auto()  # change nothing
    SUCCEED = auto()
    FAIL = auto()  # with the message of the job's document
    EXPLAIN = auto()  # fail with the batch system's reason, and put it into the document
    SETTLE = auto()  # as GRACE, once the file system had time to show a later document
    GRACE = auto()  # what the document tells, or else EXPLAIN, once the grace has passed
    LOOK_UP = auto()  # see whether the batch system has the job under another id


TABLE: dict[Seen, dict[Left, Step]] = {
    seen: dict(zip(Left, steps, strict=True))
    for seen, steps in {
        # batch system    OPEN          SUCCESS       FAILURE    CUT_SHORT
        Seen.ALIVE: (Step.FOLLOW, Step.FOLLOW, Step.FOLLOW, Step.FOLLOW),
        Seen.AGAIN: (Step.FOLLOW, Step.SUCCEED, Step.FAIL, Step.FOLLOW),
        Seen.CLEAN: (Step.GRACE, Step.SUCCEED, Step.FAIL, Step.FAIL),
        Seen.ENDED: (Step.SETTLE, Step.SUCCEED, Step.FAIL, Step.FAIL),
        Seen.CUT: (Step.SETTLE, Step.SUCCEED, Step.FAIL, Step.EXPLAIN),
        Seen.TWICE: (Step.LOOK_UP, Step.LOOK_UP, Step.LOOK_UP, Step.FAIL),
        Seen.GONE: (Step.GRACE, Step.GRACE, Step.GRACE, Step.GRACE),
        Seen.FORGOTTEN: (Step.GRACE, Step.SETTLE, Step.SETTLE, Step.SETTLE),
        Seen.UNASKED: (Step.KEEP, Step.GRACE, Step.GRACE, Step.KEEP),
        Seen.LOGGED: (Step.SETTLE, Step.GRACE, Step.GRACE, Step.SETTLE),
    }.items()
}

#: The batch system's phase -> where the job stands for us.
STATES = {
    Phase.QUEUED: State.QUEUED,
    Phase.HELD: State.PAUSED,
    Phase.RUNNING: State.RUNNING,
    Phase.SUSPENDED: State.PAUSED,
}
#: Ends of which only the batch system knows the reason.
CUTS = frozenset(
    {
        Outcome.TIME_LIMIT,
        Outcome.MEMORY_LIMIT,
        Outcome.NODE_FAILURE,
        Outcome.PREEMPTED,
        Outcome.CANCELLED,
    }
)
#: Of these, those that a batch system writes into the job's log when it brings them about.
_LIMITS = frozenset({Outcome.TIME_LIMIT, Outcome.MEMORY_LIMIT})
#: What a log says that does not exclude the time limit: nothing, or that the job was to stop.
_VAGUE = (None, Outcome.CANCELLED)
#: Ends by which a job that has told its success may have been met on its way out. None of them can
#: be brought about by a process that forges one; of ``UNKNOWN`` the batch system tells no more.
_INNOCENT = frozenset({Outcome.NODE_FAILURE, Outcome.PREEMPTED, Outcome.UNKNOWN})


def decide(
    job: Job,
    status: JobStatus | None,
    evidence: Evidence,
    *,
    resources: Resources,
    now: float,
    grace: float,
    asked: bool = True,
    forgotten: bool = False,
    logged: Outcome | None = None,
    answering: float = 0.0,
    timing: Timing = TIMING,
) -> Action:
    """What to do with a job that the batch system has been given.

    Args:
        job: its row.
        status: what the queue, or else accounting, says of it; ``None`` if it is not there.
        evidence: what its folder says; ``Evidence()`` where the folder was not opened, which is
            right only for a job that is alive.
        resources: what it had asked for.
        now: seconds since the epoch.
        grace: seconds for which it may be missing, or without a document.
        asked: whether accounting answered, if ``status`` is ``None``.
        forgotten: whether the batch system said that it does not have the job, and nobody may yet
            tell how it ended, if ``status`` is ``None``.
        logged: what the batch system's own lines in the job's log say of its end, where ``status``
            does not tell it (:func:`needs_log`).
        answering: since when the batch system has answered each question, in seconds since the
            epoch: nobody works on only because his end could not be heard of.
        timing: how long things take.
    """
    limited = _met_its_limit(evidence, resources, timing.time_limit_warning)
    status = _refine(status, logged, limited)
    seen, left = _seen(status, asked, forgotten), evidence.left
    if job.control is ControlRequest.DISMISS:
        lag = min(timing.document_lag, grace)
        return _dismiss(job, status, seen, now=now, grace=lag if forgotten else grace)
    if seen is Seen.ALIVE and status is not None and _has_closed(evidence):
        if status.phase in (Phase.QUEUED, Phase.HELD) and status.restarts > evidence.attempt:
            seen = Seen.AGAIN
        elif status.phase is Phase.RUNNING and _lingers(job, now, answering, timing):
            return Action(Do.STOP, message=messages.LINGERED)
    if (left is Left.SUCCESS and not may_succeed(status, evidence)) or (
        left is Left.CUT_SHORT and _is_outdated(evidence, status)
    ):
        left = Left.OPEN
    if status is None and left is Left.OPEN and evidence.stop_signal:
        # The launcher was killed before it could report that; the batch system tells nothing.
        left = Left.CUT_SHORT
        evidence = replace(evidence, message=stopped_by(evidence.stop_signal))
    if status is None and logged in _LIMITS:
        seen = Seen.LOGGED
    elif status is None and limited and logged in _VAGUE:
        logged = Outcome.TIME_LIMIT  # not certain: accounting may yet tell another end
    step = TABLE[seen][left]
    waited = seen is Seen.FORGOTTEN and not job.started and not evidence.begun
    if waited and left is Left.OPEN:
        step = Step.SETTLE  # nothing of it is alive, or could yet be told
    if step is Step.FOLLOW and status is not None:
        return _follow(job, status)
    if step is Step.KEEP:
        return KEEP
    patience = {Step.SETTLE: timing.document_lag, Step.GRACE: grace}.get(step, 0.0)
    if patience and not _has_been_missing(job, min(patience, grace), now):
        return WAIT
    do = Do.LOOK_UP if step is Step.LOOK_UP else Do.END
    if left is Left.SUCCESS:
        return Action(do, State.SUCCEEDED)
    if left is Left.FAILURE:
        cause = causes.of_document(evidence)
        return Action(do, State.FAILED, evidence.message, cause=cause)
    # The job did not come to an end of its own.
    end = JobStatus(Phase.FINISHED, logged) if status is None and logged else status
    if step is Step.FAIL or (end is None and left is Left.CUT_SHORT):
        reason, cause = _as_launcher_says(evidence, resources)
    elif end is None:
        reason, cause = _lost(job, waited), causes.of_end(None)
    elif job.message == messages.LINGERED and status is not None:
        reason, cause = messages.LINGERED, Cause.PROCESS
    else:
        reason = messages.why(end, resources, evidence.peak_memory)
        cause = causes.of_end(end)
    return Action(do, State.FAILED, reason, rewrite=True, cause=cause)


def _as_launcher_says(evidence: Evidence, resources: Resources) -> tuple[str, Cause]:
    """Why a job ended that was cut short, as far as its launcher could tell; and the cause."""
    reason = messages.out_of_memory(resources) if evidence.out_of_memory else evidence.message
    return reason, causes.of_launcher(evidence)


def _lingers(job: Job, now: float, answering: float, timing: Timing) -> bool:
    """Whether a job works on long after it has told its end."""
    return bool(job.end_seen) and now - max(job.end_seen, int(answering)) >= timing.linger


def _dismiss(job: Job, status: JobStatus | None, seen: Seen, *, now: float, grace: float) -> Action:
    """What to do with a job that is to go, whatever its documents say: it is followed until the
    batch system has nothing of it any more, under any id."""
    if seen is Seen.UNASKED:
        return KEEP
    if seen is Seen.ALIVE and status is not None:
        return _follow(job, status)
    missing = seen in (Seen.GONE, Seen.FORGOTTEN)
    if missing and grace and not _has_been_missing(job, grace, now):
        return WAIT
    return Action(Do.LOOK_UP, State.DISMISSED, messages.DISMISSED, rewrite=True)


def decide_submission(job: Job, found: Sequence[str], *, now: float, patience: float) -> Action:
    """What to do with a job of which it is not certain whether the batch system took it.

    Args:
        job: its row, in state SUBMITTING.
        found: ids under which the batch system has a job of its name.
        now: seconds since the epoch.
        patience: seconds that a submission may be under way before it shows.
    """
    if found:
        # The first one takes the launcher's lease; a second one would end at once, doing nothing.
        return Action(Do.ADOPT, State.QUEUED, native_id=found[0])
    if not job.missing_since or now - job.missing_since < patience:
        return WAIT
    return Action(Do.RETRY, State.ACCEPTED)


def needs_evidence(status: JobStatus | None, *, changed: bool) -> bool:
    """Whether the job's folder has to be opened: only if something happened to the job."""
    return changed or status is None or status.phase is Phase.FINISHED


def needs_log(status: JobStatus | None, evidence: Evidence) -> bool:
    """Whether what the batch system wrote at the end of the job's log could tell why it ended:
    where it does not say so itself, or has forgotten the job."""
    untold = status is None or (
        status.phase is Phase.FINISHED and status.outcome not in CUTS and status.exit_code != 0
    )
    return untold and evidence.left in (Left.OPEN, Left.CUT_SHORT)


def _has_been_missing(job: Job, patience: float, now: float) -> bool:
    return bool(job.missing_since) and now - job.missing_since >= patience


def _has_closed(evidence: Evidence) -> bool:
    """Whether the launcher's last report tells how the process ended."""
    return evidence.closed and evidence.left in (Left.SUCCESS, Left.FAILURE)


def may_succeed(status: JobStatus | None, evidence: Evidence) -> bool:
    """Whether a job that told its success may have succeeded, by what the batch system says of its
    end: its launcher exits with 0 then, or refuses if an earlier start of the job was the one."""
    if status is None or status.phase is not Phase.FINISHED or status.outcome in _INNOCENT:
        return True
    if status.outcome is Outcome.EXITED and status.exit_code == NOT_MINE:
        return status.restarts > evidence.attempt
    return status.outcome is Outcome.EXITED and status.exit_code == 0


def _seen(status: JobStatus | None, asked: bool, forgotten: bool) -> Seen:
    if status is None:
        return Seen.UNASKED if not asked else Seen.FORGOTTEN if forgotten else Seen.GONE
    if status.phase is not Phase.FINISHED:
        return Seen.ALIVE
    if status.outcome in CUTS:
        return Seen.CUT
    if status.outcome is Outcome.EXITED and status.exit_code == 0:
        return Seen.CLEAN
    if status.outcome is Outcome.EXITED and status.exit_code == NOT_MINE:
        return Seen.TWICE
    return Seen.ENDED


def _is_outdated(evidence: Evidence, status: JobStatus | None) -> bool:
    """Whether a later start, of which no launcher was told, is the one that ended. Measured: Slurm
    22.05 fails a job that comes back to its node within the second in which it left it."""
    return evidence.stopped and status is not None and status.restarts > evidence.attempt


def _lost(job: Job, waited: bool) -> str:
    # Measured: of an array's element that is cancelled while it waits, Slurm 22.05 keeps no record.
    cancelled = waited or (job.array_index and not job.started)
    return messages.CANCELLED_OR_LOST if cancelled else messages.LOST


def _refine(status: JobStatus | None, logged: Outcome | None, limited: bool) -> JobStatus | None:
    """What the batch system says; where it does not say why a job ended, what the log says. A job
    that ends when it is warned of its time limit looks like one that ended by itself."""
    if status is None or status.phase is not Phase.FINISHED or status.outcome in CUTS:
        return status
    told = Outcome.TIME_LIMIT if limited and logged in _VAGUE else logged
    return replace(status, outcome=told) if told else status


def _met_its_limit(evidence: Evidence, resources: Resources, warning: float) -> bool:
    """Whether the launcher was asked to stop at a time when a batch system warns of its limit."""
    return (
        evidence.stopped
        and evidence.elapsed is not None
        and evidence.elapsed >= resources.walltime - min(warning, resources.walltime / 4)
    )


def _follow(job: Job, status: JobStatus) -> Action:
    state = STATES[status.phase]
    reason = messages.cannot_start(status.detail) if status.hopeless else ""
    if status.maintenance:
        reason = messages.MAINTENANCE
    if (
        status.by_signal
        and job.state is not State.PAUSED
        and job.control is not ControlRequest.PAUSE
    ):
        # Our own order goes to all processes of a job; of others nobody knows.
        state, reason = State.RUNNING, messages.SIGNAL_SENT
    waits = messages.plain(status.waits) if state is State.QUEUED and not reason else ""
    if state is not job.state:
        return Action(Do.MOVE, state, reason, waits)
    # Any other message tells of a control request that was refused: it stays.
    outdated = reason or job.message.startswith(messages.OF_THE_QUEUE)
    message = reason if outdated else job.message
    if job.missing_since or (message, waits) != (job.message, job.waits):
        return Action(Do.NOTE, message=message, waits=waits)
    return KEEP
