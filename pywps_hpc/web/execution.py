"""What Execute is to every face but for its form: the request as a process knows it, and whether
a job is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pywps.app.WPSRequest import WPSRequest
from werkzeug.wrappers import Request

from pywps_hpc.web import admission, health
from pywps_hpc.web.context import Context
from pywps_hpc.web.requests import guard

#: The version whose inputs and outputs PyWPS's objects have: to a process there is no other.
VERSION = "1.0.0"


def request_of(
    service: Context,
    request: Request,
    identifier: str,
    inputs: Mapping[str, list[dict[str, Any]]],
    outputs: Mapping[str, dict[str, str]],
    *,
    language: str | None,
    is_asynchronous: bool = True,
) -> WPSRequest:
    """The request of a face other than that of WPS 1.0.0 as PyWPS and its processes know it.

    Args:
        request: as it came over HTTP.
        identifier: of the process.
        inputs, outputs: by identifier, in PyWPS's dictionaries.
        language: that the client wants; None if it does not say.
        is_asynchronous: whether no client waits on its connection.

    Raises:
        NoApplicableCode: the language is not supported.
    """
    found = WPSRequest(None, service.preprocessors)
    found.http_request = request
    found.operation, found.identifier = "execute", identifier
    found.set_version(VERSION)
    found.check_and_set_language(language)
    found.inputs, found.outputs = dict(inputs), dict(outputs)
    found.output_ids, found.raw, found.lineage = found.outputs, False, "false"
    found.store_execute = found.status = str(is_asynchronous).lower()
    return found


def admit(service: Context, wps_request: WPSRequest) -> None:
    """Turn a job away before anything of it exists.

    Raises:
        InvalidParameterValue: it has too many inputs.
        Busy: there is no storage or no dispatcher for it, or a limit is reached.
    """
    settings = service.settings
    guard.check_inputs(wps_request, settings.inputs.max_inputs)
    health.require_spool(service)
    admission.admit(settings, service.store, wps_request.identifier, wps_request.http_request)


def process_for(service: Context, identifier: str) -> Any:
    """The copy of a process that is made for one job, whose documents are kept: whether a process
    offers that is told and asked for in WPS 1.0.0 alone."""
    process = service.prepare_process_for_execution(identifier)
    process.store_supported = process.status_supported = "true"
    return process
