"""Formats and units that a request names, found among those of an input or output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pywps.exceptions import InvalidParameterValue

from joblauncher.shared.units import Unit
from pywps_hpc.web.requests.content import PLAIN


def unit_of(item: Any, asked: str) -> Unit:
    """A unit by its name or URI.

    Raises:
        InvalidParameterValue: the input or output has no such unit.
    """
    for unit in getattr(item, "uoms", ()):
        if asked in (unit.uom, unit.reference):
            return Unit.of(unit)
    name = item.identifier
    raise InvalidParameterValue(f"{name}: the unit {asked} is not supported.", name)


def format_of(item: Any, asked: Mapping[str, Any], *, readable: tuple[str, ...] = ()) -> Any:
    """The format that is asked for: the default one if that will do, else the first.

    Args:
        asked: ``mimeType``, ``encoding`` and ``schema``, as far as they are given.
        readable: encodings that need not be named by a format.

    Raises:
        InvalidParameterValue: there is none.
    """
    kind, schema = media_type(asked.get("mimeType") or ""), asked.get("schema") or ""
    encoding = str(asked.get("encoding") or "").lower()
    if not (kind or schema or encoding):
        return item.data_format
    same = [
        found
        for found in item.supported_formats
        if (not kind or media_type(found.mime_type) == kind)
        and (not schema or found.schema == schema)
    ]
    named = [found for found in same if _is_encoding(encoding, found.encoding)]
    fitting = named or (same if encoding in readable else [])
    if not fitting:
        raise InvalidParameterValue(
            f"{item.identifier}: the format is not supported "
            f"(mimeType '{asked.get('mimeType') or ''}', encoding '{encoding}', "
            f"schema '{schema}').",
            "mimeType",
        )
    return item.data_format if item.data_format in fitting else fitting[0]


def _is_encoding(asked: str, offered: str | None) -> bool:
    known = (offered or "").lower()
    return not asked or asked == known or (asked in PLAIN and known in PLAIN)


def media_type(text: str) -> tuple[str, ...]:
    """Type and parameters, to be compared without regard to case, white space (RFC 9110, section
    8.3.1), and the charset that text has anyway."""
    first, *rest = (re.sub(r"\s", "", part).lower() for part in text.split(";"))
    kept = sorted(part for part in rest if part not in ("", "charset=utf-8"))
    return (first, *kept) if first else ()
