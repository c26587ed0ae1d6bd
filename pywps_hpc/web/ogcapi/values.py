"""Inputs of an execute request (OGC 18-062r2, clause 7.11.2), as PyWPS's dictionaries: from there
on they pass the same checks as those of WPS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pywps.inout.basic import BasicBoundingBox, BasicComplex, BasicLiteral

from joblauncher.inputs.policy import Refused
from pywps_hpc import crs as reference_systems
from pywps_hpc.kinds import is_json, is_text
from pywps_hpc.ogc_json.values import CRS84, CRS84H, TYPES
from pywps_hpc.settings import Settings
from pywps_hpc.web import input_references
from pywps_hpc.web.ogcapi.problems import Problem, invalid
from pywps_hpc.web.ogcapi.schemas import most_of
from pywps_hpc.web.requests import boxes, limits
from pywps_hpc.web.requests.formats import format_of, media_type
from pywps_hpc.web.requests.inputs import Fetched

#: Members of a link (link.yaml), of a qualified value (qualifiedInputValue.yaml), of a box.
_LINK = ("href", "rel", "type", "hreflang", "title", "format")
_QUALIFIED = ("value", "mediaType", "encoding", "schema", "format", "uom")
_FORMAT = ("mediaType", "encoding", "schema")
_BOX = ("bbox", "crs")
#: The reference systems that differ from these two by the order of axes alone, and that PyWPS knows
#: with the one that these have.
_SAME = {("OGC", "CRS84"): ("EPSG", "4326"), ("OGC", "CRS84H"): ("EPSG", "4979")}

#: What JSON has for each type of literal, besides its text.
_JSON_TYPES = {"boolean": (bool,), "integer": (int, float), "number": (int, float), "string": ()}

Given = dict[str, Any]


def read(process: Any, inputs: Mapping[str, Any], settings: Settings) -> dict[str, list[Given]]:
    """The inputs of a request, by identifier.

    Args:
        settings: tell which references of literal values will be fetched; those of complex data are
            looked at when the job is accepted.

    Raises:
        Problem: one is not of the form of the standard, or the process does not have it.
        InvalidParameterValue: a box has no two corners, a format is not supported.
    """
    known = {item.identifier: item for item in process.inputs}
    found = {}
    for name, value in inputs.items():
        if name not in known:
            raise invalid(f"Process '{process.identifier}' has no input '{name}'.")
        item = known[name]
        given = [_one(item, one, settings) for one in _occurrences(item, value)]
        if given:  # an empty list is no value
            found[name] = given
    return found


def _occurrences(item: Any, value: Any) -> Sequence[Any]:
    """The values of an input: those of a list, unless the list is itself a value in JSON."""
    if not isinstance(value, list):
        return [value]
    is_single = isinstance(item, BasicComplex) and most_of(item) == 1
    if is_single and not all(
        isinstance(one, dict) and {"href", "value"} & set(one) for one in value
    ):
        return [value]
    return value


def _one(item: Any, value: Any, settings: Settings) -> Given:
    name = item.identifier
    if isinstance(value, dict) and "href" in value:
        link = _link(item, value)
        return _fetched(item, link, settings) if isinstance(item, BasicLiteral) else link
    given: Given = {}
    if isinstance(value, dict) and "value" in value:
        _only(name, value, _QUALIFIED)
        given, value = _format(name, value), value["value"]
    if isinstance(item, BasicComplex):
        return _document(item, value, given)
    given = {key: text for key, text in given.items() if key == "uom" or text}
    kind = media_type(given.pop("mimeType", ""))
    if kind and kind[0] not in ("text/plain", "application/json", "application/ogc-bbox+json"):
        raise invalid(f"input {name}: the media type {kind[0]} is not supported.")
    if any(given.get(key) for key in ("encoding", "schema")):
        raise invalid(f"input {name}: it has neither an encoding nor a schema.")
    if isinstance(item, BasicBoundingBox):
        return _box(item, value)
    if isinstance(value, dict | list) or value is None:
        raise invalid(f"input {name}: its value is no literal.")
    wanted = TYPES.get(item.data_type, {}).get("type", "string")
    if not isinstance(value, (str, *_JSON_TYPES[wanted])) or (
        isinstance(value, bool) and wanted != "boolean"
    ):
        raise invalid(f"input {name}: its value is a {wanted}.")
    return {"kind": "literal", "data": value, "uom": given.get("uom", "")}


def _link(item: Any, value: Mapping[str, Any]) -> Given:
    """A value by reference (link.yaml)."""
    name = item.identifier
    _only(name, value, _LINK)
    told, texts = _format(name, value), {key: value[key] for key in value if key != "format"}
    if not all(isinstance(text, str) for text in texts.values()):
        raise invalid(f"input {name}: the members of a link are text.")
    href, kind = texts["href"], texts.get("type") or told["mimeType"]
    if not href.strip():
        raise invalid(f"input {name}: the href of its link is empty.")
    return {
        "kind": "reference",
        "identifier": name,
        "href": href,
        "mimeType": kind,
        "encoding": told["encoding"],
        "schema": told["schema"],
        "method": "GET",
    }


def _fetched(item: Any, link: Given, settings: Settings) -> Given:
    """A literal value that is the text of a file."""
    kind = (media_type(link["mimeType"]) or ("",))[0]
    if kind not in ("", "text/plain") or link["encoding"] or link["schema"]:
        raise invalid(f"input {item.identifier}: a literal value by reference is text/plain.")
    try:
        reference = input_references.of_literal(link, settings)
    except Refused as error:
        raise invalid(f"input {item.identifier}: {error}") from None
    fetched = Fetched(reference, is_xml=False)
    return {"identifier": item.identifier, "kind": "literal", "fetched": fetched}


def _document(item: Any, value: Any, given: Given) -> Given:
    """Complex data by value: text as it is, bytes in base64, and JSON."""
    name = item.identifier
    if given.get("uom"):
        raise invalid(f"input {name}: complex data has no uom.")
    told = {key: given.get(key, "") for key in ("mimeType", "encoding", "schema")}
    if not isinstance(value, str):
        if not isinstance(value, dict | list):
            raise invalid(f"input {name}: its value is a string, an object or a list.")
        if not told["mimeType"]:
            told["mimeType"] = _json_type(item)
        elif not is_json(told["mimeType"]):
            raise invalid(f"input {name}: a value of {told['mimeType']} is a string.")
        if _has_large_text(value):
            raise invalid(f"input {name}: give JSON as large as this as a string, or by reference.")
        value = json.dumps(value, ensure_ascii=False)
    else:
        wanted = {key: text for key, text in told.items() if key != "encoding"}
        found = format_of(item, wanted)
        is_bytes = not is_text(found.mime_type) or str(found.encoding or "").lower() == "base64"
        if is_bytes and not told["encoding"]:
            told["encoding"] = "base64"  # JSON has no other way for bytes (binaryInputValue.yaml)
    return {"kind": "complex", "identifier": name, "data": value, **told}


def _json_type(item: Any) -> str:
    for known in item.supported_formats:
        if is_json(known.mime_type):
            return str(known.mime_type)
    raise invalid(f"input {item.identifier}: it takes no JSON; its value is a string.")


def _has_large_text(value: Any) -> bool:
    """Whether a text in here was taken out of the request, to be put back as a whole value only."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            rest += [*one, *one.values()]
        elif isinstance(one, list):
            rest += one
        elif limits.taken_out(one):
            return True
    return False


def _box(item: Any, value: Any) -> Given:
    """A bounding box (bbox.yaml), its coordinates in the order of its reference system's axes."""
    name = item.identifier
    if not isinstance(value, dict) or not isinstance(value.get("bbox"), list):
        raise invalid(f'input {name}: a bounding box is an object with "bbox", a list of numbers.')
    _only(name, value, _BOX)
    crs, numbers = value.get("crs", ""), value["bbox"]
    if not isinstance(crs, str):
        raise invalid(f"input {name}: the crs of a bounding box is text.")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        raise invalid(f"input {name}: a coordinate of the box is no number.")
    half = len(numbers) // 2
    texts = [repr(number) for number in numbers]
    crs = crs or (CRS84 if half == 2 else CRS84H)
    box = boxes.of_corners(name, texts[:half], texts[half:], crs, None)
    box["crs"] = _named(item, crs, box["crs"])
    return {"kind": "bbox", "identifier": name, **box}


def _named(item: Any, asked: str, normal: str) -> str:
    """A reference system as the process knows it."""
    known = {reference_systems.key(str(name)): str(name) for name in item.crss}
    wanted = reference_systems.key(asked)
    if wanted is None or wanted in known or wanted not in _SAME:
        return normal
    return known.get(_SAME[wanted], normal)


def _format(name: str, value: Mapping[str, Any]) -> Given:
    """The format that a value names; the drafts of the standard had it in a member of its own."""
    inner = value.get("format", {})
    if not isinstance(inner, dict):
        raise invalid(f"input {name}: its format is an object.")
    _only(name, inner, _FORMAT)
    told = {**inner, **{key: value[key] for key in (*_FORMAT, "uom") if key in value}}
    for key, text in told.items():
        if not isinstance(text, str):
            raise invalid(f"input {name}: {key} is text.")
    return {
        "mimeType": told.get("mediaType", ""),
        "encoding": told.get("encoding", ""),
        "schema": told.get("schema", ""),
        "uom": told.get("uom", ""),
    }


def _only(name: str, value: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in value:
        if key not in known:
            raise _unknown(name, key, known)


def _unknown(name: str, key: str, known: Sequence[str]) -> Problem:
    return invalid(f"input {name}: '{key}' is not known here; known are {', '.join(known)}.")
