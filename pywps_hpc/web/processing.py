"""Accept a job: spool the dump, record it, and only then answer."""

from __future__ import annotations

import logging
import time
from typing import Any

from pywps.exceptions import NoApplicableCode, OperationNotSupported, StorageNotSupported
from pywps.response.status import WPS_STATUS

from joblauncher import payload, report
from joblauncher.response import JobResponse
from pywps_hpc.jobs import TERMINAL, Job, JobStore, job_name
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir, atomic_write
from pywps_hpc.web import travel
from pywps_hpc.web.errors import Busy

LOGGER = logging.getLogger(__name__)


def admit(settings: Settings, store: JobStore, process: str) -> None:
    """Turn a job away before anything of it exists.

    Raises:
        Busy: there is no dispatcher, or a limit is reached.
    """
    silence, _ = store.heartbeat()
    if silence > settings.dispatcher_lease:
        raise Busy("Jobs cannot be run now: the dispatcher is not running.", settings.retry_after)
    limits = (
        (settings.max_active, None, "this service"),
        (settings.for_process(process).max_active, process, "this process"),
    )
    for limit, which, words in limits:
        if limit and store.count_active(which) >= limit:
            raise Busy(
                f"Maximum number of active jobs of {words} reached ({limit}). Please try later.",
                settings.retry_after,
            )


def is_asynchronous(process: Any, wps_request: Any) -> bool:
    """Whether the client asked for a stored, updated status document (WPS 1.0.0, clause 10.2.2).

    Raises:
        StorageNotSupported, OperationNotSupported: the process does not offer that.
    """
    if wps_request.store_execute != "true":
        return False
    if process.store_supported != "true":
        raise StorageNotSupported("Process does not support the storing of the execute response")
    if wps_request.status != "true":
        return False
    if process.status_supported != "true":
        raise OperationNotSupported("Process does not support the updating of status")
    return True


def accept(
    settings: Settings,
    store: JobStore,
    job: JobDir,
    process: Any,
    wps_request: Any,
    status_url: str,
) -> tuple[Job, JobResponse]:
    """Spool and record one job.

    After a kill at any point before the row, nothing but a folder without a row is left, which the
    dispatcher removes; after it, the job will be run.

    Args:
        job: its folder, which exists.
        process: the process with its inputs, made for this job.
        wps_request: the parsed request.
        status_url: where its status document will be shown.

    Returns:
        The recorded job, and the answer *accepted*.

    Raises:
        NoApplicableCode: the process cannot travel, or the request asks for what it does not offer.
    """
    process._set_uuid(job.job_id)
    response = JobResponse(wps_request, job.job_id, process=process, status_url=status_url)
    asynchronous = is_asynchronous(process, wps_request)
    response.store_status_file = asynchronous
    response._update_status(WPS_STATUS.ACCEPTED, "PyWPS Request accepted", 0)
    try:
        dump = travel.pack(process, wps_request, sync=not asynchronous, status_url=status_url)
    except payload.PayloadError as error:
        LOGGER.exception("%s: cannot be dumped", job.job_id)
        raise NoApplicableCode(
            "The process cannot be sent to the batch system.", code=500
        ) from error
    atomic_write(job.dump, dump, mode=0o400)
    atomic_write(job.status, response.render())
    report.Report(job=job.job_id, process=process.identifier, message=response.message).write(job)
    row = store.add(
        Job(
            id=job.job_id,
            name=job_name(settings.job_prefix, job.job_id),
            process=process.identifier,
            digest=payload.digest(dump),
            owner=wps_request.http_request.remote_user or "",
            sync=not asynchronous,
        )
    )
    LOGGER.info("%s: accepted, process %s, job name %s", row.id, row.process, row.name)
    return row, response


def wait(store: JobStore, job: JobDir, timeout: float) -> report.Report | None:
    """Wait for a job's end.

    The launcher's report tells of it first; of a job that died without one, the job table.

    Args:
        timeout: seconds.

    Returns:
        The final report, or ``None`` when the time is over.
    """
    deadline = time.monotonic() + timeout
    pause, seen = 0.05, None
    while True:
        try:
            now = job.report.stat().st_ino  # each write makes a new file
        except OSError:
            now = None
        if now != seen:
            seen = now
            latest = report.read(job)
            if latest is not None and latest.state in report.TERMINAL and latest.finished:
                return latest
        row = store.get(job.job_id)
        if row is None or row.state in TERMINAL:
            return report.read(job)
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
