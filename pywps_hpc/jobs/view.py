"""What is true of a job, for everybody who is shown it: made of its row and its report alone.

The row (:class:`~pywps_hpc.jobs.Job`) follows the batch system and decides how a job ended. The
report (:mod:`joblauncher.shared.outcome`) is written beside the process, which could write there,
too: it tells how far the process has come, and what an end that the row confirms left behind. Every
face, page and command renders a :class:`JobView` in its own terms, and reads nothing else.

Pure: no clock, no file, no settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from joblauncher.shared import outcome
from joblauncher.shared.outcome import Report
from pywps_hpc.jobs.job import TERMINAL, Cause, ControlRequest, Job, State
from pywps_hpc.jobs.output import Output, outputs_of
from pywps_hpc.jobs.standing import PublicState, standing_of

__all__ = ["Action", "JobView", "Output", "PublicState", "Queued", "Usage", "job_view"]


#: What a report says of a failure -> its cause, where that is all there is to know.
_REPORTED = {"process": Cause.PROCESS, "input": Cause.INPUT, "memory": Cause.MEMORY}


class Action(Enum):
    """What may be done next with a job, or be had of it, by whoever is shown it."""

    DISMISS = "dismiss"
    PAUSE = "pause"
    RESUME = "resume"
    RESULTS = "results"
    LOG = "log"


@dataclass(frozen=True)
class Queued:
    """What the batch system calls a job.

    Attributes:
        system: the name of the batch system in the settings.
        id: the batch system's id; empty before it has one.
        name: the job's name in the queue.
        index: its array index; 0 means that it is no element of an array.
    """

    system: str
    id: str
    name: str
    index: int = 0


@dataclass(frozen=True)
class Usage:
    """What the process used; ``None`` where that is not known. Processor time and memory are not
    known of a job of several nodes, of which the launcher sees the first one alone.

    Attributes:
        cpu_seconds: processor time, of all its processes.
        peak_memory_mib: MiB that its largest process had at once.
        elapsed_seconds: from its start to its end.
    """

    cpu_seconds: float | None = None
    peak_memory_mib: float | None = None
    elapsed_seconds: float | None = None


@dataclass(frozen=True)
class JobView:
    """One job, as everybody is shown it. Times are seconds since the epoch (UTC); ``None``: not
    yet, or not known.

    Attributes:
        id: the job's id, which administrators see.
        access: what stands for it in the addresses of its client.
        process: the process identifier.
        owner: who sent it; empty where the service does not know.
        retry_of: the id of the job that it repeats; empty if it repeats none.
        sync: whether its client waits on the connection.
        state: where it stands.
        recorded: where it stands in the job table, for administrators: that tells ``staging`` and
            ``submitting``, too.
        requested: the control request that is to be carried out.
        percent: 0 to 100, 100 for a success alone; ``None`` where it is not known, or has no
            meaning any more: of a job that was cut short, failed or was dismissed.
        message: what a person is told, in one text: all that follows, where it says something.
        reason: why it failed or was dismissed; empty otherwise.
        waits: what it waits for, before its process begins; empty otherwise.
        process_message: what the process said last; empty once the dismissal is recorded.
        batch_message: what the dispatcher or the batch system said last.
        cause: why it failed; ``UNKNOWN`` otherwise, and where nobody noted it.
        created: when it was accepted.
        submitted: when the batch system was given it.
        started: when it began for the first time.
        finished: when it ended.
        changed: when the job table last changed what it says.
        expires: when everything that is left of it is removed.
        usage: what its process used.
        attempts: how many of its starts are known.
        node: where it ran last.
        exit_code: of the process's interpreter; ``None`` if a signal ended it, or it never began.
        signal: that killed it; ``None`` if none did.
        queued: what the batch system calls it.
        outputs: of a success.
        actions: what may be done next.
        is_ending: whether the report tells an end that the batch system has yet to confirm; whoever
            finds that lets the dispatcher know (:meth:`~pywps_hpc.jobs.JobStore.saw_end`).
        is_starting: whether the batch system has started it, and its process has yet to begin.
    """

    id: str
    access: str
    process: str
    owner: str
    retry_of: str
    sync: bool
    state: PublicState
    recorded: State
    requested: ControlRequest
    percent: int | None
    message: str
    reason: str
    waits: str
    process_message: str
    batch_message: str
    cause: Cause
    created: float | None
    submitted: float | None
    started: float | None
    finished: float | None
    changed: float | None
    expires: float | None
    usage: Usage
    attempts: int
    node: str
    exit_code: int | None
    signal: int | None
    queued: Queued
    outputs: tuple[Output, ...]
    actions: frozenset[Action]
    is_ending: bool
    is_starting: bool

    @property
    def is_over(self) -> bool:
        """Whether nothing else will be told of it: a recorded dismissal holds."""
        return self.state in (PublicState.SUCCEEDED, PublicState.FAILED, PublicState.DISMISSED)

    @property
    def is_closed(self) -> bool:
        """Whether the batch system has nothing of it any more, either."""
        return self.recorded in TERMINAL


def job_view(
    row: Job,
    report: Report | None,
    *,
    scheduler: str,
    reachable: bool = True,
    expires: float | None = None,
) -> JobView:
    """What is true of a job.

    Args:
        row: of the job table.
        report: what its launcher reported last; ``None`` if it has left nothing that can be read,
            or if nobody looked (in a list): then a job is shown as begun by the next poll of the
            batch system only.
        scheduler: the name of the batch system in the settings.
        reachable: whether somebody can ask the batch system now.
        expires: when the job is removed, see :func:`pywps_hpc.jobs.retention.expires`.
    """
    known = report or Report(row.id, row.process)
    standing = standing_of(row, report, scheduler, reachable)
    succeeded = standing.state is PublicState.SUCCEEDED and known.state == outcome.SUCCEEDED
    has_begun = known.started > 0 or known.state != outcome.ACCEPTED
    # A retry of the submission is none; the report of an earlier start stands until the next one's.
    attempts = max(known.attempt + 1 if has_begun else 0, row.attempt, 1 if row.started else 0)
    return JobView(
        id=row.id,
        access=row.access or row.id,
        process=row.process,
        owner=row.owner,
        retry_of=row.retry_of,
        sync=row.sync,
        state=standing.state,
        recorded=row.state,
        requested=row.control,
        percent=standing.percent,
        message=standing.message,
        reason=standing.reason,
        waits=standing.waits,
        process_message="" if row.is_dismissed else known.message,
        batch_message=row.message,
        cause=_cause(row, known) if standing.state is PublicState.FAILED else Cause.UNKNOWN,
        created=row.created or None,
        submitted=row.submitted or None,
        started=row.started or (known.started if has_begun else 0.0) or None,
        finished=(row.finished or None) if row.state in TERMINAL else None,
        changed=row.changed or None,
        expires=expires,
        usage=_usage(known.usage),
        attempts=attempts,
        node=known.host,
        exit_code=known.exit_code,
        signal=known.signal,
        queued=Queued(scheduler, row.native_id, row.name, row.array_index),
        outputs=outputs_of(known.outputs) if succeeded else (),
        actions=_actions(row, standing.state, has_begun=attempts > 0),
        is_ending=standing.is_ending,
        is_starting=standing.is_starting,
    )


def _actions(row: Job, state: PublicState, *, has_begun: bool) -> frozenset[Action]:
    found = set()
    if has_begun:
        found.add(Action.LOG)
    if state is PublicState.SUCCEEDED:
        found.add(Action.RESULTS)
    if row.state not in TERMINAL and not row.is_dismissed:
        found.add(Action.DISMISS)
        asked = row.control is ControlRequest.PAUSE
        stands_still = row.state is State.PAUSED and row.control is not ControlRequest.RESUME
        found.add(Action.RESUME if asked or stands_still else Action.PAUSE)
    return frozenset(found)


def _cause(row: Job, known: Report) -> Cause:
    """Of a failure; of one that was recorded by an earlier version, what its report says."""
    if row.cause is not Cause.UNKNOWN:
        return row.cause
    return _REPORTED.get(known.cause, Cause.UNKNOWN)


def _usage(told: Mapping[str, float]) -> Usage:
    names = ("cpu_seconds", "peak_memory_mib", "elapsed_seconds")
    return Usage(**{name: told[name] for name in names if told.get(name, -1) >= 0})
