"""What clients do to their jobs: dismiss, pause, resume, remove; and what becomes of a job whose
client waits for it.

A request stands in the job table before it is answered, and the dispatcher carries it out. It need
not run for that: what is recorded is what every face says from then on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from werkzeug.wrappers import Request

from joblauncher.shared import storage
from pywps_hpc.jobs import Cause, ControlRequest, Job
from pywps_hpc.jobs.job import TERMINAL
from pywps_hpc.jobs.retention import expires
from pywps_hpc.jobs.view import JobView, PublicState, job_view
from pywps_hpc.web import health, lookup, waiting
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy, NotNow

LOGGER = logging.getLogger(__name__)

#: What is said of a job that had ended and was removed.
REMOVED = "The job and all that was left of it have been removed"
_BEING_DISMISSED = "The job is being dismissed."


@dataclass(frozen=True)
class Dismissal:
    """What came of a dismissal.

    Attributes:
        view: of the job: dismissed, always.
        is_removed: whether the job had ended before. Then nothing is left of it, and its address
            is unknown from now on.
    """

    view: JobView
    is_removed: bool = False


def dismiss(service: Context, request: Request, access: str, *, removes: bool = True) -> Dismissal:
    """Dismiss a job, or remove one that has ended.

    A job that is being dismissed already is answered like one that is dismissed now. Of a dismissal
    and an end that come at the same time one is recorded first, and holds: if it is the end, the
    job is removed.

    Args:
        removes: whether a job that has ended is removed.

    Raises:
        NotFound: there is no such job, or not for this client.
        NotNow: it has ended, and is not to be removed.
        Busy: a job that has ended cannot be removed now.
        TableUnavailable: it is not known whether the dismissal has been recorded.
    """
    row, _ = lookup.find(service, request, access)
    if service.store.request(row.id, ControlRequest.DISMISS):
        LOGGER.info("%s: its client dismisses it", row.id)
        recorded = service.store.get(row.id)
        if recorded is None:  # carried out and removed by another request meanwhile
            return _removed(service, row)
        return Dismissal(_view(service, recorded))
    row, _ = lookup.find(service, request, access)
    if not removes:
        raise NotNow("The job has ended meanwhile: it cannot be dismissed any more.")
    return _remove(service, row)


def remove(service: Context, request: Request, access: str) -> Dismissal:
    """Remove a job that has ended, with its outputs, documents and log.

    Raises:
        NotFound: there is no such job, or not for this client.
        NotNow: it has not ended.
        Busy: it cannot be removed now.
    """
    row, _ = lookup.find(service, request, access)
    if row.state not in TERMINAL:
        reason = _BEING_DISMISSED if row.is_dismissed else "The job has not ended yet."
        raise NotNow(reason)
    return _remove(service, row)


def pause(service: Context, request: Request, access: str) -> JobView:
    """Hold a job that waits, suspend one that runs; the view of it.

    Raises:
        NotFound: there is no such job, or not for this client.
        NotNow: it is over, or is being dismissed.
    """
    return _ask(service, request, access, ControlRequest.PAUSE)


def resume(service: Context, request: Request, access: str) -> JobView:
    """Let a job go on that was paused; the view of it.

    Raises:
        NotFound, NotNow: as :func:`pause`.
    """
    return _ask(service, request, access, ControlRequest.RESUME)


def await_end(service: Context, request: Request, row: Job) -> Job:
    """Wait for a job's end, as long as ``[hpc] sync_timeout`` lets a client wait.

    A client that closes its connection meanwhile leaves no job behind, unless ``[hpc]
    keep_abandoned`` says so.

    Returns:
        The row at the end, or when the time is over or nobody listens.
    """
    environ = request.environ
    folder, timeout = lookup.folder_of(service, row), service.settings.sync_timeout
    row = waiting.wait(service.store, folder, row, timeout, waiting.listens(environ))
    if row.state in TERMINAL or row.is_dismissed or service.settings.keep_abandoned:
        return row
    if waiting.has_left(environ)() and service.store.request(row.id, ControlRequest.DISMISS):
        LOGGER.info("%s: dismissed, its client has closed the connection", row.id)
        return service.store.get(row.id) or row
    return row


def _ask(service: Context, request: Request, access: str, wanted: ControlRequest) -> JobView:
    row, _ = lookup.find(service, request, access)
    if not service.store.request(row.id, wanted):
        row, _ = lookup.find(service, request, access)
        raise NotNow("The job is over." if row.state in TERMINAL else _BEING_DISMISSED)
    LOGGER.info("%s: its client asks to %s it", row.id, wanted.value)
    row, _ = lookup.find(service, request, access)
    return _view(service, row)


def _remove(service: Context, row: Job) -> Dismissal:
    """Remove a job whose row is closed: its folder moves away, then its row goes. The dispatcher
    deletes what has moved, and goes on with it after a kill in between."""
    health.require_spool(service)
    try:
        service.spool.discard(row.id)
    except OSError as error:
        LOGGER.error("%s: cannot be removed: %s", row.id, error.strerror)
        trouble = storage.trouble(error) or "its files cannot be moved"
        message = f"The job cannot be removed now: {trouble}."
        raise Busy(message, service.settings.retry_after, "storage") from None
    service.store.remove(row.id)
    LOGGER.info("%s: removed by its client", row.id)
    return _removed(service, row)


def _removed(service: Context, row: Job) -> Dismissal:
    view = replace(
        job_view(row, None, scheduler=service.settings.scheduler),
        state=PublicState.DISMISSED,
        percent=None,
        message=REMOVED,
        reason=REMOVED,
        cause=Cause.UNKNOWN,
        outputs=(),
        actions=frozenset(),
    )
    return Dismissal(view, is_removed=True)


def _view(service: Context, row: Job) -> JobView:
    """The view of a job whose request is recorded, even if its folder cannot be read now."""
    try:
        return lookup.view_of(service, row, lookup.folder_of(service, row))
    except OSError:
        end = expires(row, service.settings.retention)
        return job_view(row, None, scheduler=service.settings.scheduler, expires=end)
