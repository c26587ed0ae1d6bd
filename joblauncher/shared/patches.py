"""Pieces of PyWPS that are replaced, extended or used though not public: whether they are there."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Patch:
    """One piece of PyWPS.

    Attributes:
        module: where it is.
        name: in the module: ``UrlHandler.file``.
        why: what is made of it, and why.
        parameters: that it must take; ``None``: it only has to be there.
        versions: of PyWPS in which it is as the code here expects.
    """

    module: str
    name: str
    why: str
    parameters: tuple[str, ...] | None = None
    versions: str = "4.8"


def strange(patches: Iterable[Patch]) -> Iterator[str]:
    """The pieces that this PyWPS does not have, or not in this form: one line each, for the
    administrator. To be called before anything is replaced."""
    import pywps

    for patch in patches:
        piece = f"PyWPS {pywps.__version__}: {patch.module}.{patch.name}"
        try:
            found = importlib.import_module(patch.module)
            for part in patch.name.split("."):
                # A descriptor is looked at, not asked.
                found = inspect.getattr_static(found, part)
        except (ImportError, AttributeError):
            yield f"{piece} is not there: this version has not been tested"
            continue
        found = getattr(found, "__func__", found)
        if patch.parameters is not None and _parameters(found) != patch.parameters:
            yield f"{piece} takes other parameters: this version has not been tested"


def _parameters(thing: object) -> tuple[str, ...] | None:
    try:
        return tuple(inspect.signature(thing).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
