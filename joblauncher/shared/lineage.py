"""What a document with lineage tells of a request (OGC 05-007r7, clause 10.3.1): every input as it
was given, and every output as it was asked for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from lxml import etree
from pywps.inout.basic import BasicBoundingBox, BasicComplex

from joblauncher.shared.literal_text import text
from joblauncher.shared.xml_text import escaped

#: What PyWPS's descriptions of an output hold that a definition needs.
_DEFINITION = ("identifier", "title", "abstract", "translations")


def inputs(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The inputs of a request, each time that one was given, as the template takes them."""
    return [_input(item) for items in given.values() for item in items]


def outputs(process: Any) -> list[dict[str, Any]]:
    """The outputs of a process, without their values."""
    found = []
    for item in process.outputs:
        facts = {key: getattr(item, key, None) for key in _DEFINITION}
        facts["asreference"] = item.as_reference
        if isinstance(item, BasicComplex):
            facts |= _format(item)
        found.append(facts)
    return found


def _input(item: Any) -> dict[str, Any]:
    facts = {key: getattr(item, key, None) for key in _DEFINITION}
    if isinstance(item, BasicBoundingBox):
        corners = list((item.inpt or {}).get("corners") or item.data or [])
        half = len(corners) // 2
        box = {"crs": item.crs, "dimensions": item.dimensions}
        return facts | {"type": "bbox", "ll": corners[:half], "ur": corners[half:]} | box
    if not isinstance(item, BasicComplex):
        unit = {"uom": item.uom.json} if hasattr(item.uom, "json") else {}
        return facts | {"type": "literal", "data": text(item.data)} | unit
    facts |= _format(item)
    href = (item.inpt or {}).get("href") or (item.url if item.prop == "url" else "")
    if href:
        method = str(item.inpt.get("method") or "GET").upper()
        return facts | {"type": "reference", "href": str(href).strip(), "method": method}
    return facts | {"type": "complex"} | _content(item)


def _format(item: Any) -> dict[str, Any]:
    known = item.data_format
    if known is None:
        return {}
    return {"mimetype": known.mime_type, "encoding": known.encoding, "schema": known.schema}


def _content(item: Any) -> dict[str, Any]:
    """Complex data as text that may stand in a document: XML as such, all else escaped."""
    try:
        content = item.data
    except (OSError, ValueError):  # a file that is gone, or that is no text
        content = None
    if isinstance(content, bytes):
        return {"data": base64.b64encode(content).decode(), "encoding": "base64"}
    content = "" if content is None else str(content)
    if "xml" in str(item.data_format.mime_type if item.data_format else ""):
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        try:
            root = etree.fromstring(content.encode(), parser)
        except etree.XMLSyntaxError:
            return {"data": escaped(content)}
        if root.getroottree().docinfo.internalDTD is None:
            return {"data": str(etree.tostring(root, encoding=str))}
    return {"data": escaped(content)}
