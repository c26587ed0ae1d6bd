"""What a person filled in: a form's body, read within the bounds of requests, as the inputs of a
request; and the other way round."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from pywps.exceptions import FileSizeExceeded, InvalidParameterValue
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request

from joblauncher.shared.files import amount
from pywps_hpc.web.pages.fields import Field, Format
from pywps_hpc.web.pages.tokens import FIELD
from pywps_hpc.web.requests import limits
from pywps_hpc.web.sent_inputs import Given

#: Bytes of all fields of a form but its files; of a file from which on it is kept out of the
#: request; of a piece of a file that is read at once (a multiple of 3, for base64).
_FIELDS, _LARGE, _PIECE = 4 << 20, 1 << 16, 3 << 18
#: What a form may hold beside its fields: its token, and the button.
_BESIDE = (FIELD, "add", "run")


@dataclass
class Filled:
    """A form that was filled in.

    Attributes:
        values: texts of its fields, by name, to show them again.
        inputs: as PyWPS's dictionaries.
        problems: what is wrong with an input, by identifier.
    """

    values: dict[str, str] = field(default_factory=dict)
    inputs: Given = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def read(request: Request) -> None:
    """Read a form's body.

    Raises:
        FileSizeExceeded: it is longer than ``[server] maxrequestsize``, or has too many fields.
    """
    request.max_content_length = limits.largest_request()
    request.max_form_memory_size = _FIELDS
    try:
        _ = request.form
    except RequestEntityTooLarge:
        raise FileSizeExceeded(
            f"The form holds more than the {amount(request.max_content_length)} that are allowed, "
            "or too many fields. Give large files by their address."
        ) from None


def counts(request: Request, identifiers: Iterable[str]) -> dict[str, int]:
    """How many values each input has fields for, with the one more that a button asked for."""
    found = {}
    for identifier in identifiers:
        start = f"in.{identifier}."
        numbers = [
            int(number)
            for name in (*request.form, *request.files)
            if name.startswith(start)
            and (number := name.removeprefix(start).partition(".")[0]).isdecimal()
            and len(number) < 3
        ]
        found[identifier] = max(numbers, default=0) + 1 + (request.form.get("add") == identifier)
    return found


def filled(request: Request, fields: Iterable[Field]) -> Filled:
    """The inputs that a form has.

    Raises:
        InvalidParameterValue: it has fields that its process has not.
    """
    found, known = Filled(dict(request.form.items())), {*_BESIDE}
    for one in fields:
        values = []
        for number in range(one.count):
            names, value = _READERS[one.kind](one, number, request, found)
            known |= names
            if value is not None:
                values.append({"identifier": one.identifier, **value})
        if values:
            found.inputs[one.identifier] = values
        elif one.is_required and one.identifier not in found.problems:
            found.problems[one.identifier] = "This is needed."
    for name in (*request.form, *request.files):
        if name not in known:
            raise InvalidParameterValue(f"The form has a field '{name}' that is not known.", name)
    return found


def shown(fields: Iterable[Field], inputs: Given) -> dict[str, str]:
    """The texts of a form's fields for inputs that were sent before; without those that only a file
    can be."""
    found = {}
    for one in fields:
        for number, value in enumerate(inputs.get(one.identifier, ())[: one.count]):
            for part, text in _texts(one, value):
                found[one.named(number, part)] = text
    return found


def _texts(one: Field, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = value.get("data")
    if one.kind == "literal":
        yield "value", str(data).lower() if isinstance(data, bool) else str(data)
        yield "unit", str(value.get("uom") or "")
    elif one.kind == "bbox":
        numbers = data.split(",") if isinstance(data, str) else data or ()
        for (part, _), number in zip(one.corners, numbers, strict=False):
            yield part, str(number).strip()
        yield "system", str(value.get("crs") or "")
    else:
        for known in one.formats:
            if value.get("mimeType") == known.mime_type:
                yield "format", known.key
        if value.get("href"):
            yield "url", str(value["href"])
        elif isinstance(data, str) and not value.get("encoding"):
            yield "text", data


_Read = tuple[set[str], dict[str, Any] | None]


def _literal(one: Field, number: int, request: Request, found: Filled) -> _Read:
    name, unit = one.named(number, "value"), one.named(number, "unit")
    text = request.form.get(name, "")
    names = {name, unit} if one.units else {name}
    if text == "":
        return names, None
    return names, {"kind": "literal", "data": text, "uom": request.form.get(unit, "")}


def _box(one: Field, number: int, request: Request, found: Filled) -> _Read:
    named = [one.named(number, part) for part, _ in one.corners]
    system = one.named(number, "system")
    numbers = [request.form.get(name, "").strip() for name in named]
    names = {*named, system}
    if not any(numbers):
        return names, None
    if not all(numbers):
        found.problems[one.identifier] = "A box has all of its corners' coordinates, or none."
        return names, None
    if any("," in text for text in numbers):
        found.problems[one.identifier] = "Write a decimal point, not a comma."
        return names, None
    crs = request.form.get(system, "") or (one.systems[0] if one.systems else "")
    listed = ",".join(filter(None, (*numbers, crs)))
    return names, {"kind": "bbox", "data": listed}


def _complex(one: Field, number: int, request: Request, found: Filled) -> _Read:
    parts = ("file", "url", "text", "format")
    file_name, url_name, text_name, format_name = (one.named(number, part) for part in parts)
    names = {file_name, url_name, text_name, format_name}
    file = request.files.get(file_name)
    url = request.form.get(url_name, "").strip()
    text = request.form.get(text_name, "")
    has_file = file is not None and bool(file.filename)
    given = [has_file, bool(url), bool(text.strip())]
    if not any(given):
        return names, None
    if sum(given) > 1:
        found.problems[one.identifier] = "Give a file, an address or a text: one of them."
        return names, None
    chosen = _chosen(one, request.form.get(format_name, ""))
    told = {"mimeType": chosen.mime_type, "encoding": chosen.encoding, "schema": chosen.schema}
    if url:
        return names, {"kind": "reference", "href": url, "method": "GET", **told}
    if has_file:
        assert file is not None
        return names, {"kind": "complex", **_of_file(file, one, chosen, told)}
    return names, {"kind": "complex", "data": text.replace("\r\n", "\n"), **told}


_READERS = {"literal": _literal, "bbox": _box, "complex": _complex}


def _chosen(one: Field, key: str) -> Format:
    for known in one.formats:
        if known.key == (key or known.key):
            return known
    raise InvalidParameterValue(f"{one.identifier}: this format is not known.", one.identifier)


def _of_file(file: FileStorage, one: Field, chosen: Format, told: dict[str, str]) -> dict[str, Any]:
    """A file as complex data: text as it is, anything else in base64. A large one is taken out of
    the request, as in other requests (:mod:`pywps_hpc.web.requests.limits`)."""
    is_text = chosen.is_text and chosen.encoding.lower() != "base64"
    size = file.stream.seek(0, 2)
    file.stream.seek(0)
    most = limits.largest_value()
    if size > most:
        raise FileSizeExceeded(f"{one.title}: the file is larger than the {amount(most)} allowed.")
    if not is_text:
        told = {**told, "encoding": "base64"}
    if size <= _LARGE:
        return {**told, "data": _text(file.stream.read(), one, is_text)}
    body = bytearray(b'"')
    try:
        for part in (_quoted if is_text else _packed)(file.stream):
            body += part
    except UnicodeDecodeError:
        raise _no_text(one) from None
    body += b'"'
    return {**told, "data": limits.take_out(body)}


def _quoted(stream: IO[bytes]) -> Iterator[bytes]:
    """A text in UTF-8 as it stands between the quotes of a string in JSON, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    while piece := stream.read(_PIECE):
        yield json.dumps(decoder.decode(piece), ensure_ascii=False).encode()[1:-1]
    decoder.decode(b"", True)


def _packed(stream: IO[bytes]) -> Iterator[bytes]:
    """A file in base64, piece by piece."""
    while piece := stream.read(_PIECE):
        yield base64.b64encode(piece)


def _text(content: bytes, one: Field, is_text: bool) -> str:
    if not is_text:
        return base64.b64encode(content).decode()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _no_text(one) from None


def _no_text(one: Field) -> InvalidParameterValue:
    return InvalidParameterValue(f"{one.title}: the file is not text in UTF-8.", one.identifier)
