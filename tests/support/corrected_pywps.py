"""PyWPS's documents with what WPS 1.0.0 has otherwise put right, to compare ours with them.

Each correction names what the standard or its schema has. All else is compared as it is: elements,
attributes and text, with white space wherever it is content.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from urllib.parse import urlunparse

from lxml import etree

from wps_client import OWS, WPS, normalise

XSI = "http://www.w3.org/2001/XMLSchema-instance"
_W, _O = f"{{{WPS}}}", f"{{{OWS}}}"
#: Attributes that are left out where there is nothing to say; and an empty statusLocation, which
#: would be the document's own address.
_EMPTY = ("encoding", "schema", "mimeType", "statusLocation")


def canonical(document: bytes, *, inputs: bool = True) -> str:
    """A document in canonical form (Canonical XML 2.0), without comments, indentation, and what
    must differ between two runs.

    Args:
        inputs: whether with those that a document with lineage tells of.
    """
    return _canonical(_parsed(document, inputs))


def corrected(document: bytes, *, inputs: bool = True) -> str:
    """The canonical form of a document of PyWPS's own, with its faults put right."""
    root = _parsed(document, inputs)
    for element in list(root.iter(etree.Element)):
        _correct(element)
    return _canonical(root)


def values(document: bytes) -> bytes:
    """A document of PyWPS's own with the faults of its values put right."""
    root = etree.fromstring(document)
    for element in root.iterfind(f"{_W}ProcessOutputs//{_W}Data/*"):
        _correct(element)
    return bytes(etree.tostring(root))


def _parsed(document: bytes, inputs: bool) -> etree._Element:
    root = etree.fromstring(normalise(document).encode())
    for element in [] if inputs else root.findall(f"{_W}DataInputs"):
        root.remove(element)
    return root


def _canonical(root: etree._Element) -> str:
    for element in root.iter(etree.Element):
        if len(element):
            if not (element.text or "").strip():
                element.text = None
            for child in element:
                if not (child.tail or "").strip():
                    child.tail = None
        if element.tag in (f"{_O}LowerCorner", f"{_O}UpperCorner"):  # a list: collapsed
            element.text = " ".join((element.text or "").split())
    root.attrib.pop(f"{{{XSI}}}schemaLocation", None)
    return str(etree.canonicalize(etree.tostring(root, encoding=str), with_comments=False))


def _correct(element: etree._Element) -> None:
    for name in _EMPTY:
        if element.get(name) == "":
            del element.attrib[name]
    if element.get("serviceInstance"):  # escaped twice
        element.set("serviceInstance", str(element.get("serviceInstance")).replace("&amp;", "&"))
    name = etree.QName(element).localname
    match name:
        case "ProcessAccepted":  # a plain string in wpsExecute_response.xsd
            element.attrib.pop("percentCompleted", None)
        case "ExceptionReport" if element.tag.startswith(_W):  # of OWS, with its version
            element.tag = f"{_O}ExceptionReport"
            element.set("version", "1.0.0")
            for exception in element:  # "None"
                exception.attrib.pop("locator", None)
        case "LiteralData" if _is_lineage(element):  # lexical forms of XML Schema
            said = element.text or ""
            if said in ("True", "False"):
                element.text = said.lower()
            element.text = re.sub(r"^(\d{4}-\d\d-\d\d) (?=\d\d:)", r"\1T", element.text or "")
        case "LiteralData" if (element.text or "").startswith("ParseResult("):  # an address
            parts = re.findall(r"=('(?:[^'\\]|\\.)*'|\"[^\"]*\")", str(element.text))
            element.text = urlunparse([ast.literal_eval(part) for part in parts])
        case "ComplexData" if element.get("mimeType") == "application/json":
            element.text = _json(element.text or "")
        case "OutputDefinitions":  # xs:boolean; and what is not said is said as its default
            for output in element:
                output.set("asReference", str(output.get("asReference", "false")).lower())
        case "ServiceTypeVersion" if element.text == "2.0.0":  # not served
            _remove(element)
        case "Keywords" if etree.QName(element.getparent()).localname == "Process":
            _remove(element)  # no part of wps:ProcessBriefType
        case "Encoding" | "Schema" if not element.text:  # of a format that has none
            _remove(element)
        case "LiteralData" if not _is_output(element):  # LiteralValuesChoice is required
            _give_values(element)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _is_output(element: etree._Element) -> bool:
    return element.tag.startswith(_W)


def _is_lineage(element: etree._Element) -> bool:
    return any(each.tag == f"{_W}DataInputs" for each in element.iterancestors())


def _json(content: str) -> str:
    """JSON as it is, and as JSON what is Python's repr of it."""
    with contextlib.suppress(ValueError):
        json.loads(content)
        return content
    with contextlib.suppress(ValueError, SyntaxError):
        if not isinstance(value := ast.literal_eval(content), str):
            return json.dumps(value)
    return content


def _give_values(element: etree._Element) -> None:
    known = ("AllowedValues", "AnyValue", "ValuesReference")
    if any(etree.QName(child).localname in known for child in element.iterchildren(etree.Element)):
        return
    default = element.find("DefaultValue")
    place = len(element) if default is None else element.index(default)
    element.insert(place, etree.Element(f"{_O}AnyValue"))
