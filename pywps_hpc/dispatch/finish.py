"""Bring a job to its end: its documents first, its row last."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from joblauncher.shared import failpoint, outcome, status_xml, storage
from joblauncher.shared.files import read_plain, staged
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch import folders
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.evidence import Evidence
from pywps_hpc.jobs import Cause, ControlRequest, Job, State
from pywps_hpc.metrics import meters

log = logging.getLogger(__name__)


def end(
    context: Context,
    job: Job,
    state: State,
    reason: str,
    *,
    rewrite: bool,
    overrule: bool = False,
    exited: bool = False,
    seen: Evidence | None = None,
    elapsed: int | None = None,
    cause: Cause = Cause.SYSTEM,
) -> None:
    """Bring a job to its end: its document first, its row last, soon and together with others.

    In this order a dispatcher that is killed in between does the same again. A job whose
    dismissal is recorded by now is dismissed, however it ended; one whose dismissal is recorded
    before its row tells another end is left to the next turn. So is one of which a launcher that
    lives on took its success back meanwhile.

    Args:
        job: as last read.
        state: SUCCEEDED, FAILED or DISMISSED.
        reason: for the user.
        rewrite: whether its document has to be replaced by one that says so, unless it tells
            of a success. Right only when nobody else can write there any more.
        overrule: whether a document of success is replaced, too.
        exited: whether the batch system saw its launcher come to its end. One that may live on,
            on a node that is lost, is kept from changing a success that is told.
        seen: what its folder said.
        elapsed: seconds for which it ran, as the batch system counts them; ``None``: not told.
        cause: of a failure.

    Raises:
        OSError: the storage is in trouble, and there is time left to wait for it.
    """
    context.heartbeat()
    current = context.store.get(job.id)
    if current is None or current.state is not job.state:
        return
    if current.control is ControlRequest.DISMISS or state is State.DISMISSED:
        state, reason, rewrite, overrule = State.DISMISSED, messages.DISMISSED, True, True
    context.heartbeat()  # whoever was replaced must not touch the document
    now = context.clock()
    failpoint.reach("end.1")
    how = {"rewrite": rewrite, "overrule": overrule, "exited": exited}
    if not _close(context, job, reason, now, **how):
        # A success that was there before stands: nobody would ever end the job otherwise that
        # is waiting here while an earlier submission of it, taken for lost, ran.
        state, reason = State.SUCCEEDED, ""
        _close(context, job, reason, now, **how | {"rewrite": False})
    failpoint.reach("end.3")
    if state is State.SUCCEEDED and not _has_succeeded(context, job):
        return
    context.spool.discard_work(job.id)
    failpoint.reach("end.4")
    seen = seen or Evidence()
    started = job.started or seen.started
    finished = _finished(context, job, seen, now, started + elapsed if started and elapsed else 0.0)
    facts: dict[str, Any] = {"started": started, "finished": finished}
    facts |= {"missing_since": 0.0, "end_seen": 0}
    facts |= {"cpu_seconds": seen.cpu_seconds, "peak_memory": seen.peak_memory}
    facts |= {"message": reason, "cause": cause.value if state is State.FAILED else ""}
    told = f"failed: {reason}" if state is State.FAILED else state.value

    def ended() -> None:
        failpoint.reach("end.5")
        context.forget(job)
        log.info("%s: %s", job.id, told)
        _measure(job, state, facts)
        context.ended(job, state, facts)

    context.changes.add(job, state, then=ended, **facts)


def _finished(context: Context, job: Job, seen: Evidence, now: float, counted: float) -> float:
    """When a job ended: its files are kept from then on.

    Args:
        seen: in which the job itself may tell it; that is a moment before its node is free.
        now: when its end was noticed.
        counted: when it ended by the batch system's count, which leaves out suspensions; 0: not
            known.
    """
    if job.created <= seen.finished <= now:
        return min(max(seen.finished, counted), now)
    own = context.settings
    unnoticed = 2 * max(own.poll_interval, own.poll_backoff)
    return counted if now - unnoticed <= counted <= now else now


def _measure(job: Job, state: State, facts: dict[str, Any]) -> None:
    """Tell the metrics of an end."""
    meters.count(meters.ENDED, job.process, state.value, facts["cause"])
    started = facts["started"]
    if started and job.submitted and not job.started:  # it was never seen to run
        meters.observe(meters.QUEUE, started - job.submitted, job.process)
    if started:
        meters.observe(meters.RUN, facts["finished"] - started, job.process)


def _has_succeeded(context: Context, job: Job) -> bool:
    """Whether its document says so still."""
    status = folders.read_status(context.spool.open(job.id))
    return status is not None and status.state == outcome.SUCCEEDED


def _close(
    context: Context,
    job: Job,
    reason: str,
    now: float,
    *,
    rewrite: bool,
    overrule: bool,
    exited: bool,
) -> bool:
    """Leave the end in a job's folder; false if it was to be a failure, and there is
    a success that stands.

    Whatever the process made of its folder, that takes a bounded time: without a document, the
    row tells the end.

    Raises:
        OSError: as :meth:`end`.
    """
    folder = context.spool.open(job.id)
    if not folders.exists(folder):
        log.warning("%s: its folder is gone, and its status document with it", job.id)
        return True
    try:
        if rewrite:
            return write_failure(folder, job.process, reason, now, overrule=overrule)
        complete_report(folder, job.process, now, exited)
    except OSError as error:
        since = context.storage_trouble.setdefault(job.id, now)
        # A negative time is none: the clock was set back.
        if storage.trouble(error) and 0 <= now - since < context.timing.storage_patience:
            raise
        log.warning("%s: its status document cannot be completed: %s", job.id, error.strerror)
    return True


def write_failure(
    folder: JobDir, process: str, message: str, now: float, *, overrule: bool = False
) -> bool:
    """Leave a document and a report of failure. To be called only when nobody else writes there.

    Args:
        folder: of the job.
        process: its identifier.
        message: why it failed.
        now: seconds since the epoch.
        overrule: whether it failed even if the document says that it succeeded.

    Returns:
        False if the document says by now that the job succeeded; then nothing is changed.

    Raises:
        OSError: they could not be written.
    """
    document, known = b"", None
    with contextlib.suppress(OSError, status_xml.DocumentError):
        found = read_plain(folder.status)
        known, document = status_xml.parse(found), found
    if known is not None and known.state == outcome.SUCCEEDED and not overrule:
        return False
    status = status_xml.Status(outcome.FAILED, 100, message)
    facts = outcome.read(folder) or outcome.Report(job=folder.job_id, process=process)
    facts.state, facts.percent, facts.message = outcome.FAILED, 100, message
    facts.cause, facts.outputs, facts.response = "dispatcher", [], None
    facts.finished = facts.finished or now
    files = {folder.report: facts.content()}
    if known != status:  # a client may have it already
        files[folder.status] = status_xml.renewed(document, process, status)
    with staged(files) as replace_file:
        if folder.status in files:
            replace_file(folder.status)
            failpoint.reach("end.2")
        replace_file(folder.report)
    return True


def complete_report(folder: JobDir, process: str, now: float, exited: bool) -> None:
    """Bring the report to what the last document says, where the launcher was killed in between,
    and sign a success: a launcher that lives on finds itself superseded then.

    Args:
        folder: of the job.
        process: its identifier.
        now: seconds since the epoch.
        exited: whether the launcher has come to its end: then nothing needs to be signed.

    Raises:
        OSError: it could not be written.
    """
    status = folders.read_status(folder)
    if status is None or status.state not in outcome.TERMINAL:
        return
    facts = outcome.read(folder)
    facts = facts or outcome.Report(job=folder.job_id, process=process)
    signature = "" if exited or status.state != outcome.SUCCEEDED else "dispatcher"
    if facts.is_final() and facts.state == status.state and signature in ("", facts.cause):
        return
    facts.state, facts.percent, facts.message = status.state, 100, status.message
    facts.cause = signature
    if status.state == outcome.FAILED:
        facts.cause, facts.outputs = "launcher", []
    facts.finished = facts.finished or now
    facts.write(folder)
