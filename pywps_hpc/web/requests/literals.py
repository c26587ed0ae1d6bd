"""Literal values in requests: of the types of the inputs that they are given for."""

from __future__ import annotations

import re

from pywps.exceptions import InvalidParameterValue

#: Types that stand for one another, in lower case as some clients write them.
_NUMBERS = (
    *("float", "double", "decimal", "integer", "int", "long", "short", "byte", "scale", "angle"),
    *("nonnegativeinteger", "positiveinteger", "unsignedint", "unsignedlong", "unsignedshort"),
)
_TIMES = ("date", "time", "datetime")
_TEXTS = ("string", "anyuri", "normalizedstring", "token")


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
