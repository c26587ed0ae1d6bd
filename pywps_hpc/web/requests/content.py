"""What an Execute request says, whichever way it came; and the simple types of its values."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Any

from pywps.exceptions import InvalidParameterValue

from joblauncher.inputs.large_values import of_base64
from joblauncher.inputs.literals import LONGEST, collapse
from pywps_hpc.web.requests import limits

__all__ = ["LONGEST", "PLAIN", "Content", "collapse", "decode", "flag", "output"]

#: Lexical forms of ``xs:boolean`` (XML Schema part 2, section 3.2.2); Python and .NET write them
#: with a capital.
_FLAGS = {"true": "true", "1": "true", "false": "false", "0": "false"}
#: Encodings that mean text as it is.
PLAIN = ("", "utf-8", "utf8")


@dataclass(frozen=True)
class Content:
    """An Execute request.

    Attributes:
        identifier: of the process.
        inputs: by identifier, in PyWPS's dictionaries; ``kind`` is ``literal``, ``complex``,
            ``bbox`` or ``reference``, and absent where the request does not tell.
        outputs: that are asked for, by identifier, in PyWPS's dictionaries.
        raw: whether the one output is wanted as it is.
        store, status, lineage: flags as they were written; empty if not given.
    """

    identifier: str
    inputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    raw: bool = False
    store: str = "false"
    status: str = "false"
    lineage: str = "false"


def flag(text: str, name: str) -> str:
    """A flag as PyWPS compares it: ``true`` or ``false``.

    Raises:
        InvalidParameterValue: it is neither.
    """
    try:
        return _FLAGS[text.strip().lower()]
    except KeyError:
        raise InvalidParameterValue(f"{name} is either true or false.", name) from None


def output(identifier: str, asked: dict[str, str], *, raw: bool) -> dict[str, str]:
    """An output that is asked for, as PyWPS keeps it.

    Args:
        asked: ``mimeType``, ``encoding``, ``schema``, ``uom``, ``asReference`` as they were given.
    """
    found = {
        identifier: "",
        "mimetype": asked.get("mimeType", ""),
        "encoding": asked.get("encoding", ""),
        "schema": asked.get("schema", ""),
        "uom": asked.get("uom", ""),
    }
    if not raw:
        found["asReference"] = flag(asked.get("asReference", "false"), "asReference")
    return found


def decode(text: str, name: str) -> bytes | str:
    """The bytes of an input in base64 (RFC 4648, section 4), which may be wrapped; of a large one,
    which is decoded later, what stands for it.

    Raises:
        InvalidParameterValue: it is not.
    """
    if limits.taken_out(text):
        limits.in_base64(text)
        return text
    try:
        return of_base64(text)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidParameterValue(f"input {name}: it is not valid base64.", name) from None
