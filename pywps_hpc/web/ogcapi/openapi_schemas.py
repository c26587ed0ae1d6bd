"""What the answers of this face look like, for its OpenAPI document: in our own words, and stricter
than the standard's schemas, which the tests hold the answers against."""

from __future__ import annotations

from typing import Any

from pywps_hpc.web.ogcapi.status import STATUSES


def ref(name: str) -> dict[str, str]:
    """A schema of this document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return found | ({"required": list(required)} if required else {})


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def input_value(told: dict[str, Any]) -> dict[str, Any]:
    """The schema of an input in a request: its value, with its format or without, or a link; and of
    one that may be given several times, a list of these."""
    single = told["schema"]
    one: dict[str, Any] = {
        "anyOf": [single, ref("link"), ref("qualifiedValue")],
        "title": told["title"],
    }
    if told["maxOccurs"] == 1:
        return one
    return {"anyOf": [one, _list(one)], "title": told["title"]}


_TEXT: dict[str, Any] = {"type": "string"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_URI: dict[str, Any] = {"type": "string", "format": "uri"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}
_LINKS = _list(ref("link"))
_FORMAT = {"mediaType": _TEXT, "encoding": _TEXT, "schema": _TEXT}
_SUMMARY: dict[str, Any] = {
    "id": _TEXT,
    "version": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "jobControlOptions": _list(
        {"type": "string", "enum": ["sync-execute", "async-execute", "dismiss"]}
    ),
    "outputTransmission": _list({"type": "string", "enum": ["value", "reference"]}),
    "links": _LINKS,
}
_ANYTHING = {"type": "object", "additionalProperties": {"type": "object"}}

SCHEMAS: dict[str, Any] = {
    "link": _object("href", href=_TEXT, rel=_TEXT, type=_TEXT, hreflang=_TEXT, title=_TEXT),
    "landingPage": _object("links", title=_TEXT, description=_TEXT, links=_LINKS),
    "confClasses": _object("conformsTo", conformsTo=_list(_TEXT)),
    "exception": _object(
        *("type", "title", "status", "detail"),
        type=_TEXT,
        title=_TEXT,
        status=_WHOLE,
        detail=_TEXT,
    ),
    "processSummary": _object("id", "version", **_SUMMARY),
    "process": _object("id", "version", **_SUMMARY, inputs=_ANYTHING, outputs=_ANYTHING),
    "processList": _object(
        "processes", "links", processes=_list(ref("processSummary")), links=_LINKS
    ),
    "statusInfo": _object(
        *("jobID", "id", "type", "status"),
        jobID=_TEXT,
        id=_TEXT,
        type={"type": "string", "enum": ["process"]},
        processingEntityType={"type": "string", "enum": ["process"]},
        processID=_TEXT,
        status={"type": "string", "enum": list(STATUSES)},
        message=_TEXT,
        progress=_WHOLE | {"minimum": 0, "maximum": 100},
        **dict.fromkeys(("created", "started", "finished", "updated", "expires"), _TIME),
        links=_LINKS,
    ),
    "jobList": _object("jobs", "links", jobs=_list(ref("statusInfo")), links=_LINKS),
    "usage": _object(
        **dict.fromkeys(("cpuSeconds", "peakMemoryMiB", "elapsedSeconds"), _NUMBER),
        **dict.fromkeys(("attempts", "exitCode", "signal"), _WHOLE),
    ),
    "qualifiedValue": _object("value", value={}, uom=_TEXT, **_FORMAT),
    "output": _object(
        format=_object(**_FORMAT),
        transmissionMode={"type": "string", "enum": ["value", "reference"], "default": "value"},
    ),
    "subscriber": _object(
        "successUri",
        successUri=_URI,
        inProgressUri=_URI,
        failedUri=_URI,
    ),
}
