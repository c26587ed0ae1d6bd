"""What is known of a key of the configuration, and dataclass fields that carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from pywps_hpc.settings import readers


@dataclass(frozen=True)
class Split:
    """What is read from one key and is kept in several fields.

    Attributes:
        own: for the field of the key's name.
        rest: for other fields, by their names.
    """

    own: Any
    rest: Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """What is known of a key beside its name and type.

    Attributes:
        read: reads its value from text.
        help: what it is for, with units (Markdown).
        default: its default as it would be written; ``None`` if it has no such text.
        required_with: key of ``[hpc]`` and the value of it that makes this one required.
        needed: who needs it, where that is not told by ``required_with`` (Markdown).
    """

    read: readers.Reader[Any]
    help: str
    default: str | None = None
    required_with: tuple[str, str] | None = None
    needed: str = ""


def setting(
    read: readers.Reader[Any],
    default: str | None,
    help: str,
    *,
    unset: Any = MISSING,
    required_with: tuple[str, str] | None = None,
    needed: str = "",
) -> Any:
    """A dataclass field that an administrator can set.

    Args:
        default: as it would be written; ``None`` for a key without such a text.
        unset: the value without that text; a key that has neither is required always.
    """
    value = unset if default is None else read(default)
    value = value.own if isinstance(value, Split) else value
    metadata = {"key": Key(read, help, default, required_with, needed)}
    if value == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=value, metadata=metadata)


def keys_of(section: type) -> Mapping[str, Key]:
    """The keys of a section by name; other fields are made of the whole configuration."""
    return {f.name: f.metadata["key"] for f in fields(section) if "key" in f.metadata}


def required(section: type) -> list[str]:
    """The keys of a section that have no default."""
    known = (f for f in fields(section) if "key" in f.metadata)
    return [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
