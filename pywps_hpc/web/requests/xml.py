"""WPS 1.0.0 requests in XML (OGC 05-007r7, clauses 8.2.2, 9.2.2 and 10.2.1).

Comments and processing instructions are no content. An element, attribute or text that has no
place in the schema is refused.
"""

from __future__ import annotations

from typing import Any

from lxml import etree
from pywps.exceptions import InvalidParameterValue, MissingParameterValue

from pywps_hpc.web.requests import values
from pywps_hpc.web.requests.content import Content, collapse, output
from pywps_hpc.web.requests.elements import (
    ANY,
    FORMAT,
    MAYBE,
    ONE,
    SOME,
    Children,
    attributes,
    children,
    name_of,
    text,
)

WPS = "http://www.opengis.net/wps/1.0.0"
OWS = "http://www.opengis.net/ows/1.1"
#: Namespaces of later versions, and of the later OWS Common that they use.
LATER = ("http://www.opengis.net/wps/2.0", "http://www.opengis.net/wps/2.0.0")
_LATER_OWS = "http://www.opengis.net/ows/2.0"
_FLAGS = ("lineage", "storeExecuteResponse", "status")
_DESCRIBED = {f"{{{OWS}}}Identifier": ONE, f"{{{OWS}}}Title": MAYBE, f"{{{OWS}}}Abstract": MAYBE}


def accepted_versions(root: etree._Element) -> list[str]:
    """Versions in order of preference (OGC 06-121r3, clause 7.3.2); none: any.

    Sections and formats may be asked for by a client of any OWS; the whole document in XML is the
    answer where these are not supported (clause 7.2.1). A client that speaks several versions may
    write its request in the namespace of any.
    """
    names = ("AcceptVersions", "Sections", "AcceptFormats", "AcceptLanguages")
    spaces = (WPS, OWS, LATER[0], _LATER_OWS)
    known = {f"{{{space}}}{name}": MAYBE for space in spaces for name in names}
    version = {f"{{{space}}}Version": ANY for space in (OWS, _LATER_OWS)}
    found = [
        collapse(text(told))
        for element in children(root, known)["AcceptVersions"]
        for told in children(element, version)["Version"]
    ]
    return found or ([""] if root.find("{*}AcceptVersions") is not None else [])


def identifiers(root: etree._Element) -> list[str]:
    """The processes that a DescribeProcess names."""
    found = children(root, {f"{{{OWS}}}Identifier": SOME})["Identifier"]
    return [collapse(text(element)) for element in found]


def execute(root: etree._Element) -> Content:
    """Read an Execute element.

    Raises:
        InvalidParameterValue, MissingParameterValue: it is not of the schema's form.
    """
    parts = children(
        root,
        {
            f"{{{OWS}}}Identifier": ONE,
            f"{{{WPS}}}DataInputs": MAYBE,
            f"{{{WPS}}}ResponseForm": MAYBE,
        },
    )
    inputs: dict[str, list[dict[str, Any]]] = {}
    for holder in parts["DataInputs"]:
        attributes(holder)
        for element in children(holder, {f"{{{WPS}}}Input": ANY})["Input"]:
            given = _input(element)
            inputs.setdefault(given["identifier"], []).append(given)
    content = Content(_identifier(parts), inputs)
    return _response_form(content, parts["ResponseForm"][0]) if parts["ResponseForm"] else content


def _identifier(parts: Children) -> str:
    attributes(parts["Identifier"][0], "codeSpace")
    found = collapse(text(parts["Identifier"][0]))
    if not found:
        raise MissingParameterValue("An Identifier is empty.", "Identifier")
    return found


def _only(element: etree._Element, *names: str) -> etree._Element:
    """The one child of an element that holds one of these."""
    parts = children(element, {f"{{{WPS}}}{name}": MAYBE for name in names})
    return _choice(element, [child for found in parts.values() for child in found], names)


def _choice(
    element: etree._Element, found: list[etree._Element], names: tuple[str, ...]
) -> etree._Element:
    wanted = " or ".join((", ".join(names[:-1]), names[-1]))
    if not found:
        raise MissingParameterValue(f"{name_of(element)} has no {wanted}.", names[0])
    if len(found) > 1:
        raise InvalidParameterValue(f"{name_of(element)} has more than {wanted}.", names[0])
    return found[0]


def _input(element: etree._Element) -> dict[str, Any]:
    attributes(element)
    parts = children(element, {**_DESCRIBED, f"{{{WPS}}}Data": MAYBE, f"{{{WPS}}}Reference": MAYBE})
    name = _identifier(parts)
    form = _choice(element, parts["Data"] + parts["Reference"], ("Data", "Reference"))
    if name_of(form) == "Reference":
        return {"identifier": name, "kind": "reference", **_reference(form)}
    attributes(form)
    value = _only(form, "LiteralData", "ComplexData", "BoundingBoxData")
    match name_of(value):
        case "LiteralData":
            return {"identifier": name, **values.literal(value)}
        case "ComplexData":
            given = attributes(value, *FORMAT)
            data = values.document(value)
            return {"identifier": name, "kind": "complex", "data": data, **given}
    return {"identifier": name, **values.box(name, value, OWS)}


def _reference(element: etree._Element) -> dict[str, Any]:
    given: dict[str, Any] = attributes(element, "method", *FORMAT, link=True)
    if not given.get("href"):
        raise MissingParameterValue("A Reference has no xlink:href.", "href")
    given.setdefault("method", "GET")
    parts = children(
        element,
        {
            f"{{{WPS}}}Header": ANY,
            f"{{{WPS}}}Body": MAYBE,
            f"{{{WPS}}}BodyReference": MAYBE,
        },
    )
    given |= values.body(parts)
    for header in parts["Header"]:
        pair = attributes(header, "key", "value")
        given.setdefault("header", []).append((pair.get("key", ""), pair.get("value", "")))
    return given


def _response_form(content: Content, element: etree._Element) -> Content:
    attributes(element)
    form = _only(element, "ResponseDocument", "RawDataOutput")
    if name_of(form) == "RawDataOutput":
        asked = attributes(form, "uom", *FORMAT)
        name = _identifier(children(form, _DESCRIBED))
        wanted = {name: output(name, asked, raw=True)}
        return Content(content.identifier, content.inputs, wanted, raw=True)
    flags = attributes(form, *_FLAGS)
    outputs: dict[str, dict[str, str]] = {}
    for element in children(form, {f"{{{WPS}}}Output": ANY})["Output"]:
        asked = attributes(element, "uom", "asReference", *FORMAT)
        name = _identifier(children(element, _DESCRIBED))
        if name in outputs:
            raise InvalidParameterValue(f"The output {name} is asked for twice.", name)
        outputs[name] = output(name, asked, raw=False)
    return Content(
        content.identifier,
        content.inputs,
        outputs,
        store=flags.get("storeExecuteResponse", "false"),
        status=flags.get("status", "false"),
        lineage=flags.get("lineage", "false"),
    )
