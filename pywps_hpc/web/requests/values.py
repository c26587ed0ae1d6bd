"""Values of inputs as WPS 1.0.0 and 2.0 both write them in XML, in PyWPS's dictionaries."""

from __future__ import annotations

from typing import Any

from lxml import etree
from pywps.exceptions import InvalidParameterValue

from joblauncher.inputs.large_values import element_value
from pywps_hpc.web.requests import boxes
from pywps_hpc.web.requests.content import collapse
from pywps_hpc.web.requests.elements import (
    ONE,
    Children,
    attributes,
    children,
    name_of,
    text,
)


def literal(element: etree._Element) -> dict[str, Any]:
    """A literal value with its unit and type.

    Raises:
        InvalidParameterValue: it is not of the schema's form.
    """
    given = attributes(element, "dataType", "uom")
    return {
        "kind": "literal",
        "data": text(element),
        "uom": given.get("uom", ""),
        "datatype": given.get("dataType", ""),
    }


def box(name: str, element: etree._Element, ows: str) -> dict[str, Any]:
    """A bounding box.

    Args:
        name: of the input.
        ows: the namespace of its corners.

    Raises:
        InvalidParameterValue, MissingParameterValue: it is not of the schema's form.
    """
    given = attributes(element, "crs", "dimensions")
    parts = children(element, {f"{{{ows}}}LowerCorner": ONE, f"{{{ows}}}UpperCorner": ONE})
    lower, upper = (
        collapse(text(parts[corner][0])).split() for corner in ("LowerCorner", "UpperCorner")
    )
    found = boxes.of_corners(name, lower, upper, given.get("crs"), given.get("dimensions"))
    return {"kind": "bbox", **found}


def document(element: etree._Element) -> str:
    """What complex data holds: one element as XML, or text.

    Raises:
        InvalidParameterValue: it holds something else.
    """
    try:
        return element_value(element)
    except ValueError as error:
        raise InvalidParameterValue(
            f"{name_of(element)} holds {error}.", name_of(element)
        ) from None


def body(parts: Children) -> dict[str, str]:
    """What a reference sends: a ``body``, or where it stands; nothing if it only asks.

    Args:
        parts: the children ``Body`` and ``BodyReference`` of the reference.

    Raises:
        InvalidParameterValue: there are several, or one is not of the schema's form.
    """
    inside, elsewhere = parts["Body"], parts["BodyReference"]
    if len(inside) + len(elsewhere) > 1:
        raise InvalidParameterValue("A Reference has more than one body.", "BodyReference")
    if inside:
        return {"body": document(inside[0])}
    if elsewhere:
        return {"bodyreference": attributes(elsewhere[0], link=True).get("href", "")}
    return {}
