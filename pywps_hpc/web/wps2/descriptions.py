"""Capabilities and process descriptions of WPS 2.0 (OGC 14-065, clauses 9.3 and 9.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pywps import configuration
from pywps.app.WPSRequest import WPSRequest
from pywps.response.capabilities import CapabilitiesResponse
from werkzeug.wrappers import Request, Response

from pywps_hpc.web import described, requested
from pywps_hpc.web.context import Context
from pywps_hpc.web.wps2 import offers
from pywps_hpc.web.wps2.exceptions import Refused
from pywps_hpc.web.wps2.reading import ALL, EXTENSION, OPERATIONS

#: Operations with documents alone; all others are answered to a query, too.
_POST_ONLY = ("Execute",)


def capabilities(service: Context, request: Request, language: str) -> Response:
    """The answer to GetCapabilities."""
    asked = WPSRequest(None, service.preprocessors)
    asked.http_request, asked.language = request, language
    facts = CapabilitiesResponse(asked, None, "1.0.0", processes=service.processes).json
    facts["processes"] = [_facts(service, service.processes[name]) for name in service.processes]
    facts["operations"] = [(name, name not in _POST_ONLY) for name in (*OPERATIONS, *EXTENSION)]
    return _rendered("capabilities", facts)


def offerings(
    service: Context, request: Request, identifiers: Sequence[str], language: str
) -> Response:
    """The answer to DescribeProcess.

    Raises:
        Refused: there is no such process.
    """
    for name in identifiers:
        if name not in service.processes and name != ALL:
            raise Refused("NoSuchProcess", f"There is no process '{name}'.", name)
    names = service.processes if ALL in identifiers else dict.fromkeys(identifiers)
    megabytes = configuration.get_size_mb(
        configuration.get_config_value("server", "maxsingleinputsize")
    )
    facts = {
        "processes": [_facts(service, service.processes[name]) for name in names],
        "language": language,
        "max_size": int(megabytes),
    }
    return _rendered("describe", facts)


def _facts(service: Context, process: Any) -> dict[str, Any]:
    process = requested.described(service.settings, process)
    facts = described.with_defaults(process, process.json)
    return facts | {
        "job_control": offers.job_control(service.settings, process.identifier),
        "transmission": offers.transmission(process),
        "version_told": _version(str(process.version)),
    }


def _version(told: str) -> str:
    """The version of a process as three numbers (OWS Common, ``ows:VersionType``); empty if it is
    no such version."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]{1,2}){0,2}", told):
        return ""
    return told + ".0" * (2 - told.count("."))


def _rendered(name: str, facts: dict[str, Any]) -> Response:
    template = described.environment().get_template(f"2.0.0/{name}/main.xml")
    return Response(template.render(**facts), mimetype="text/xml")
