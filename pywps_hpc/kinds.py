"""Which media types are JSON, XML, text, or bytes: pure."""

from __future__ import annotations

_TEXT = frozenset(
    (
        *("application/javascript", "application/yaml", "application/x-yaml"),
        *("application/rtf", "application/sql", "application/x-sh", "application/json-seq"),
        *("application/csv", "application/wkt", "application/x-javascript"),
        *("image/svg+xml", "application/x-ogc-dods"),
    )
)


def is_json(kind: str) -> bool:
    """Whether a value of this type is JSON (RFC 8259, and RFC 6839, section 3.1)."""
    name = _name(kind)
    return name == "application/json" or name.endswith("+json")


def is_xml(kind: str) -> bool:
    """Whether a value of this type is XML (RFC 7303, sections 9 and 4.2)."""
    name = _name(kind)
    return name in ("text/xml", "application/xml") or name.endswith("+xml")


def is_text(kind: str) -> bool:
    """Whether a value of this type is text, which can be typed, and which a string in JSON carries
    as it is."""
    name = _name(kind)
    return is_json(kind) or is_xml(kind) or name.startswith("text/") or name in _TEXT


def _name(kind: str) -> str:
    return "".join((kind or "").partition(";")[0].split()).lower()
