"""The face of WPS 1.0.0 (OGC 05-007r7): its URLs, its operations, and its status documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from pywps import configuration
from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response

from joblauncher.shared import storage
from pywps_hpc import jobs
from pywps_hpc.jobs.retention import expires
from pywps_hpc.web import accept, control, execution, health, lookup, requested
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy, NotFound
from pywps_hpc.web.requests import guard, limits
from pywps_hpc.web.wps1 import descriptions, ended, status, sync

_ENDED = ended.Documents()


def rules(addresses: Addresses) -> Iterator[Rule]:
    """The URLs of status documents; there is nothing below one."""
    yield Rule("/status/<job:access>", endpoint=show_status, methods=["GET"])
    yield Rule("/status/<job:access>/<rest:name>", endpoint=show_status, methods=["GET"])


def show_status(service: Context, request: Request, access: str, name: str = "") -> Response:
    """A job's status document.

    Raises:
        NotFound: there is no such job, or not for this client.
        Busy: the storage is in trouble.
    """
    row, job = lookup.find(service, request, access)
    if not os.path.lexists(job.status):
        health.require_spool(service)
    if name:
        raise NotFound("There is no such job.")
    known_about = about(service, row)
    key = ended.key_of(row, job, known_about)
    known = None if key is None else _ENDED.get(key)
    if known is None:
        try:
            view = lookup.view_of(service, row, job)
            document = status.status_document(view, job, known_about)
        except OSError as error:
            message = f"The job cannot be shown now: {storage.trouble(error)}."
            raise Busy(message, service.settings.retry_after, "storage") from None
        if key is None:
            return status.status_response(document, view.expires)
        known = _ENDED.put(key, document)
    end = expires(row, service.settings.retention)
    return status.ended_response(known, request, end)


def operate(service: Context, request: Request) -> Any:
    """Carry out the operation that a request names, which has been taken in.

    Raises:
        NoApplicableCode: it is not one of WPS 1.0.0, or cannot be carried out.
    """
    wps_request = guard.read(request, service.preprocessors)
    job_id = jobs.new_id()
    if wps_request.operation == "getcapabilities":
        return get_capabilities(service, wps_request, job_id)
    if wps_request.operation == "describeprocess":
        return describe(service, wps_request, job_id, wps_request.identifiers)
    return execute(service, wps_request.identifier, wps_request, job_id)


def get_capabilities(service: Context, wps_request: Any, uuid: str) -> Any:
    """The answer to GetCapabilities."""
    return descriptions.Capabilities(
        wps_request, uuid, wps_request.version, processes=service.processes
    )


def describe(service: Context, wps_request: Any, uuid: str, identifiers: Any) -> Any:
    """The answer to DescribeProcess."""
    return descriptions.Descriptions(
        wps_request,
        uuid,
        processes=requested.all_described(service.settings, service.processes),
        identifiers=identifiers,
    )


def execute(service: Context, identifier: str, wps_request: Any, uuid: str) -> Any:
    """Accept a job; wait for it only if the client does.

    Raises:
        NoApplicableCode: it is not accepted; nothing of it is left.
    """
    process = service.prepare_process_for_execution(identifier)
    execution.admit(service, wps_request)
    waits = not accept.is_asynchronous(process, wps_request)
    with service.waiters.place(waits) as place:
        if waits and wps_request.raw and not place:  # nothing but the output is an answer
            raise Busy(
                "Too many clients are waiting for a result now.", service.settings.retry_after
            )
        row, job, answer = accept.accept(service, process, wps_request, uuid)
        if not row.sync:
            return answer
        limits.end_turn()
        known = about(service, row)
        if not place:
            message = "Too many clients are waiting for a result now."
            view = lookup.view_of(service, row, job)
            return sync.goes_on(view, job, wps_request, known, message)
        row = control.await_end(service, wps_request.http_request, row)
        view, timeout = lookup.view_of(service, row, job), service.settings.sync_timeout
        return sync.sync_response(view, job, wps_request, known, timeout)


def about(service: Context, row: jobs.Job) -> status.About:
    """What a document made from a job's row alone says besides."""
    process = service.processes.get(row.process)
    url = str(configuration.get_config_value("server", "url"))
    title = str(process.title) if process else ""
    return status.About(title, url, urljoin(service.addresses.status, row.access))
