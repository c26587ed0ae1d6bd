"""The outputs of a job that succeeded, from the data in its report: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: Schemes of addresses that a storage of outputs gives. A process can write any into its report,
#: and a page makes links of them.
_SCHEMES = frozenset({"http", "https", "ftp", "ftps", "s3", "file"})


@dataclass(frozen=True)
class Output:
    """One output of a job that succeeded: at a location, or with its value.

    Attributes:
        identifier, title: of the output.
        kind: ``literal``, ``complex``, ``bbox``; ``reference`` where it was asked for by reference.
        mime_type, encoding, schema: its format; empty where it has none.
        data_type, unit: of literal data; empty where they are not known.
        location: URL of its file; empty: it has a value.
        value: text, or of a bounding box its coordinates (lower corner, then upper corner);
            ``None`` where it is at a location, or too large for a report.
        crs: of a bounding box.
        size: bytes; ``None`` if not known.
    """

    identifier: str
    title: str = ""
    kind: str = ""
    mime_type: str = ""
    encoding: str = ""
    schema: str = ""
    data_type: str = ""
    unit: str = ""
    location: str = ""
    value: Any = None
    crs: str = ""
    size: int | None = None


def outputs_of(told: Sequence[Mapping[str, Any]]) -> tuple[Output, ...]:
    """The outputs that a report tells of; whatever is none, since a process could write there, is
    left out."""
    found = [_output(facts) for facts in told]
    return tuple(output for output in found if output.identifier)


def _output(facts: Mapping[str, Any]) -> Output:
    def text(name: str) -> str:
        value = facts.get(name)
        return value if isinstance(value, str) else ""

    location = text("href") if _is_address(text("href")) else ""
    value = facts.get("bbox", facts.get("data")) if text("type") == "bbox" else facts.get("data")
    unit, size = facts.get("uom"), facts.get("size")
    if isinstance(unit, Mapping):
        unit = unit.get("reference") or unit.get("uom")
    return Output(
        identifier=text("identifier"),
        title=text("title"),
        kind=text("type"),
        mime_type=text("mimetype"),
        encoding=text("encoding"),
        schema=text("schema"),
        data_type=text("data_type"),
        unit=unit if isinstance(unit, str) else "",
        location=location,
        value=None if location else value,
        crs=text("crs"),
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
    )


def _is_address(text: str) -> bool:
    try:
        return urlsplit(text).scheme.lower() in _SCHEMES
    except ValueError:
        return False
