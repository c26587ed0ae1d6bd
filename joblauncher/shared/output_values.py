"""Values of outputs: which of them nobody can be given, and how they are written in a document."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree
from pywps.app.exceptions import ProcessError
from pywps.inout.array_encode import ArrayEncoder
from pywps.inout.basic import BasicBoundingBox, BasicComplex, NoneIOHandler

from joblauncher.shared.literal_text import text, text_of_pywps
from joblauncher.shared.status_xml import writable
from joblauncher.shared.xml_text import escaped

#: Formats that PyWPS parses before it inserts them (pywps/inout/outputs.py, _json_data).
XML = ("application/xml", "application/gml+xml", "text/xml")
_CDATA = re.compile(r"\A<!\[CDATA\[(.*)\]\]>\Z", re.DOTALL)


def settle(output: Any) -> None:
    """Take a file of this host that an output names by a URL for what it is: no client could follow
    that URL."""
    if getattr(output, "prop", None) != "url":
        return
    with contextlib.suppress(ValueError):  # it is none, which is for its reader to find
        parts = urlsplit(str(output.url))
        if parts.scheme.lower() == "file":
            output.file = unquote(parts.path)


def fault(output: Any) -> str:
    """Why an output (:mod:`pywps.inout.outputs`) cannot be delivered; empty if it can."""
    name = output.identifier
    if isinstance(output, BasicBoundingBox):
        # A bounding box has its corners beside whatever else PyWPS knows of where data are.
        return _box_fault(name, output.data, int(output.dimensions or 2))
    if output.prop is None and getattr(output, "_data", None) is None:
        return f"output {name}: it was not set"
    if not isinstance(output, BasicComplex):
        return f"output {name}: it was not set" if output.data is None else ""
    if output.prop == "data" and not isinstance(output.data, str | bytes):
        try:
            json_text(output.data)
        except (TypeError, ValueError):
            return f"output {name}: its value is neither text nor bytes, nor can it be JSON"
    if output.prop != "file" or os.path.isfile(output.file):
        return ""
    # What was read from the file before it went is still there to be shown.
    is_read = not output.as_reference and getattr(output._iohandler, "_data", None) is not None
    return "" if is_read else f"output {name}: its file does not exist"


def empty(output: Any) -> None:
    """Take the value from an output that cannot be delivered: PyWPS shows those of a failure."""
    output._iohandler = NoneIOHandler(output)
    if isinstance(output, BasicBoundingBox):
        output.data = None


def _box_fault(name: str, numbers: list[float] | None, dimensions: int) -> str:
    if numbers is None:
        return f"output {name}: it was not set"
    if len(numbers) != 2 * dimensions:
        return f"output {name}: a box of {dimensions} dimensions has {2 * dimensions} coordinates"
    if not all(map(math.isfinite, numbers)):
        return f"output {name}: a coordinate of its box is not a number"
    return ""


def json_text(value: Any) -> str:
    """A value of complex data that is neither text nor bytes: what Python has for JSON.

    Raises:
        TypeError, ValueError: it cannot be written as JSON.
    """
    return json.dumps(value, cls=ArrayEncoder)


def xml_text(output: Any) -> str | None:
    """The document that a complex output in XML holds, in whichever encoding its file is; ``None``
    where it is of another format, or empty.

    A document type declaration cannot be inside another document: its entities are resolved.

    Raises:
        ProcessError: it is not well-formed.
    """
    is_xml = output.data_format is not None and output.data_format.mime_type in XML
    if not is_xml or output.prop in (None, "url") or not os.path.getsize(output.file):
        return None
    try:
        # One of our own: a process may have set another one for all.
        tree = etree.parse(output.file, etree.XMLParser(no_network=True))
    except (etree.XMLSyntaxError, OSError):
        raise ProcessError(f"output {output.identifier}: it is not well-formed XML") from None
    whole = tree.getroot() if tree.docinfo.internalDTD is not None else tree
    return str(etree.tostring(whole, pretty_print=True).decode())


def plain(facts: dict[str, Any]) -> dict[str, Any]:
    """What PyWPS tells of an output, with a value that JSON can hold and that means the same."""
    value = facts.get("data")
    if facts.get("type") == "literal" and not isinstance(value, bool | int | str | None):
        is_number = isinstance(value, float) and math.isfinite(value)
        return facts | {"data": value if is_number else text(value)}
    if facts.get("type") == "complex" and not isinstance(value, str | None):
        return facts | {"data": json_text(value)}
    if isinstance(value, str):
        return facts | {"data": _CDATA.sub(r"\1", value)}
    return facts


def literal(value: Any) -> str:
    """A literal value as the text of an element of WPS 1.0.0."""
    return _escaped(text_of_pywps(value))


def in_xml(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What PyWPS tells of an output, with complex data as the content of an element: data stays
    data, and comes out of a parser as it was."""
    if facts.get("type") != "complex" or facts.get("mimetype") in XML:
        return dict(facts)
    value = facts.get("data", "")
    content = value if isinstance(value, str) else json_text(value)
    section = _CDATA.match(content)
    content = section[1] if section else content
    if writable(content) != content:
        coded = base64.b64encode(content.encode(errors="surrogatepass")).decode()
        return {**facts, "encoding": "base64", "data": coded}
    if "]]>" in content or "\r" in content or (not section and re.search("[<&]", content)):
        return {**facts, "data": _escaped(content)}
    return {**facts, "data": section[0] if section else content}


def _escaped(content: str) -> str:
    """Text for an element, with the carriage returns that a parser would take for line ends (XML
    1.0, section 2.11)."""
    return escaped(content).replace("\r", "&#13;")
