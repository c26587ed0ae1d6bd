"""What the answers of this face look like, for its OpenAPI document: in our own words, and stricter
than the standard's schemas, which the tests hold the answers against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pywps_hpc.ogc_json.status import STATUSES

#: What is not understood is refused: nobody has to guess that.
CLOSED = {"additionalProperties": False}


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
    one that may be given several times, a list of these.

    Args:
        told: what the description of the process tells of it.
    """
    schema = told["schema"]
    is_list = "items" in schema  # literal values, as many as that says
    values = list(_values(schema["items"] if is_list else schema))
    units = [value for more in _more(told) if more["name"] == "uom" for value in more["value"]]
    qualified = [_qualified(value, units) for value in values]
    is_box = "allOf" in schema  # which is given by value alone
    link = [] if is_box else [_link(schema)]
    most = schema.get("maxItems") if is_list else told["maxOccurs"]
    parts = [_list(_PLAIN) for value in values if "not" in value] if most == 1 else []
    one: dict[str, Any] = {"anyOf": [*values, *parts[:1], *qualified, *link]}
    if most != 1:
        least = schema.get("minItems", told["minOccurs"]) if is_list else told["minOccurs"]
        several = _list(one) | ({"minItems": least} if least else {})
        several |= {"maxItems": most} if isinstance(most, int) else {}
        one = {"anyOf": [*([one] if least < 2 else []), several]}
    return one | {"title": told["title"]}


def _values(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The forms of a single value. Two formats that are text are told apart by their names alone,
    so that no text would be of exactly one."""
    for branch in schema.get("oneOf", [schema]):
        if "allOf" in branch:  # a box
            [box] = branch["allOf"]
            yield box | CLOSED
        elif branch.get("type") == "object":  # JSON as it is: what is no qualified value or link
            yield branch | _PLAIN
        else:
            yield branch


def output(told: dict[str, Any]) -> dict[str, Any]:
    """The schema of an output in a request: in one of its formats, by value or by reference."""
    kinds = _kinds(told["schema"]) or ["text/plain", "application/json"]
    wanted = _object(mediaType=_TEXT | {"enum": kinds}) | CLOSED
    modes = {"type": "string", "enum": ["value", "reference"], "default": "value"}
    return _object(format=wanted, transmissionMode=modes) | CLOSED


def _link(schema: dict[str, Any]) -> dict[str, Any]:
    """A value by reference (link.yaml)."""
    kind = _TEXT | {"enum": _kinds(schema) or ["text/plain"]}
    return _object("href", href=_URI, type=kind, rel=_TEXT, hreflang=_TEXT, title=_TEXT) | CLOSED


def _kinds(schema: dict[str, Any]) -> list[str]:
    branches = schema.get("oneOf", [schema])
    kinds = [branch["contentMediaType"] for branch in branches if "contentMediaType" in branch]
    return list(dict.fromkeys(kinds))


def _more(told: dict[str, Any]) -> list[dict[str, Any]]:
    return list(told.get("additionalParameters", {}).get("parameters", []))


def _qualified(value: dict[str, Any], units: list[str]) -> dict[str, Any]:
    """A value with its format (qualifiedInputValue.yaml) or its unit."""
    plain = {key: value[key] for key in value if key != "not"}
    found: dict[str, Any] = {"value": plain} | ({"uom": _TEXT | {"enum": units}} if units else {})
    if kind := value.get("contentMediaType"):
        if plain.pop("type") == "object":  # any JSON that has parts, or its text
            plain["anyOf"] = [{"type": "object"}, _list({}), _TEXT]
        else:
            plain["type"] = "string"
        found["mediaType"] = _TEXT | {"enum": [kind]}
        if "contentEncoding" in value:
            found["encoding"] = _TEXT | {"enum": ["base64"]}
        if "contentSchema" in value:
            found["schema"] = _TEXT | {"enum": [value["contentSchema"]]}
    return _object("value", **found) | CLOSED


#: What is no qualified value and no link.
_PLAIN: dict[str, Any] = {
    "not": {"anyOf": [{"type": "object", "required": [name]} for name in ("value", "href")]}
}
_TEXT: dict[str, Any] = {"type": "string"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_URI: dict[str, Any] = {"type": "string", "format": "uri"}
_WEB: dict[str, Any] = _URI | {"pattern": "^https?://"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}
_LINKS = _list(ref("link"))
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
    "link": _object("href", href=_URI, rel=_TEXT, type=_TEXT, hreflang=_TEXT, title=_TEXT) | CLOSED,
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
    "subscriber": _object("successUri", successUri=_WEB, inProgressUri=_WEB, failedUri=_WEB)
    | CLOSED,
}
