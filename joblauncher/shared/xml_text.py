"""Text as XML has it (XML 1.0, sections 2.4 and 3.1). The standard library's functions for that
bring a parser, or all entities of HTML."""

from __future__ import annotations

from collections.abc import Mapping

_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})


def escaped(value: object) -> str:
    """A value as text of an element, or within the quotation marks of an attribute."""
    return str(value).translate(_IN_TEXT)


def attributes(values: Mapping[str, object]) -> str:
    """Attributes of an element, each after a blank; those without a value are left out.

    Args:
        values: by their names; ``None``, and an empty text, are no value.
    """
    return "".join(
        f' {name}="{escaped(value)}"'
        for name, value in values.items()
        if value is not None and value != ""
    )
