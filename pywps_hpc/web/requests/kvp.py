"""WPS 1.0.0 requests as key-value pairs (OGC 05-007r7, clause 10.2.2; OGC 06-121r3, clause 11)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

from pywps.exceptions import InvalidParameterValue

from pywps_hpc.web.requests.content import Content, collapse, output

#: Parameters that are known, in lower case: names are compared without regard to case.
_KNOWN = (
    *("service", "request", "version", "acceptversions", "language", "identifier", "f"),
    *("datainputs", "responsedocument", "rawdataoutput"),
    *("storeexecuteresponse", "status", "lineage", "jobid"),
)
#: Those whose misspelling would change what is computed. Others may be there for a server in
#: front of this one, and are ignored.
_GUARDED = ("datainputs", "responsedocument", "rawdataoutput", "storeexecuteresponse", "lineage")
#: Attributes of an input, in lower case, and PyWPS's names for them.
_OF_INPUT = {
    "mimetype": "mimeType",
    "format": "mimeType",
    "encoding": "encoding",
    "schema": "schema",
    "uom": "uom",
    "datatype": "datatype",
    "href": "href",
    "xlink:href": "href",
    "method": "method",
    "body": "body",
    "bodyreference": "bodyreference",
}
#: Of an output.
_OF_OUTPUT = {
    "mimetype": "mimeType",
    "format": "mimeType",
    "encoding": "encoding",
    "schema": "schema",
    "uom": "uom",
    "asreference": "asReference",
}
#: Names of other versions of WPS for what this one names otherwise.
_FOREIGN = ("store", "mode", "response")
#: Most parameters of a query, and most entries or attributes of one.
_MOST, _MOST_PARTS = 100, 10_000
#: What separates values, and is percent-encoded within one (OGC 06-121r3, clause 11.3).
_SEPARATORS = "=;@"
#: Many clients have a list in brackets, as the examples of the standard have it.
_LIST = re.compile(r"(?s)(?i:\[|%5B)(.*)(?i:\]|%5D)")


@dataclass(frozen=True)
class Parameters:
    """A query.

    Attributes:
        raw: values as they were sent, by name in lower case.
    """

    raw: dict[str, str]

    def text(self, name: str, default: str = "") -> str:
        """A value without structure."""
        found = self.raw.get(name)
        return default if found is None else collapse(_plain(unquote_plus, found, name))


def parameters(query: str) -> Parameters:
    """Split a query string.

    Raises:
        InvalidParameterValue: a known parameter is given twice, or one looks like a known one.
    """
    if query.count("&") >= _MOST:
        raise InvalidParameterValue(f"A query has at most {_MOST} parameters.", "request")
    raw: dict[str, str] = {}
    for pair in query.encode("latin-1").decode("utf-8", "replace").split("&"):
        name, _, value = pair.partition("=")
        name = unquote_plus(name).strip().lower()
        if name in _KNOWN and raw.get(name, value) != value:
            raise InvalidParameterValue(f"The parameter {name} is given more than once.", name)
        raw[name] = value
    for name in [name for name in raw if name not in _KNOWN]:
        meant = difflib.get_close_matches(name, _GUARDED, 1, 0.85)
        if meant:
            raise InvalidParameterValue(
                f"The parameter {name} is not supported; did you mean {meant[0]}?", name
            )
    return Parameters(raw)


def execute(given: Parameters, identifier: str, output_id: str | None) -> Content:
    """Read the parameters of an Execute.

    Args:
        identifier: of the process.
        output_id: of the one output that is wanted as it is, from the path.

    Raises:
        InvalidParameterValue: one is not of the form that the standard gives it.
    """
    for name in _FOREIGN:
        if name in given.raw:
            raise InvalidParameterValue(f"The parameter {name} is not one of WPS 1.0.0.", name)
    inputs: dict[str, list[dict[str, Any]]] = {}
    for part in _parts(given.raw.get("datainputs", ""), "DataInputs"):
        entry = _entry(part, "DataInputs", _OF_INPUT)
        if "data" not in entry and "href" not in entry:
            raise InvalidParameterValue(
                f"The input {entry['identifier']} has no value; ';' within a value is written %3B.",
                "DataInputs",
            )
        if "href" in entry:
            if entry.pop("data", ""):
                raise InvalidParameterValue(
                    f"The input {entry['identifier']} has a value and a reference.", "DataInputs"
                )
            entry["kind"] = "reference"
        inputs.setdefault(entry["identifier"], []).append(entry)
    wanted = [name for name in ("ResponseDocument", "RawDataOutput") if given.raw.get(name.lower())]
    if len(wanted) > 1 or (wanted and output_id):
        raise InvalidParameterValue(
            "ResponseDocument and RawDataOutput exclude each other.", "ResponseDocument"
        )
    raw = wanted == ["RawDataOutput"] or bool(output_id)
    outputs: dict[str, dict[str, str]] = {}
    if output_id:
        outputs[output_id] = output(output_id, {}, raw=True)
    for part in _parts(given.raw.get(wanted[0].lower(), ""), wanted[0]) if wanted else ():
        entry = _entry(part, wanted[0], _OF_OUTPUT)
        name = entry.pop("identifier")
        if entry.pop("data", "") or (raw and "asReference" in entry) or name in outputs:
            raise InvalidParameterValue(
                f"{wanted[0]} names each output once; '{name}' has more than it can have.",
                wanted[0],
            )
        outputs[name] = output(name, entry, raw=raw)
    return Content(
        identifier,
        inputs,
        outputs,
        raw=raw,
        store=given.text("storeexecuteresponse", "false"),
        status=given.text("status", "false"),
        lineage=given.text("lineage", "false"),
    )


def _parts(raw: str, name: str) -> list[str]:
    """The entries of a list, still encoded.

    Separators are looked for before anything is decoded. A client that encoded the whole value,
    separators included, as URL libraries do, encoded once more what is within.
    """
    if not any(separator in raw for separator in _SEPARATORS):
        raw = _plain(unquote_plus, raw, name)
    else:
        raw = raw.replace("+", " ")
    if listed := _LIST.fullmatch(raw.strip()):
        raw = listed[1]
    if any(raw.count(separator) > _MOST_PARTS for separator in ";@"):
        raise InvalidParameterValue(f"{name} has more than {_MOST_PARTS} entries.", name)
    return [part for part in raw.split(";") if part.strip()]


def _entry(part: str, parameter: str, known: dict[str, str]) -> dict[str, Any]:
    head, *rest = part.split("@")
    name, equals, value = head.partition("=")
    entry: dict[str, Any] = {"identifier": collapse(_plain(unquote, name, parameter))}
    if not entry["identifier"]:
        raise InvalidParameterValue(f"{parameter} has an entry without a name.", parameter)
    if equals:
        entry["data"] = _plain(unquote, value, parameter)
    for attribute in rest:
        name, equals, value = attribute.partition("=")
        key = known.get(name.strip().lower())
        if key is None or not equals:
            raise InvalidParameterValue(
                f"{entry['identifier']}: '{name.strip()}' is not an attribute of {parameter}; "
                "'@' within a value is written %40.",
                parameter,
            )
        if key in entry:
            raise InvalidParameterValue(
                f"{entry['identifier']}: the attribute {key} is given twice.", parameter
            )
        entry[key] = collapse(_plain(unquote, value, parameter))
    return entry


def _plain(decode: Any, text: str, name: str) -> str:
    try:
        return str(decode(text, errors="strict"))
    except UnicodeDecodeError:
        raise InvalidParameterValue(f"{name} is not in UTF-8.", name) from None
