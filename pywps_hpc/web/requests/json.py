"""Execute requests in PyWPS's own dialect of JSON, which its parser reads.

It leaves out what it does not know, so that is looked for here, before it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pywps.exceptions import InvalidParameterValue

from pywps_hpc.web.requests.content import PLAIN, decode

_REQUEST = ("identifier", "operation", "version", "language", "inputs", "outputs", "raw")
#: What PyWPS's parser adds.
_ADDED = ("api", "default_mimetype")
#: Members of an input, by its type.
_INPUTS: Mapping[str, tuple[str, ...]] = {
    "literal": ("data", "uom", "datatype"),
    "complex": ("data", "mimeType", "encoding", "schema", "method"),
    "reference": ("href", "mimeType", "method", "header", "body", "bodyreference"),
    "bbox": ("bbox", "crs", "dimensions"),
}
_OUTPUT = ("mimeType", "encoding", "schema", "uom", "asReference")


def check(document: Mapping[str, Any]) -> None:
    """Make sure that nothing of a request would be left out.

    Raises:
        InvalidParameterValue: something would.
    """
    if str(document.get("operation") or "execute").lower() != "execute":
        return
    _known("The request", document, (*_REQUEST, *_ADDED))
    for name, given in _members(document, "inputs"):
        for value in given if isinstance(given, list | tuple) else [given]:
            if isinstance(value, dict):
                kind = value.get("type", "literal")
                if not isinstance(kind, str) or kind not in _INPUTS:
                    raise InvalidParameterValue(
                        f"input {name}: its type is one of {', '.join(_INPUTS)}.", name
                    )
                _known(f"input {name}", value, ("identifier", "type", *_INPUTS[kind]))
    for name, asked in _members(document, "outputs"):
        if isinstance(asked, list) and len(asked) > 1:
            raise InvalidParameterValue(f"The output {name} is asked for twice.", name)
        for value in asked if isinstance(asked, list) else [asked]:
            _known(f"output {name}", value, ("identifier", *_OUTPUT))


def content(data: Any, encoding: str | None = None) -> Any:
    """Complex data, out of its encoding.

    Raises:
        InvalidParameterValue: it is not of that encoding.
    """
    if (encoding or "") in PLAIN or not isinstance(data, str):
        return data
    return decode(data, "DataInputs")


def _members(document: Mapping[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    found = document.get(key)
    return found.items() if isinstance(found, dict) else ()


def _known(what: str, members: Any, known: tuple[str, ...]) -> None:
    for key in members if isinstance(members, dict) else ():
        if key not in known:
            raise InvalidParameterValue(
                f"{what}: '{key}' is not supported; supported are: {', '.join(known)}.", str(key)
            )
