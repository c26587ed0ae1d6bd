"""Literal values: of the lexical forms that XML Schema (part 2) gives their types.

PyWPS converts generously: "maybe" is true, 1.7 is the integer 1, "10" is a day of this month. The
web server holds the values of a request against these forms, and the job those that it fetches.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from lxml import etree
from pywps.exceptions import InvalidParameterValue

from joblauncher.inputs.errors import InputUnavailable
from joblauncher.inputs.policy import Bounds, Reference, Refused, local_file
from joblauncher.inputs.references import identifier, pywps_exception
from joblauncher.shared.files import amount

_ZONE = r"(?:Z|[+-](?:(?:0\d|1[0-3]):?[0-5]\d|14:?00))?"
_DAY, _CLOCK = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_REAL = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?INF|[+-]?inf|NaN|nan"
#: An integer may be written as a real number without a fraction.
_WHOLE = r"[+-]?\d+(?:\.0*)?|[+-]?\d+(?:\.\d+)?[eE][+-]?\d+"
#: By PyWPS's name of the type; of a type that is not here, any text is a value.
_FORMS = {
    "boolean": r"(?i:true|false|1|0)",
    "integer": _WHOLE,
    "nonNegativeInteger": _WHOLE,
    "positiveInteger": _WHOLE,
    "float": _REAL,
    "scale": _REAL,
    "angle": _REAL,
    "date": rf"{_DAY}(?:[T ]00:00(?::00(?:\.0+)?)?)?{_ZONE}",
    "time": rf"{_CLOCK}{_ZONE}",
    "dateTime": rf"{_DAY}(?:[T ]{_CLOCK})?{_ZONE}",
}
#: Most characters of what is no text or document.
LONGEST = 65_536
#: Bytes of a literal value that is fetched.
MOST = 1 << 20
#: Fetches what an input refers to, to a file.
Fetch = Callable[[Any, Path], None]


def collapse(text: str) -> str:
    """White space as in ``anyURI``, ``token`` and all other types but strings (XML Schema part 2,
    section 4.3.6).

    Raises:
        InvalidParameterValue: it is longer than any name, address or number.
    """
    if len(text) > LONGEST:
        raise InvalidParameterValue(
            f"A name, address or number has more than {LONGEST} characters.", "request"
        )
    return re.sub(r"[ \t\r\n]+", " ", text).strip(" ")


def read(name: str, data_type: str, value: Any) -> Any:
    """A value as PyWPS is to convert it.

    Args:
        name: of the input.
        data_type: PyWPS's name of its type.
        value: text, or what JSON has.

    Raises:
        InvalidParameterValue: it is not of the type.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, int | float):
        value = repr(value)
    if not isinstance(value, str):
        raise InvalidParameterValue(f"input {name}: its value is not a literal.", name)
    if data_type == "string":
        return value
    value = collapse(value)
    form = _FORMS.get(data_type)
    if form is not None and not re.fullmatch(form, value, re.ASCII):
        raise _refused(name, data_type, value)
    if form == _WHOLE:
        number = Decimal(value)
        # PyWPS passes it through a float, which holds no more digits.
        if number != number.to_integral_value() or abs(number) > 2**53:
            raise _refused(name, data_type, value)
        if number < {"positiveInteger": 1, "nonNegativeInteger": 0}.get(data_type, number):
            raise _refused(name, data_type, value)
        return int(number)
    if data_type == "time" and (zone := re.search(r"(Z|[+-].*)$", value)):
        return _in_zone(name, value.removesuffix(zone[1]), zone[1])
    return value


def _in_zone(name: str, clock: str, zone: str) -> datetime.time:
    """A time with its zone, which PyWPS would leave out."""
    try:
        found = datetime.datetime.strptime(zone.replace("Z", "+0000").replace(":", ""), "%z")
        digits = f"{clock}:00" if clock.count(":") == 1 else clock
        whole, _, part = digits.partition(".")
        return datetime.time.fromisoformat(f"{whole}.{part[:6]:0<6}").replace(tzinfo=found.tzinfo)
    except ValueError:
        raise _refused(name, "time", f"{clock}{zone}") from None


def _refused(name: str, data_type: str, value: str) -> InvalidParameterValue:
    message = f"Could not convert value '{value}' to format '{data_type}'"
    return InvalidParameterValue(message, name)


def refer(item: Any, reference: Reference, *, is_xml: bool) -> None:
    """Let a literal input have its value from elsewhere.

    Args:
        is_xml: whether it stands there as the text of an element.
    """
    item.hpc_reference, item.hpc_is_xml = reference, is_xml


def reference_of(item: Any) -> Reference | None:
    """From where a literal input has its value; ``None``: it has it."""
    found = vars(item).get("hpc_reference")
    return found if isinstance(found, Reference) else None


def is_file(reference: Reference) -> bool:
    """Whether a reference names a file, not something that a server has."""
    return reference.url.lower().startswith("file:")


def restore(inputs: Mapping[str, Any], fetch: Fetch, bounds: Bounds, folder: Path) -> None:
    """Give literal inputs their values that are elsewhere.

    Args:
        inputs: of the request.
        folder: for what is fetched.

    Raises:
        InputUnavailable: one cannot be had, or is no value of its input.
    """
    for number, item in enumerate(item for items in inputs.values() for item in items):
        reference = reference_of(item)
        if reference is None:
            continue
        name = identifier(item)
        target = folder / f"literal.{number}"
        with pywps_exception(item):
            if is_file(reference):
                found = local_file(reference.url, bounds)
                target = local_file(found.resolve().as_uri(), bounds)
            else:
                fetch(item, target)
            text = _text(target, is_xml=item.hpc_is_xml)
        try:
            item.data = read(name, item.data_type, text)
        except InvalidParameterValue as error:
            raise InputUnavailable(f"input {name}: {error.description}", name) from None


def _text(file: Path, *, is_xml: bool) -> str:
    """The text that a file holds.

    Raises:
        Refused: it holds none.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST + 1)
    except OSError:
        raise Refused("there is no such file.") from None
    if len(content) > MOST:
        raise Refused(f"it is larger than the {amount(MOST)} that a literal value may have")
    try:
        if not is_xml:
            return content.decode("utf-8-sig")
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        return "".join(str(part) for part in etree.fromstring(content, parser).itertext())
    except (UnicodeDecodeError, etree.XMLSyntaxError):
        raise Refused("it is no text in UTF-8" if not is_xml else "it is not XML") from None
