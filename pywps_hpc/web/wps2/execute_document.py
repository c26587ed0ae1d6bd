"""An Execute request of WPS 2.0 (OGC 14-065, clause 9.6; ``wpsExecute.xsd``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree
from pywps.exceptions import InvalidParameterValue, MissingParameterValue

from pywps_hpc.jobs.results import Asked
from pywps_hpc.web.requests import limits, values
from pywps_hpc.web.requests.content import collapse
from pywps_hpc.web.requests.elements import (
    ANY,
    FORMAT,
    MAYBE,
    ONE,
    attributes,
    children,
    name_of,
    own_text,
    text,
)
from pywps_hpc.web.wps2.exceptions import OWS, Refused

WPS = "http://www.opengis.net/wps/2.0"
MODES, RESPONSES, TRANSMISSIONS = (
    ("sync", "async", "auto"),
    ("document", "raw"),
    ("value", "reference"),
)


@dataclass(frozen=True)
class Execute:
    """What an Execute request says.

    Attributes:
        identifier: of the process.
        mode: of :data:`MODES`.
        raw: whether the one output is wanted as it is.
        inputs: by identifier, in PyWPS's dictionaries; ``kind`` is ``literal``, ``complex``,
            ``bbox`` or ``reference``, and absent where the request does not tell.
        outputs: that are asked for.
    """

    identifier: str
    mode: str
    raw: bool
    inputs: dict[str, list[dict[str, Any]]]
    outputs: tuple[Asked, ...]


def read(root: etree._Element, given: Mapping[str, str]) -> Execute:
    """Read an Execute element.

    Args:
        given: its attributes.

    Raises:
        NoApplicableCode: it is not of the schema's form.
    """
    mode = _one_of(given, "mode", MODES)
    raw = _one_of(given, "response", RESPONSES) == "raw"
    parts = children(
        root,
        {f"{{{OWS}}}Identifier": ONE, f"{{{WPS}}}Input": ANY, f"{{{WPS}}}Output": ANY},
    )
    attributes(parts["Identifier"][0])
    identifier = collapse(text(parts["Identifier"][0]))
    if not identifier:
        raise MissingParameterValue("The Identifier is empty.", "Identifier")
    inputs: dict[str, list[dict[str, Any]]] = {}
    for element in parts["Input"]:
        value = _input(element)
        inputs.setdefault(value["identifier"], []).append(value)
    outputs = tuple(map(_output, parts["Output"]))
    if not outputs:
        raise MissingParameterValue("No output is asked for.", "Output")
    names = [output.identifier for output in outputs]
    for name in names:
        if names.count(name) > 1:
            raise Refused("TooManyOutputs", f"The output {name} is asked for twice.", name)
    if raw and len(outputs) > 1:
        raise Refused("TooManyOutputs", "Raw data can be had of exactly one output.", names[1])
    return Execute(identifier, mode, raw, inputs, outputs)


def _one_of(given: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = given.get(name)
    if value is None:
        raise MissingParameterValue(f"The attribute {name} is missing.", name)
    if value not in allowed:
        raise InvalidParameterValue(f"{name} is one of {', '.join(allowed)}.", name)
    return value


def _id_of(element: etree._Element, given: Mapping[str, str]) -> str:
    if not given.get("id"):
        raise MissingParameterValue(f"An {name_of(element)} has no id.", "id")
    return given["id"]


def _output(element: etree._Element) -> Asked:
    given = attributes(element, "id", "transmission", *FORMAT)
    name = _id_of(element, given)
    for _ in children(element, {f"{{{WPS}}}Output": ANY})["Output"]:
        raise Refused("NoSuchOutput", f"The output {name} has no outputs of its own.", name)
    transmission = given.get("transmission")
    if transmission is not None and transmission not in TRANSMISSIONS:
        raise InvalidParameterValue(
            f"transmission is one of {', '.join(TRANSMISSIONS)}.", "transmission"
        )
    return Asked(
        name,
        transmission or "",
        given.get("mimeType", ""),
        given.get("encoding", ""),
        given.get("schema", ""),
    )


def _input(element: etree._Element) -> dict[str, Any]:
    name = _id_of(element, attributes(element, "id"))
    parts = children(element, {f"{{{WPS}}}{form}": ANY for form in ("Data", "Reference", "Input")})
    if parts["Input"]:
        raise Refused("NoSuchInput", f"The input {name} has no inputs of its own.", name)
    forms = parts["Data"] + parts["Reference"]
    if not forms:
        raise MissingParameterValue(f"The input {name} has neither Data nor a Reference.", name)
    if len(forms) > 1:
        raise InvalidParameterValue(f"The input {name} has more than one value.", name)
    if parts["Reference"]:
        return {"identifier": name, "kind": "reference", **_reference(forms[0])}
    return {"identifier": name, **_data(name, forms[0])}


def _data(name: str, element: etree._Element) -> dict[str, Any]:
    given: dict[str, Any] = dict(attributes(element, *FORMAT))
    inside = list(element.iterchildren(etree.Element))
    if len(inside) != 1 or own_text(element).strip():
        return given | {"data": values.document(element)} | ({"kind": "complex"} if inside else {})
    [value] = inside
    if value.tag == f"{{{WPS}}}LiteralValue":
        return given | values.literal(value)
    if value.tag == f"{{{WPS}}}ComplexData":
        # No element of a request in the standard, but of its own test suite.
        return (
            given | attributes(value, *FORMAT) | {"kind": "complex", "data": values.document(value)}
        )
    if value.tag == f"{{{OWS}}}BoundingBox":
        return given | values.box(name, value, OWS)
    if limits.taken_out(value.text):  # an element of the same name in another namespace
        raise InvalidParameterValue(f"input {name}: its value is too large in this form.", name)
    return given | {"kind": "complex", "data": values.document(element)}


def _reference(element: etree._Element) -> dict[str, Any]:
    given: dict[str, Any] = dict(attributes(element, *FORMAT, link=True))
    if not given.get("href"):
        raise MissingParameterValue("A Reference has no xlink:href.", "href")
    parts = children(element, {f"{{{WPS}}}Body": MAYBE, f"{{{WPS}}}BodyReference": MAYBE})
    body = values.body(parts)
    return given | body | {"method": "POST" if body else "GET"}
