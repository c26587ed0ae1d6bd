"""Literal values in requests: of the lexical forms that XML Schema (part 2) gives their types.

PyWPS converts generously: "maybe" is true, 1.7 is the integer 1, "10" is a day of this month.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from pywps.exceptions import InvalidParameterValue

from pywps_hpc.web.requests.content import collapse

_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?"
_DAY, _CLOCK = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_REAL = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?INF|[+-]?inf|NaN|nan"
#: An integer may be written as a real number without a fraction.
_WHOLE = r"[+-]?\d+(?:\.0*)?|[+-]?\d+(?:\.\d+)?[eE][+-]?\d+"
#: By PyWPS's name of the type; of a type that is not here, any text is a value.
_FORMS = {
    name: re.compile(pattern, re.ASCII)
    for name, pattern in {
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
    }.items()
}
#: Types that stand for one another, in lower case as some clients write them.
_NUMBERS = (
    *("float", "double", "decimal", "integer", "int", "long", "short", "byte", "scale", "angle"),
    *("nonnegativeinteger", "positiveinteger", "unsignedint", "unsignedlong", "unsignedshort"),
)
_TIMES = ("date", "time", "datetime")
_TEXTS = ("string", "anyuri", "normalizedstring", "token")


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
    if form is not None and not form.fullmatch(value):
        raise _refused(name, data_type, value)
    if form is not None and form.pattern == _WHOLE:
        number = Decimal(value)
        # PyWPS passes it through a float, which holds no more digits.
        if number != number.to_integral_value() or abs(number) > 2**53:
            raise _refused(name, data_type, value)
        if data_type == "positiveInteger" and number < 1:
            raise _refused(name, data_type, value)
        return int(number)
    return value


def fit(name: str, data_type: str, told: str) -> None:
    """Make sure that the type that a request tells of is the input's, or one like it.

    Args:
        told: a name, a QName, a URN or a URL of a type.

    Raises:
        InvalidParameterValue: it is not.
    """
    of, own = re.split("[:#/]", told)[-1].lower(), data_type.lower()
    if of in ("", own) or own == "string" or of in _TEXTS:  # its text is read as the input's type
        return
    if any(own in family and of in family for family in (_NUMBERS, _TIMES)):
        return
    raise InvalidParameterValue(f"input {name}: it is of type {data_type}, not {told}.", name)


def _refused(name: str, data_type: str, value: str) -> InvalidParameterValue:
    message = f"Could not convert value '{value}' to format '{data_type}'"
    return InvalidParameterValue(message, name)
