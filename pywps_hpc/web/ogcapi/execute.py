"""Execute a process (OGC 18-062r2, clause 7.11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pywps.app.WPSRequest import WPSRequest
from pywps.inout.basic import BasicBoundingBox, BasicComplex
from werkzeug.wrappers import Request, Response

from joblauncher.inputs.policy import Refused
from pywps_hpc import callbacks, jobs
from pywps_hpc.jobs import Job
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.jobs.job import TERMINAL
from pywps_hpc.jobs.results import Asked, Form
from pywps_hpc.ogc_json import status
from pywps_hpc.spool import JobDir
from pywps_hpc.web import accept, control, execution, lookup, waiting
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import (
    execute_document,
    preferences,
    processes,
    results,
    values,
)
from pywps_hpc.web.ogcapi.answers import answer
from pywps_hpc.web.ogcapi.preferences import Preferences
from pywps_hpc.web.ogcapi.problems import Problem, invalid
from pywps_hpc.web.requests import limits
from pywps_hpc.web.requests.content import output

#: The members of a subscriber, and what each is told.
_EVENTS = {
    "successUri": Event.SUCCESS,
    "inProgressUri": Event.IN_PROGRESS,
    "failedUri": Event.FAILED,
}


def execute(service: Context, request: Request, process: str) -> Response:
    """Accept a job; wait for its end as long as the client and the settings want.

    Raises:
        Problem, NoApplicableCode: it is not accepted; nothing of it is left.
    """
    described = processes.find(service, process)
    offered, wished = processes.modes(service.settings, process), preferences.of(request)
    # Without a word of the client a process that offers both is executed synchronously
    # (requirements 25 and 26).
    is_sync = "sync" in offered and not ("async" in offered and wished.is_async)
    wait = wished.wait or 0 if not is_sync and wished.is_async else None
    with limits.turn(request, service.settings.retry_after):
        asked = execute_document.read(request, process)
        urls = _urls(service, asked.subscriber)
        form = _filled(described, asked.form)
        wps_request = _wps_request(service, request, described, asked, form)
        execution.admit(service, wps_request)
        prepared = execution.process_for(service, process)
        with service.waiters.place(is_sync or bool(wait)) as place:
            if is_sync and not place and "async" not in offered:
                raise Problem(503, "Too many clients wait for a result now. Please try later.")
            row, job, _ = accept.accept(service, prepared, wps_request, jobs.new_id(), form, urls)
            limits.end_turn()
            if place and is_sync:
                row = control.await_end(service, request, row)
            elif place and wait:
                most = min(wait, service.settings.sync_timeout)
                listens = waiting.listens(request.environ)
                row = waiting.wait(service.store, job, row, most, listens)
    return _answer(service, request, row, job, form, wished, is_sync)


def _answer(
    service: Context,
    request: Request,
    row: Job,
    job: JobDir,
    form: Form,
    wished: Preferences,
    is_sync: bool,
) -> Response:
    """The results if the job has ended while its client waited, or else where it is."""
    view = lookup.view_of(service, row, job)
    if row.state in TERMINAL or view.is_over:
        response = results.respond(service, request, view, job, form)
        if not is_sync and wished.wait is not None:
            response.headers["Preference-Applied"] = f"wait={wished.wait}"
        return response
    headers = {"Location": status.url_of(service.addresses.root, view)}
    if wished.is_async and not is_sync:
        headers["Preference-Applied"] = "respond-async"
    return answer(status.info(service.addresses.root, view), 201, headers)


def _urls(service: Context, subscriber: Mapping[str, str]) -> dict[Event, str]:
    """The addresses that are told of the job, by the event.

    Raises:
        Problem: one may not be told, or none is.
    """
    if subscriber and not service.settings.callbacks.hosts:
        raise Problem(501, "subscriber: this service does not call back.")
    for name, url in subscriber.items():
        try:
            callbacks.check(url, service.settings)
        except Refused as error:
            raise invalid(f"subscriber: {name}: {error}.") from None
    return {_EVENTS[name]: url for name, url in subscriber.items()}


def _filled(process: Any, form: Form) -> Form:
    """The form with each output that is wanted, and its type: without any, all are (clause
    7.11.2.3)."""
    types = {item.identifier: str(getattr(item, "data_type", "") or "") for item in process.outputs}
    wanted = form.outputs or tuple(Asked(identifier, "value") for identifier in types)
    typed = (replace(one, data_type=types.get(one.identifier, "")) for one in wanted)
    return replace(form, outputs=tuple(typed))


def _wps_request(
    service: Context,
    request: Request,
    process: Any,
    asked: execute_document.Execute,
    form: Form,
) -> WPSRequest:
    """The request as PyWPS and its processes know it."""
    inputs = values.read(process, asked.inputs, service.settings)
    outputs = {one.identifier: _output(process, one) for one in form.outputs}
    language = processes.language_of(request)
    return execution.request_of(
        service, request, process.identifier, inputs, outputs, language=language
    )


def _output(process: Any, asked: Asked) -> dict[str, Any]:
    """An output, kept as a file unless its value is a small one: a report holds no large ones."""
    item = next((one for one in process.outputs if one.identifier == asked.identifier), None)
    is_small = not isinstance(item, BasicComplex) and (
        isinstance(item, BasicBoundingBox) or getattr(item, "data_type", "string") != "string"
    )
    by_reference = asked.transmission == "reference" or not is_small
    told = {"mimeType": asked.mime_type, "encoding": asked.encoding, "schema": asked.schema}
    return output(asked.identifier, {**told, "asReference": str(by_reference).lower()}, raw=False)
