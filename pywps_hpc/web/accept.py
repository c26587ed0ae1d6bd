"""Accept a job: spool the dump, record it, and only then answer."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urljoin

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
from joblauncher.shared.files import amount, write_new
from joblauncher.shared.response import JobResponse
from pywps_hpc import jobs
from pywps_hpc.jobs import Job, LimitReached, State, TableUnavailable, job_name, results
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.jobs.drain import Drained
from pywps_hpc.metrics import meters
from pywps_hpc.settings import needs
from pywps_hpc.settings.owners import Owner
from pywps_hpc.spool import JobDir
from pywps_hpc.web import (
    admission,
    health,
    input_references,
    owners,
    packing,
    principal,
    requested,
    sent_inputs,
)
from pywps_hpc.web.context import Context
from pywps_hpc.web.requests import guard, outputs
from pywps_hpc.web.requests import inputs as request_inputs
from pywps_hpc.web.requests import limits as request_limits

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Needed:
    """What a job needs, and who pays.

    Attributes:
        owner: what holds for its owner.
        resources, input_size: as in :class:`~pywps_hpc.jobs.job.Job`.
    """

    owner: Owner = Owner()
    resources: str = ""
    input_size: int = 0


#: As the settings say, without inputs.
_USUAL = Needed()


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
    service: Context,
    process: Any,
    wps_request: Any,
    job_id: str,
    form: results.Form | None = None,
    urls: Mapping[Event, str] | None = None,
    retry_of: str = "",
) -> tuple[Job, JobDir, JobResponse]:
    """Spool and record one job.

    After a kill at any point before the row, nothing but a folder without a row is left, which the
    dispatcher removes; after it, the job will be run.

    Args:
        process: the copy of the process that is made for this job.
        wps_request: the request, of which PyWPS has not yet read the inputs.
        job_id: of the job.
        form: how its results are wanted, if somebody will ask for them later.
        urls: the addresses that are told of it, by the event.
        retry_of: the id of the job that it repeats.

    Returns:
        The recorded job, its folder, and the answer *accepted*.

    Raises:
        NoApplicableCode: the request or the process is not as it has to be, or asks for more
            than is permitted.
        FileSizeExceeded: its dump is too large.
        Busy: a limit was reached meanwhile.
        Exception: whatever stopped it; nothing of the job is left unless its row is there.
    """
    job = replace(service.spool.open(job_id), access=jobs.new_id())
    sent = sent_inputs.serialised(wps_request.inputs)
    asked = requested.take(service.settings, process, wps_request)
    size = input_references.size_of(wps_request.inputs, service.settings)
    owner = owners.of(
        service.settings, principal.of(service.settings, wps_request.http_request).name
    )
    own = requested.of_job(service.settings, process.identifier, asked, owner, size)
    begun = time.monotonic()
    try:
        service.spool.create(job_id)
        failpoint.reach("accept.1")
        if form is not None:
            results.keep(job, form)
        filled = _fill_in(service, process, wps_request, job)
        sent_inputs.keep(job, sent)
        needed = Needed(owner, needs.written(own), size)
        row, answer = record(service, job, process, filled, urls, retry_of, needed)
    except BaseException:
        if not _is_recorded(service, job_id):
            _discard(service, job)
        raise
    meters.observe(meters.ACCEPT, time.monotonic() - begun)
    return row, job, answer


def _fill_in(service: Context, process: Any, wps_request: Any, job: JobDir) -> Any:
    """The request with the inputs that PyWPS checks and fills in; it then calls
    ``process.execute``, which is ours."""
    process.set_workdir(str(job.prepared))
    process.execute = lambda filled, _uuid: filled
    process.setup_outputs_from_wps_request = partial(outputs.choose, process)
    with guard.reading():
        request_inputs.check_inputs(process, wps_request)
        filled = service._parse_and_execute(process, wps_request, job.job_id)
    del process.execute, process.setup_outputs_from_wps_request
    return filled


def _is_recorded(service: Context, job_id: str) -> bool:
    """Whether a job that could not be answered will be run all the same."""
    try:
        return service.store.get(job_id) is not None
    except TableUnavailable:
        # The client is told that it was not accepted. Should the table have its row after all,
        # the dispatcher will find no folder and end it.
        return False


def _discard(service: Context, job: JobDir) -> None:
    """Leave nothing of a job that was not accepted."""
    try:
        service.spool.remove(job.job_id)
    except OSError as error:  # the dispatcher's sweep comes by later
        LOGGER.warning("%s: its folder cannot be removed: %s", job.job_id, error.strerror)


def record(
    service: Context,
    job: JobDir,
    process: Any,
    wps_request: Any,
    urls: Mapping[Event, str] | None = None,
    retry_of: str = "",
    needed: Needed = _USUAL,
) -> tuple[Job, JobResponse]:
    """Write a job's dump and first documents, then its row.

    Args:
        job: its folder, and what stands for it in its addresses.
        process, wps_request: as in :func:`accept`, the inputs having been read.
        urls, retry_of: as in :func:`accept`.
        needed: what it needs beyond what the settings say.

    Raises:
        NoApplicableCode, FileSizeExceeded, Busy: as in :func:`accept`.
    """
    settings, store = service.settings, service.store
    status_url = urljoin(service.addresses.status, job.access)
    process._set_uuid(job.access)  # PyWPS makes the addresses of outputs of it
    response = JobResponse(wps_request, job.access, process=process, status_url=status_url)
    asynchronous = is_asynchronous(process, wps_request)
    response.store_status_file = wps_request.store_execute == "true"
    response._update_status(WPS_STATUS.ACCEPTED, "PyWPS Request accepted", 0)
    bounds = input_references.bounds(settings)
    staging = settings.inputs.fetch == "server" and input_references.plan(job, wps_request, bounds)
    dump = _dump(service, job, process, wps_request, sync=not asynchronous, status_url=status_url)
    write_new(job.dump, dump, mode=0o400)  # on disk before the row, and the row before the answer
    failpoint.reach("accept.2")
    # The row says all that these two do: after a power failure, they are made anew.
    write_new(job.status, response.render(), durable=False)
    failpoint.reach("accept.3")
    report = outcome.Report(job.job_id, process.identifier, message=response.message)
    write_new(job.report, report.content(), durable=False)
    failpoint.reach("accept.4")
    client = admission.client_of(settings, wps_request.http_request)
    accepted = Job(
        id=job.job_id,
        name=job_name(settings.job_prefix, job.job_id),
        process=process.identifier,
        digest=payload.digest(dump),
        owner=principal.of(settings, wps_request.http_request).name,
        client=client,
        sync=not asynchronous,
        state=State.STAGING if staging else State.ACCEPTED,
        access=job.access,
        retry_of=retry_of,
        resources=needed.resources,
        input_size=needed.input_size,
    )
    try:
        limits = admission.limits(settings, process.identifier, client, needed.owner)
        row = store.add(accepted, limits, urls, True)
    except Drained as error:  # meanwhile
        raise health.drained(settings, error.drain) from None
    except LimitReached as error:
        raise admission.busy(settings, error.limit) from None
    failpoint.reach("accept.5")
    LOGGER.info("%s: accepted, process %s, job name %s", row.id, row.process, row.name)
    return row, response


def _dump(
    service: Context, job: JobDir, process: Any, wps_request: Any, *, sync: bool, status_url: str
) -> bytes:
    """What goes to the node, within the bounds of its size.

    Raises:
        NoApplicableCode: it cannot be serialised.
        FileSizeExceeded: it is too large.
    """
    settings = service.settings
    kept, values = _keep_values(job)
    try:
        dump = packing.pack(
            job.job_id,
            process,
            wps_request,
            settings,
            sync=sync,
            status_url=status_url,
            bounds=input_references.bounds(settings),
            prepared=prepared.record(job),
            values=values,
        )
    except payload.PayloadError as error:
        LOGGER.exception("%s: its process cannot be serialised", job.job_id)
        raise NoApplicableCode(
            "The process cannot be serialised for the batch system.", code=500
        ) from error
    if settings.max_dump_size and len(dump) + kept > settings.max_dump_size:
        raise FileSizeExceeded(
            f"The process with its inputs takes {amount(len(dump) + kept)}, more than the "
            f"{amount(settings.max_dump_size)} allowed."
        )
    return dump


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
