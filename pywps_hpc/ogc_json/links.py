"""Links and times in documents in JSON: pure."""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import quote

JSON = "application/json"
#: Relations of links (OGC 18-062r2, clause 5.2; RFC 8288, section 3.3).
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
#: Relations of our own.
OWN_REL = "urn:pywps-hpc:rel:"


def link(href: str, rel: str, title: str = "", kind: str = JSON) -> dict[str, str]:
    """A link (clause 7.4)."""
    found = {"href": href, "rel": rel, "type": kind, "title": title}
    return {key: text for key, text in found.items() if text}


def place(*parts: str) -> str:
    """A relative URL of these segments, whatever characters they have."""
    return "/".join(quote(part, safe="") for part in parts)


def moment(seconds: float) -> str:
    """A time, in seconds since the epoch, as RFC 3339 writes it."""
    found = datetime.fromtimestamp(seconds, timezone.utc)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
