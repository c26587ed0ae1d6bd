"""Accept a job: spool the dump, record it, and only then answer."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from pywps.exceptions import (
    FileSizeExceeded,
    NoApplicableCode,
    OperationNotSupported,
    StorageNotSupported,
)
from pywps.response.status import WPS_STATUS

from joblauncher.inputs import prepared
from joblauncher.inputs.large_values import Value
from joblauncher.shared import dump as payload
from joblauncher.shared import failpoint, outcome
from joblauncher.shared.files import amount
from joblauncher.shared.response import JobResponse
from pywps_hpc.jobs import (
    TERMINAL,
    Job,
    JobStore,
    Limit,
    LimitReached,
    State,
    TableUnavailable,
    job_name,
)
from pywps_hpc.jobs.identity import are_apart, service_mark
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir, atomic_write
from pywps_hpc.web import input_references, packing
from pywps_hpc.web.errors import Busy
from pywps_hpc.web.requests import limits as request_limits

LOGGER = logging.getLogger(__name__)

#: Seconds between two looks at the table for a client that waits, and once its job has told an end.
SELDOM, SOON = 1.0, 0.2


def admit(settings: Settings, store: JobStore, process: str, http_request: Any) -> None:
    """Turn a job away before anything of it exists.

    Raises:
        Busy: there is no dispatcher, or only that of another service; or a limit is reached.
    """
    leader = store.dispatcher()
    if leader is None or not leader.is_alive(settings.dispatcher_lease):
        raise Busy("Jobs cannot be run now: the dispatcher is not running.", settings.retry_after)
    if are_apart(leader.service, service_mark(settings)):
        LOGGER.error("[hpc] spool, database: the dispatcher of another service works with them")
        raise Busy("Jobs cannot be run now: the dispatcher is not running.", settings.retry_after)
    reached = store.reached(limits(settings, process, client_of(http_request)))
    if reached is not None:
        raise busy(settings, reached)


def busy(settings: Settings, reached: Limit) -> Busy:
    """The answer to a client whose job would be one too many."""
    return Busy(f"{reached} Please try later.", settings.retry_after)


def limits(settings: Settings, process: str, client: str) -> list[Limit]:
    """What bounds a job of this process for this client."""
    known = (
        Limit(settings.max_active, "this service"),
        Limit(settings.for_process(process).max_active, "this process", process=process),
        Limit(settings.max_active_per_owner, "one client", client=client),
    )
    return [limit for limit in known if limit.most]


def client_of(http_request: Any) -> str:
    """Whom the limits count a request for.

    An account (``REMOTE_USER``), or where nobody logs in the network address as the WSGI server
    gives it; of IPv6 the /64 network, which one machine may have to itself.
    """
    if http_request.remote_user:
        return f"user {http_request.remote_user}"[:255]
    address = http_request.remote_addr or ""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return f"address {address}"[:255]
    if known.version == 6:
        mapped = known.ipv4_mapped
        network = ipaddress.ip_network((known, 64), strict=False)
        return f"address {mapped or network}"
    return f"address {known}"


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
        job: its folder, which exists, and what stands for it in addresses.
        process: the process with its inputs, made for this job.
        wps_request: the parsed request.
        status_url: where its status document will be shown.

    Returns:
        The recorded job, and the answer *accepted*.

    Raises:
        NoApplicableCode: the process cannot travel, or the request asks for what it does not offer.
        FileSizeExceeded: its dump is too large.
        Busy: a limit was reached meanwhile.
    """
    process._set_uuid(job.access)  # PyWPS makes the addresses of outputs of it
    response = JobResponse(wps_request, job.access, process=process, status_url=status_url)
    asynchronous = is_asynchronous(process, wps_request)
    response.store_status_file = wps_request.store_execute == "true"
    response._update_status(WPS_STATUS.ACCEPTED, "PyWPS Request accepted", 0)
    bounds = input_references.bounds(settings)
    staging = settings.inputs.fetch == "server" and input_references.plan(job, wps_request, bounds)
    kept, values = _keep_values(job)
    try:
        dump = packing.pack(
            job.job_id,
            process,
            wps_request,
            settings,
            sync=not asynchronous,
            status_url=status_url,
            bounds=bounds,
            prepared=prepared.record(job),
            values=values,
        )
    except payload.PayloadError as error:
        LOGGER.exception("%s: cannot be dumped", job.job_id)
        raise NoApplicableCode(
            "The process cannot be sent to the batch system.", code=500
        ) from error
    if settings.max_dump_size and len(dump) + kept > settings.max_dump_size:
        raise FileSizeExceeded(
            f"The process with its inputs takes {amount(len(dump) + kept)}, more than the "
            f"{amount(settings.max_dump_size)} that are allowed."
        )
    atomic_write(job.dump, dump, mode=0o400)
    failpoint.reach("accept.2")
    atomic_write(job.status, response.render())
    failpoint.reach("accept.3")
    outcome.Report(job=job.job_id, process=process.identifier, message=response.message).write(job)
    failpoint.reach("accept.4")
    client = client_of(wps_request.http_request)
    accepted = Job(
        id=job.job_id,
        name=job_name(settings.job_prefix, job.job_id),
        process=process.identifier,
        digest=payload.digest(dump),
        owner=wps_request.http_request.remote_user or "",
        client=client,
        sync=not asynchronous,
        state=State.STAGING if staging else State.ACCEPTED,
        access=job.access,
    )
    try:
        row = store.add(accepted, limits(settings, process.identifier, client))
    except LimitReached as error:
        raise busy(settings, error.limit) from None
    failpoint.reach("accept.5")
    LOGGER.info("%s: accepted, process %s, job name %s", row.id, row.process, row.name)
    return row, response


def _keep_values(job: JobDir) -> tuple[int, dict[str, Value]]:
    """Write large values of the request to the job's folder; their bytes, and what they are."""
    values = request_limits.values()
    if values is None:
        return 0, {}
    with job.values.open("xb") as file:
        os.fchmod(file.fileno(), 0o400)
        size = values.write(file)
        file.flush()
        os.fsync(file.fileno())
    return size, values.found


def wait(
    store: JobStore, job: JobDir, row: Job, timeout: float, listens: Callable[[], bool]
) -> Job:
    """Wait for a job's end, or its dismissal, as the job table tells it.

    The launcher's report shows the end first, but that could be forged: it makes the dispatcher
    ask the batch system, and the table be asked more often.

    Args:
        row: of the job, as it was accepted.
        timeout: seconds.
        listens: whether the client still waits.

    Returns:
        The row at the end, or when the time is over or nobody listens.
    """
    deadline = time.monotonic() + timeout
    pause, asked, often = 0.05, 0.0, SELDOM
    seen = found = None  # each write makes a new file, whose number may have been used before
    while True:
        now = time.monotonic()
        with contextlib.suppress(OSError):
            facts = job.report.lstat()
            found = facts.st_ino, facts.st_mtime_ns
        if found != seen:
            seen = found
            latest = outcome.read(job)
            if latest is not None and latest.is_final():
                often, pause = SOON, 0.05
                with contextlib.suppress(TableUnavailable):
                    store.saw_end(row.id)
        if now - asked >= often:
            asked = now
            with contextlib.suppress(TableUnavailable):  # the job goes on meanwhile
                row = store.get(row.id) or row
        if row.state in TERMINAL or row.is_dismissed or now > deadline or not listens():
            return row
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
