"""The form of a process, made from its description: which fields it has, and what they allow."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pywps.inout.basic import BasicBoundingBox, BasicComplex
from pywps.inout.literaltypes import AllowedValue, ValuesReference
from pywps.validator.allowed_value import ALLOWEDVALUETYPE, RANGECLOSURETYPE

from pywps_hpc.kinds import is_text

#: Fields for values of one input that a form has at most.
MOST = 50
#: Characters of a text from which on it gets a field of several lines.
_LONG = 60
#: What a browser offers for a type; a field without scripts takes the forms of XML Schema.
_CONTROLS = {
    "integer": "number",
    "positiveInteger": "number",
    "nonNegativeInteger": "number",
    "float": "number",
    "scale": "number",
    "angle": "number",
    "date": "date",
    "anyURI": "url",
}
_WHOLE = ("integer", "positiveInteger", "nonNegativeInteger")
_LEAST = {"positiveInteger": 1, "nonNegativeInteger": 0}
_HINTS = {
    "integer": "A whole number.",
    "positiveInteger": "A whole number from 1 on.",
    "nonNegativeInteger": "A whole number from 0 on.",
    "float": "A number.",
    "scale": "A number.",
    "angle": "A number.",
    "date": "A day.",
    "time": "A time of day such as 14:30:00.",
    "dateTime": "A day and time such as 2024-02-29T14:30:00Z.",
    "anyURI": "An address (URI).",
}
#: Reference systems whose boxes can be drawn on the map.
_DEGREES = ("4326", "CRS84", "84")


@dataclass(frozen=True)
class Format:
    """A format of complex data, and whether it can be typed."""

    key: str
    label: str
    mime_type: str
    encoding: str
    schema: str
    is_text: bool


@dataclass(frozen=True)
class Field:
    """An input of a process.

    Attributes:
        kind: ``literal``, ``complex`` or ``bbox``.
        name: what the names of its fields begin with.
        is_required: whether one value at least has to be given.
        most: values at most.
        default: of its first value; empty if there is none.
        control: of a literal: ``select``, or the type of an HTML input.
        choices: of a select.
        low, high, step: of a number; empty if there is none.
        hints: what is allowed, in sentences.
        units, formats, systems: that may be chosen.
        corners: of a box: names of its coordinates.
        has_map: whether a box can be drawn on the map.
        count: how many values have fields.
    """

    kind: str
    name: str
    identifier: str
    title: str
    abstract: str
    is_required: bool
    most: int
    default: str = ""
    control: str = "text"
    choices: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    step: str = ""
    hints: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    formats: tuple[Format, ...] = ()
    systems: tuple[str, ...] = ()
    corners: tuple[tuple[str, str], ...] = ()
    has_map: bool = False
    count: int = 1

    @property
    def takes_text(self) -> bool:
        """Whether complex data can be typed."""
        return any(known.is_text for known in self.formats)

    def named(self, number: int, part: str) -> str:
        """The name of a field of the value of this number."""
        return f"{self.name}.{number}.{part}"


def fields_of(process: Any, counts: Mapping[str, int] | None = None) -> tuple[Field, ...]:
    """The fields of a process.

    Args:
        counts: of values, by identifier, where more than the least are to have fields.
    """
    return tuple(_field(item, (counts or {}).get(item.identifier, 1)) for item in process.inputs)


def _field(item: Any, wanted: int) -> Field:
    most = min(MOST, item.max_occurs if item.max_occurs else MOST)
    least = item.min_occurs or 0
    common: dict[str, Any] = {
        "name": f"in.{item.identifier}",
        "identifier": item.identifier,
        "title": item.title or item.identifier,
        "abstract": item.abstract or "",
        "is_required": least > 0,
        "most": most,
        "count": max(1, min(most, max(least, wanted))),
    }
    occurs = _occurs(least, most)
    if isinstance(item, BasicComplex):
        return Field("complex", formats=_formats(item), hints=occurs, **common)
    if isinstance(item, BasicBoundingBox):
        systems = tuple(map(str, item.crss or ()))
        return Field(
            "bbox",
            systems=systems,
            corners=_corners(int(item.dimensions or 2)),
            has_map=int(item.dimensions or 2) == 2 and _in_degrees(systems),
            hints=occurs,
            **common,
        )
    return _literal(item, occurs, common)


def _literal(item: Any, occurs: tuple[str, ...], common: dict[str, Any]) -> Field:
    kind, default = item.data_type, text_of(getattr(item, "_default", None))
    allowed = [one for one in item.allowed_values or () if isinstance(one, AllowedValue)]
    values = [one for one in allowed if one.allowed_type == ALLOWEDVALUETYPE.VALUE]
    ranges = [one for one in allowed if one.allowed_type != ALLOWEDVALUETYPE.VALUE]
    units = tuple(str(unit.uom) for unit in item.uoms or ())
    hints: list[str] = []
    more: dict[str, Any] = {}
    if kind == "boolean":
        more = {"control": "select", "choices": ("true", "false")}
    elif values and not ranges:
        more = {"control": "select", "choices": tuple(text_of(one.value) for one in values)}
    else:
        control = _CONTROLS.get(kind, "text")
        hints = [_HINTS[kind]] if kind in _HINTS and not ranges else []
        if control == "number":
            more["step"] = "1" if kind in _WHOLE else "any"
            if kind in _LEAST:
                more["low"] = str(_LEAST[kind])
            if len(ranges) == 1 and not values:
                more |= {"low": text_of(ranges[0].minval), "high": text_of(ranges[0].maxval)}
        if control == "text" and len(default) > _LONG:
            control = "textarea"
        more["control"] = control
    if ranges:
        shown = [*map(_range, ranges), *(text_of(one.value) for one in values)]
        hints.append(f"Allowed: {'; or '.join(shown)}.")
    listed = [one for one in item.allowed_values or () if isinstance(one, ValuesReference)]
    if item.values_reference is not None:
        listed.append(item.values_reference)
    if listed:
        hints.append(f"The values that are allowed are listed at {listed[0].reference} .")
    if default and more["control"] == "select":
        hints.append(f"Without a choice: {default}.")
    return Field("literal", default=default, units=units, hints=(*hints, *occurs), **more, **common)


def text_of(value: Any) -> str:
    """A value of a literal as a field holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _range(one: Any) -> str:
    closure = str(one.range_closure or RANGECLOSURETYPE.CLOSED).lower()
    opens = closure in (RANGECLOSURETYPE.OPEN, RANGECLOSURETYPE.OPENCLOSED)
    ends = closure in (RANGECLOSURETYPE.OPEN, RANGECLOSURETYPE.CLOSEDOPEN)
    low, high = text_of(one.minval), text_of(one.maxval)
    bounds = []
    if low:
        bounds.append(f"more than {low}" if opens else f"from {low}")
    if high:
        bounds.append(f"less than {high}" if ends else f"to {high}")
    if spacing := text_of(one.spacing):
        bounds.append(f"in steps of {spacing}")
    return " ".join(bounds)


def _occurs(least: int, most: int) -> tuple[str, ...]:
    if most == 1:
        return ()
    begin = f"At least {least} and at most" if least > 1 else "At most"
    return (f"{begin} {most} values.",)


def _formats(item: Any) -> tuple[Format, ...]:
    found = []
    for number, known in enumerate(item.supported_formats):
        mime, encoding = str(known.mime_type or ""), str(known.encoding or "")
        schema = str(known.schema or "")
        label = ", ".join(filter(None, (mime, encoding, schema)))
        found.append(Format(str(number), label, mime, encoding, schema, is_text(mime)))
    return tuple(found)


def _corners(dimensions: int) -> tuple[tuple[str, str], ...]:
    if dimensions == 2:
        return (("0", "West"), ("1", "South"), ("2", "East"), ("3", "North"))
    axes = ["x", "y", "z", *(f"axis {number}" for number in range(4, dimensions + 1))]
    names = [f"{end} {axis}" for end in ("Lowest", "Highest") for axis in axes[:dimensions]]
    return tuple((str(number), name) for number, name in enumerate(names))


def _in_degrees(systems: Sequence[str]) -> bool:
    return bool(systems) and systems[0].rpartition(":")[2].rpartition("/")[2] in _DEGREES
