"""Elements of a request in XML, which hold what the schema has and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree
from pywps.exceptions import InvalidParameterValue, MissingParameterValue

from pywps_hpc.web.requests.content import collapse

XLINK = "http://www.w3.org/1999/xlink"
XML = "http://www.w3.org/XML/1998/namespace"
#: Attributes that say nothing about the request, in any namespace but none: clients are known to
#: misspell that of XML Schema's instances.
_INSTANCE = ("schemaLocation", "noNamespaceSchemaLocation", "type")
#: How often a child may be there: least and greatest number.
ONE, MAYBE, ANY, SOME = (1, 1), (0, 1), (0, None), (1, None)
#: Attributes that tell a format.
FORMAT = ("mimeType", "encoding", "schema")
_LINK = ("type", "role", "arcrole", "title", "show", "actuate")

Children = dict[str, list[etree._Element]]


def children(element: etree._Element, allowed: Mapping[str, tuple[int, int | None]]) -> Children:
    """The children of an element that holds nothing else, by local name.

    Args:
        allowed: qualified names, each with the least and greatest number.

    Raises:
        InvalidParameterValue: there is something else, or too many of one.
        MissingParameterValue: there are too few of one.
    """
    found: Children = {etree.QName(name).localname: [] for name in allowed}
    if own_text(element).strip():
        raise InvalidParameterValue(
            f"{name_of(element)} has text where none is allowed.", name_of(element)
        )
    for child in element.iterchildren(etree.Element):
        if child.tag not in allowed:
            raise InvalidParameterValue(
                f"{name_of(child)} is not allowed in {name_of(element)}.", name_of(child)
            )
        found[name_of(child)].append(child)
    for qualified, (least, most) in allowed.items():
        name = str(etree.QName(qualified).localname)
        number = len(found[name])
        if number < least:
            raise MissingParameterValue(f"{name_of(element)} has no {name}.", name)
        if most is not None and number > most:
            raise InvalidParameterValue(f"{name_of(element)} has more than one {name}.", name)
    return found


def attributes(element: etree._Element, *allowed: str, link: bool = False) -> dict[str, str]:
    """The attributes of an element, white space collapsed; all are of such types.

    Args:
        link: whether ``xlink:href`` may be there; the result has it as ``href``.

    Raises:
        InvalidParameterValue: there are others.
    """
    found = {}
    for key, value in element.attrib.items():
        name = etree.QName(str(key))
        if name.namespace is None and name.localname in allowed:
            found[str(name.localname)] = collapse(str(value))
        elif link and name.namespace == XLINK and name.localname == "href":
            found["href"] = collapse(str(value))
        elif not _says_nothing(name):
            hint = " (it is xlink:href)" if link and name.localname == "href" else ""
            raise InvalidParameterValue(
                f"The attribute {name.localname} is not allowed in {name_of(element)}{hint}.",
                str(name.localname),
            )
    return found


def text(element: etree._Element) -> str:
    """The text of an element without children; comments are no part of it.

    Raises:
        InvalidParameterValue: it has children.
    """
    for child in element.iterchildren(etree.Element):
        raise InvalidParameterValue(
            f"{name_of(element)} holds text, not {name_of(child)}.", name_of(child)
        )
    return own_text(element)


def own_text(element: etree._Element) -> str:
    """The text of an element itself, without its children's."""
    return (element.text or "") + "".join(child.tail or "" for child in element)


def name_of(element: etree._Element) -> str:
    """The local name of an element."""
    return str(etree.QName(element).localname)


def _says_nothing(name: etree.QName) -> bool:
    if name.namespace == XLINK:
        return name.localname in _LINK
    return name.namespace == XML or (name.namespace is not None and name.localname in _INSTANCE)
