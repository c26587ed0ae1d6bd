"""Which media types are JSON, text, or bytes: that decides how JSON carries a value of them."""

from __future__ import annotations

from pywps_hpc.web.requests.formats import media_type

_TEXT = frozenset(
    (
        *("application/xml", "application/javascript", "application/yaml", "application/x-yaml"),
        *("application/rtf", "application/sql", "application/x-sh", "application/json-seq"),
        *("image/svg+xml", "application/x-ogc-dods"),
    )
)


def is_json(kind: str) -> bool:
    """Whether a value of this type is JSON (RFC 8259, and RFC 6839, section 3.1)."""
    name = _name(kind)
    return name == "application/json" or name.endswith("+json")


def is_text(kind: str) -> bool:
    """Whether a value of this type is text, which a string in JSON carries as it is."""
    name = _name(kind)
    return is_json(kind) or name.startswith("text/") or name in _TEXT or name.endswith("+xml")


def _name(kind: str) -> str:
    return next(iter(media_type(kind or "")), "")
