"""Names of coordinate reference systems: pure."""

from __future__ import annotations

import re

#: The ways to write a reference system: as a name, a URN (OGC 07-092r1) or a URL, and before them.
_FORMS = (
    re.compile(r"(?:urn:(?:x-)?ogc:def:crs:)?(\w+):(?:[\w.]*:)?(\w+)", re.IGNORECASE),
    re.compile(r"https?://www\.opengis\.net/def/crs/(\w+)/[\w.]+/(\w+)", re.IGNORECASE),
    re.compile(r"https?://www\.opengis\.net/gml/srs/(\w+)\.xml#(\w+)", re.IGNORECASE),
)


def key(crs: str) -> tuple[str, str] | None:
    """Authority and code of a reference system, which tell whether two names mean the same."""
    for pattern in _FORMS:
        found = pattern.fullmatch(crs.strip())
        if found is not None:
            return found[1].upper(), found[2].upper()
    return None
