"""The inputs of a request, held against the process that it names: none is left out."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pywps.exceptions import InvalidParameterValue, MissingParameterValue
from pywps.inout.basic import BasicBoundingBox, BasicComplex, BasicLiteral

from joblauncher.inputs import literals as values
from joblauncher.inputs.policy import Reference
from joblauncher.shared.units import Unit
from pywps_hpc.web.requests import boxes as request_boxes
from pywps_hpc.web.requests import literals as request_literals
from pywps_hpc.web.requests.content import PLAIN, decode
from pywps_hpc.web.requests.formats import format_of, unit_of

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Fetched:
    """A literal value that the job is to fetch.

    Attributes:
        reference: where it is.
        is_xml: whether it stands there as the text of an element.
    """

    reference: Reference
    is_xml: bool = False


#: What PyWPS says of a value that its validator does not take.
_NOT_VALID = "Input data not valid"
#: What may stand beside the value of an input that is no complex one.
_LITERAL, _BOX = ("data", "uom", "datatype"), ("data", "corners", "crs", "dimensions")
_KINDS = {"literal": "a literal value", "complex": "complex data", "bbox": "a bounding box"}


def check_inputs(process: Any, request: Any) -> None:
    """Make sure that the process has each input that is given, as often as it is given.

    Raises:
        InvalidParameterValue: it has not.
    """
    known = {item.identifier: item for item in process.inputs}
    for name, given in (request.inputs or {}).items():
        if name not in known:
            raise InvalidParameterValue(
                f"Process '{process.identifier}' has no input '{name}'.", name
            )
        most = known[name].max_occurs
        if most is not None and len(given) > most:
            raise InvalidParameterValue(
                f"input {name}: it is given {len(given)} times; at most {most} are allowed.", name
            )


def literals(source: Any, given: Sequence[Given]) -> deque[Any]:
    """Literal inputs; see :func:`_made`."""

    def fill(item: Any, value: Given) -> None:
        name = source.identifier
        fetched = value.get("fetched")
        _only(source, value, "literal", (*_LITERAL, "fetched"))
        request_literals.fit(name, source.data_type, value.get("datatype") or "")
        asked = value.get("uom") or ""
        if asked:
            item.uom = unit_of(source, asked)
        elif source.uoms:
            item.uom = Unit.of(source.uoms[0])
        if isinstance(fetched, Fetched):
            values.refer(item, fetched.reference, is_xml=fetched.is_xml)
        else:
            item.data = values.read(name, source.data_type, value.get("data"))

    return _made(source, given, fill)


def boxes(source: Any, given: Sequence[Given]) -> deque[Any]:
    """Bounding boxes; see :func:`_made`."""

    def fill(item: Any, value: Given) -> None:
        _only(source, value, "bbox", _BOX)
        box = dict(value)
        if isinstance(box.get("data"), str):
            listed = request_boxes.of_list(source.identifier, box["data"])
            box |= {key: found for key, found in listed.items() if found is not None}
        if isinstance(box.get("dimensions"), str) and box["dimensions"].isdecimal():
            box["dimensions"] = int(box["dimensions"])
        request_boxes.fit(source.identifier, box, source.crss, source.dimensions)
        item.data = box["data"]
        item.crs = box.get("crs") or source.crss[0]
        item.dimensions = box.get("dimensions") or source.dimensions
        item.inpt = dict(value)

    return _made(source, given, fill)


def documents(source: Any, given: Sequence[Given]) -> deque[Any]:
    """Complex inputs; see :func:`_made`."""

    def fill(item: Any, value: Given) -> None:
        name = source.identifier
        if value.get("kind") in ("literal", "bbox"):
            raise _wrong_kind(source, value["kind"])
        for key in ("uom", "datatype"):
            if value.get(key):
                raise InvalidParameterValue(f"input {name}: complex data has no {key}.", name)
        has_body = value.get("body") or value.get("bodyreference")
        if value.get("href"):
            readable: tuple[str, ...] = PLAIN
            if has_body and str(value.get("method") or "GET").upper() != "POST":
                raise InvalidParameterValue(
                    f"input {name}: a reference with a body has method POST.", name
                )
        elif has_body or value.get("kind") == "reference":
            raise InvalidParameterValue(f"input {name}: a reference has an href.", name)
        else:
            readable = (*PLAIN, "base64")
        item.data_format = format_of(item, value, readable=readable)
        item.method = value.get("method") or "GET"
        data, encoding = value.get("data"), str(value.get("encoding") or "").lower()
        encoding = encoding or _implied(source, item.data_format)
        if encoding not in PLAIN and isinstance(data, str) and not value.get("href"):
            value = {**value, "data": decode(data, name)}
        item.process(value)

    return _made(source, given, fill)


def _implied(source: Any, chosen: Any) -> str:
    """The encoding of a value that does not tell its own: base64 if its format has that, unless the
    input takes the same format as it is, too (OGC 05-007r7, table 41)."""
    same = [one for one in source.supported_formats if one.mime_type == chosen.mime_type]
    return "base64" if all(str(one.encoding).lower() == "base64" for one in same) else ""


def _made(source: Any, given: Sequence[Given], fill: Callable[[Any, Given], None]) -> deque[Any]:
    """The process's inputs for the values of a request.

    Args:
        source: the process's description of the input.
        given: in PyWPS's dictionaries.

    Raises:
        InvalidParameterValue: the process does not take one of them.
        MissingParameterValue: there are fewer than it needs.
    """
    made: deque[Any] = deque(maxlen=source.max_occurs)
    for value in given:
        item = source.clone()
        with _named(source):
            fill(item, value)
        made.append(item)
    if len(made) < source.min_occurs:
        raise MissingParameterValue(
            f"At least {source.min_occurs} inputs are required. You provided {len(made)}.",
            locator=source.identifier,
        )
    return made


@contextlib.contextmanager
def _named(source: Any) -> Iterator[None]:
    """While PyWPS converts and checks a value: what it refuses is told of the input."""
    try:
        yield
    except InvalidParameterValue as error:
        if error.locator:
            raise
        name, said = source.identifier, str(error.description)
        if said.startswith(_NOT_VALID):
            said = "its value is none of those that are allowed."
        raise InvalidParameterValue(f"input {name}: {said}", name) from None


def _only(source: Any, value: Given, kind: str, keys: Iterable[str]) -> None:
    """Refuse what an input of this kind cannot have."""
    name = source.identifier
    told = value.get("kind", kind)
    if value.get("href") or told == "reference":
        raise InvalidParameterValue(f"input {name}: {_KINDS[kind]} cannot be a reference.", name)
    if told != kind and not (kind == "bbox" and told is None):
        raise _wrong_kind(source, told)
    for key, content in value.items():
        if content and key not in (*keys, "identifier", "kind", "method"):
            raise InvalidParameterValue(f"input {name}: {_KINDS[kind]} has no {key}.", name)


def _wrong_kind(source: Any, told: str) -> InvalidParameterValue:
    kind = next(
        label
        for base, label in (
            (BasicLiteral, "literal"),
            (BasicBoundingBox, "bbox"),
            (BasicComplex, "complex"),
        )
        if isinstance(source, base)
    )
    name = source.identifier
    return InvalidParameterValue(
        f"input {name}: it takes {_KINDS[kind]}, not {_KINDS.get(told, told)}.", name
    )
