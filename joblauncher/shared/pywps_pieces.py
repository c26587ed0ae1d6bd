"""Pieces of PyWPS that are replaced, overridden or relied upon: whether this PyWPS has them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

#: The release that all tables of pieces are of, which still needs every entry.
UPSTREAM = "4.8"


@dataclass(frozen=True)
class Piece:
    """A piece of PyWPS that is needed as it is.

    Attributes:
        module: that has it.
        name: its name there: ``UrlHandler.file``.
        why: what is made of it, or why it is needed.
        parameters: those that it has to take; ``None``: it only has to be there.
    """

    module: str
    name: str
    why: str
    parameters: tuple[str, ...] | None

    def find(self) -> Any:
        """It, as it is now.

        Raises:
            ImportError, AttributeError: there is none.
        """
        # A descriptor is looked at, not asked.
        return inspect.getattr_static(self.owner(), self.name.rpartition(".")[2])

    def owner(self) -> Any:
        """The module or class that has it.

        Raises:
            ImportError, AttributeError: there is none.
        """
        found: Any = importlib.import_module(self.module)
        for part in self.name.split(".")[:-1]:
            found = inspect.getattr_static(found, part)
        return found


def mismatches(pieces: Iterable[Piece]) -> Iterator[str]:
    """The pieces that this PyWPS does not have, or not in this form: one line each. To be asked
    before anything is replaced."""
    import pywps

    for one in pieces:
        piece = f"PyWPS {pywps.__version__}: {one.module}.{one.name}"
        try:
            found = one.find()
        except (ImportError, AttributeError):
            yield f"{piece} is not there: this version has not been tested"
            continue
        found = getattr(found, "__func__", found)
        if one.parameters is not None and _parameters(found) != one.parameters:
            yield f"{piece} takes other parameters: this version has not been tested"


def _parameters(thing: object) -> tuple[str, ...] | None:
    try:
        return tuple(inspect.signature(thing).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
