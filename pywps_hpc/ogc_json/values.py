"""Literal values and reference systems in JSON: pure."""

from __future__ import annotations

import math
from typing import Any

from joblauncher.shared.literal_text import text

#: By PyWPS's name of a literal type; any other is a string.
TYPES: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer"},
    "nonNegativeInteger": {"type": "integer", "minimum": 0},
    "positiveInteger": {"type": "integer", "minimum": 1},
    "float": {"type": "number"},
    "scale": {"type": "number"},
    "angle": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "dateTime": {"type": "string", "format": "date-time"},
    "anyURI": {"type": "string", "format": "uri"},
}
#: The reference systems that need no name, of two and of three dimensions (bbox.yaml).
CRS84, CRS84H = (
    "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    "http://www.opengis.net/def/crs/OGC/0/CRS84h",
)


def json_value(data_type: str, value: Any) -> Any:
    """A literal value, as PyWPS has it or as text, in JSON; text where it is none of its type."""
    kind = TYPES.get(data_type, {}).get("type", "string")
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1")
    written = text(value)
    try:
        if kind == "integer":
            return int(written)
        number = float(written) if kind == "number" else math.nan
    except ValueError:
        return written
    return number if math.isfinite(number) else written  # RFC 8259, section 6
