"""Where a job stands for those who are shown it, and what they are told of that: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from joblauncher.shared import outcome
from joblauncher.shared.outcome import Report
from pywps_hpc.jobs.job import Job, State

#: For a job whose report tells its end, before the batch system does.
ENDING = "The process has ended; the batch system has yet to confirm it"
#: For a job whose dismissal is recorded, but not yet carried out.
DISMISSING = "dismissed; it is being ended"
#: For a job that the batch system stopped, and will either start again or tell the reason of.
LOOKED_UP = "the reason is being looked up"
#: For a job that has begun before, and waits for another start.
AGAIN = "The batch system starts it again"
#: Why a job waits.
FETCHING = "its inputs are being fetched"
CANNOT_ASK = "the batch system cannot be reached at the moment"


class PublicState(Enum):
    """Where a job stands for those who are shown it. Each face has its own term for each.

    ===========  ==================  =================  ===================
    state        WPS 1.0.0           WPS 2.0            OGC API Processes
    ===========  ==================  =================  ===================
    ACCEPTED     ProcessAccepted     Accepted           accepted
    QUEUED       ProcessAccepted     Accepted           accepted
    RUNNING      ProcessStarted      Running            running
    PAUSED       ProcessPaused       Paused             accepted or running
    SUCCEEDED    ProcessSucceeded    Succeeded          successful
    FAILED       ProcessFailed       Failed             failed
    DISMISSED    ProcessFailed       Dismissed          dismissed
    ===========  ==================  =================  ===================
    """

    ACCEPTED = "accepted"  # here; the batch system does not have it yet
    QUEUED = "queued"  # waits in the batch system, for its first start or another one
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DISMISSED = "dismissed"  # from the moment at which the dismissal is recorded


@dataclass(frozen=True)
class Standing:
    """Where a job stands; the attributes are those of
    :class:`~pywps_hpc.jobs.view.JobView`."""

    state: PublicState
    percent: int | None
    message: str
    reason: str = ""
    waits: str = ""
    is_ending: bool = False
    is_starting: bool = False


def standing_of(row: Job, report: Report | None, scheduler: str, reachable: bool) -> Standing:
    """Where a job stands; arguments as of :func:`~pywps_hpc.jobs.view.job_view`."""
    end = _ended(report)
    if row.is_dismissed:
        message = row.message if row.state is State.DISMISSED else DISMISSING
        return Standing(PublicState.DISMISSED, None, message, reason=message)
    if row.state is State.FAILED:
        message = end.message if end and end.state == outcome.FAILED else ""
        message = message or row.message
        return Standing(PublicState.FAILED, None, message, reason=message)
    if row.state is State.SUCCEEDED:
        message = end.message if end and end.state == outcome.SUCCEEDED else ""
        return Standing(PublicState.SUCCEEDED, 100, message or "Succeeded")
    return _active(row, report, scheduler, reachable)


def _active(row: Job, report: Report | None, scheduler: str, reachable: bool) -> Standing:
    """Where a job stands that is not over."""
    queued = _in_the_queue("waiting", row, scheduler, reachable)
    percent = _percent(report)
    if row.state is State.QUEUED and row.started and _is_outdated(row, report):
        return Standing(PublicState.QUEUED, percent, f"{AGAIN}; {queued}", waits=queued)
    ends = _ended(report) is not None
    if row.state is State.PAUSED:
        return Standing(PublicState.PAUSED, 99 if ends else percent, "Paused", is_ending=ends)
    if ends:
        return Standing(PublicState.RUNNING, 99, ENDING, is_ending=True)
    if report is not None and report.state != outcome.ACCEPTED:
        looked_up = f"; {LOOKED_UP}" if report.state == outcome.FAILED else ""
        return Standing(PublicState.RUNNING, percent, report.message + looked_up)
    if report is not None and report.started > 0:
        return Standing(PublicState.RUNNING, percent, "Running")
    if row.state is State.RUNNING:
        if report is None:
            return Standing(PublicState.RUNNING, percent, "Running")
        waits = _in_the_queue("starting", row, scheduler, reachable)
        message = f"{report.message or 'Accepted'}; {waits}"
        return Standing(PublicState.RUNNING, 0, message, waits=waits, is_starting=True)
    state = PublicState.QUEUED if row.state is State.QUEUED else PublicState.ACCEPTED
    waits, said = _waits(row, queued, reachable), report.message if report else ""
    return Standing(state, 0, "; ".join(filter(None, (said or "Accepted", waits))), waits=waits)


def _ended(report: Report | None) -> Report | None:
    """A report that tells an end of the process's own: neither one of which only the batch system
    knows the reason, nor one after which it may start the job again; ``None`` if it does not."""
    if report is None or report.state not in outcome.TERMINAL:
        return None
    return None if report.cause in outcome.PROVISIONAL else report


def _percent(report: Report | None) -> int | None:
    """How far the process has come; ``None`` where a report of failure has 100 in its place."""
    if report is None:
        return 0
    if report.state == outcome.FAILED and report.percent >= 100:
        return None
    return min(max(report.percent, 0), 99)


def _is_outdated(row: Job, report: Report | None) -> bool:
    """Whether a report is of an earlier start than the one that counts."""
    return report is None or report.attempt < row.attempt


def _waits(row: Job, queued: str, reachable: bool) -> str:
    if row.state is State.STAGING:
        return FETCHING
    if row.native_id:
        return queued
    return "; ".join(filter(None, (row.message, "" if reachable else CANNOT_ASK)))


def _in_the_queue(what: str, row: Job, scheduler: str, reachable: bool) -> str:
    message = f"{what} as {scheduler} job {row.native_id} ({row.name})"
    if why := "; ".join(filter(None, (row.message, row.waits))):
        message += f": {why}"
    return message if reachable else f"{message}; {CANNOT_ASK}"
