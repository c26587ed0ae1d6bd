"""The definition of this API (OpenAPI 3.0.3), made from the service itself: every process has its
own path, with the schemas of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pywps import configuration
from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs import listing
from pywps_hpc.ogc_json import status
from pywps_hpc.ogc_json.links import place
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import openapi_schemas, processes, query
from pywps_hpc.web.ogcapi.answers import answer
from pywps_hpc.web.ogcapi.landing import OPENAPI

_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "respond-async, wait=SECONDS (RFC 7240)",
    "schema": {"type": "string"},
}
_JOB = {
    "name": "jobID",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}


def show(service: Context, request: Request) -> Response:
    """The definition."""
    response = answer(definition(service, processes.language_of(request)))
    response.headers["Content-Type"] = OPENAPI
    return response


def definition(service: Context, language: str) -> dict[str, Any]:
    """The OpenAPI document."""
    title = str(configuration.get_config_value("metadata:main", "identification_title"))
    return {
        "openapi": "3.0.3",
        "info": {"title": title or "Processes", "version": "1.0"},
        "servers": [{"url": service.addresses.root.rstrip("/") or "/"}],
        "paths": dict(_paths(service, language)),
        "components": {"schemas": openapi_schemas.SCHEMAS},
    }


def _paths(service: Context, language: str) -> Iterator[tuple[str, Any]]:
    yield "/", _get("landingPage", "The landing page", "landingPage")
    yield "/conformance", _get("conformance", "What the service conforms to", "confClasses")
    yield "/api", _get("api", "This document", None)
    paging = [_limit(), _query("start", _whole(0))]
    yield "/processes", _get("processes", "The list of processes", "processList", paging)
    for process in service.processes.values():
        path = f"/{place('processes', process.identifier)}"
        name = process.identifier
        yield path, _get(f"describe.{name}", f"The description of {name}", "process")
        yield f"{path}/execution", {"post": _execution(service, process, language)}
    yield "/jobs", _get("jobs", "Your jobs, newest first", "jobList", _filters())
    yield from _job_paths()


def _job_paths() -> Iterator[tuple[str, Any]]:
    dismissal = _operation("dismiss", "Dismiss a job, or remove one that has ended", "statusInfo")
    one = _get("status", "The status of a job", "statusInfo", [_JOB])
    yield "/jobs/{jobID}", one | {"delete": dismissal | {"parameters": [_JOB]}}
    wanted = {"type": "string", "enum": ["paused", "running"]}
    body = {"type": "object", "required": ["status"], "properties": {"status": wanted}}
    pausing = _operation("control", "Pause a job, or let it go on", "statusInfo")
    pausing |= {"parameters": [_JOB], "requestBody": _json_body(body | _CLOSED)}
    yield "/jobs/{jobID}/status", {"put": pausing}
    results = _get("results", "The results of a job", None, [_JOB])
    yield "/jobs/{jobID}/results", results
    output = {"name": "outputID", "in": "path", "required": True, "schema": {"type": "string"}}
    yield "/jobs/{jobID}/results/{outputID}", _get("result", "One result", None, [_JOB, output])
    yield "/jobs/{jobID}/log", _get("log", "The log of a job", None, [_JOB])
    yield "/jobs/{jobID}/usage", _get("usage", "What a job used", "usage", [_JOB])


_CLOSED = openapi_schemas.CLOSED


def _execution(service: Context, process: Any, language: str) -> dict[str, Any]:
    """How one process is executed."""
    facts = processes.description(service, process, language)
    inputs = {name: openapi_schemas.input_value(told) for name, told in facts["inputs"].items()}
    outputs = {name: openapi_schemas.output(told) for name, told in facts["outputs"].items()}
    needed = [name for name, told in facts["inputs"].items() if told["minOccurs"]]
    required = {"required": needed} if needed else {}
    calls_back = bool(service.settings.callbacks.hosts)
    subscriber = {"subscriber": openapi_schemas.ref("subscriber")} if calls_back else {}
    body = {
        "type": "object",
        "properties": {
            "inputs": {"type": "object", "properties": inputs, **required, **_CLOSED},
            "outputs": {"type": "object", "properties": outputs, **_CLOSED},
            "response": {"type": "string", "enum": ["raw", "document"], "default": "raw"},
            **subscriber,
        },
        **_CLOSED,
        **({"required": ["inputs"]} if needed else {}),
    }
    found = _operation(f"execute.{process.identifier}", facts["title"], None)
    found |= {"parameters": [_PREFER], "requestBody": _json_body(body)}
    accepted = {"description": "The job is accepted", "content": _content("statusInfo")}
    headers = {"Location": {"schema": {"type": "string"}}}
    found["responses"]["201"] = accepted | {"headers": headers}
    found["responses"]["204"] = {"description": "The results are where the Link headers say"}
    return found


def _filters() -> list[dict[str, Any]]:
    texts: dict[str, Any] = {"type": "string"}
    return [
        _limit(),
        _query("type", {"type": "array", "items": texts | {"enum": ["process"]}}),
        _query("processID", {"type": "array", "items": texts}),
        _query("status", {"type": "array", "items": texts | {"enum": list(status.STATUSES)}}),
        _query("datetime", texts | {"pattern": query.DATETIME}),
        _query("minDuration", _whole(0)),
        _query("maxDuration", _whole(0)),
        _query("after", texts | {"pattern": listing.CURSOR}),
    ]


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _limit() -> dict[str, Any]:
    """No maximum: whoever asks for more than a page has is given a page (clause 7.9.3)."""
    about = f"Entries of a page; no page has more than {query.MOST}"
    return _query("limit", _whole(1) | {"default": query.USUAL}) | {"description": about}


def _whole(least: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least}


def _get(
    name: str, about: str, schema: str | None, parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {"get": _operation(name, about, schema) | {"parameters": parameters or []}}


def _operation(name: str, about: str, schema: str | None) -> dict[str, Any]:
    content = _content(schema) if schema else {"*/*": {"schema": {}}}
    problem = {"description": "What went wrong", "content": _content("exception")}
    return {
        "operationId": name,
        "summary": about,
        "responses": {"200": {"description": "Done", "content": content}, "default": problem},
    }


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": openapi_schemas.ref(schema)}}


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
