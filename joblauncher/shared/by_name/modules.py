"""Which modules the compute node can import, and what they hold.

Whatever an importable module holds goes to the node by its name; only the rest goes by value.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import os
import re
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from types import CellType, CodeType, MethodType, ModuleType
from typing import Any

#: Types whose objects are their value: it does not matter whether there are two.
PLAIN = frozenset(
    (int, float, complex, bool, str, bytes, type(None), tuple, frozenset, range, slice, re.Pattern)
) | {type(Ellipsis), type(NotImplemented), CodeType, CellType, MethodType}

_known: dict[str, tuple[ModuleType, bool]] = {}


def importable(name: str) -> bool:
    """Whether an import finds the loaded module of this name elsewhere too.

    ``__main__`` and a script that its server loaded under a made-up name stand in ``sys.modules``
    like any other, but no finder (PEP 302) knows them, or it knows another file by that name.
    """
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return False
    known = _known.get(name)
    if known is None or known[0] is not module:
        known = _known[name] = module, _is_found(name, module)
    return known[1]


def goes_by_value(name: str) -> bool:
    """Whether this is a module of Python code that no import finds elsewhere."""
    file = str(getattr(sys.modules.get(name), "__file__", None) or "")
    is_code = bool(file) and not file.endswith(tuple(EXTENSION_SUFFIXES))
    return name == "__main__" or (is_code and not importable(name))


def _is_found(name: str, module: ModuleType) -> bool:
    package, _, _ = name.rpartition(".")
    path = None
    if package:
        path = getattr(sys.modules.get(package), "__path__", None)
        if not importable(package):
            return False
    own = getattr(module, "__spec__", None)
    if own is not None and own.name != name:  # os.path is posixpath
        return importable(own.name)
    for finder in sys.meta_path:
        if package and path is None:
            break
        with contextlib.suppress(Exception):  # a finder is foreign code
            spec = finder.find_spec(name, path)
            if spec is not None:
                return _is_same_file(getattr(module, "__file__", None), spec.origin)
    # An extension module may make others while it is loaded.
    return bool(package) and importable(package) and _is_made_by_extension(package, own)


def _is_same_file(loaded: str | None, found: str | None) -> bool:
    if not loaded or not found:
        return True
    return os.path.realpath(loaded) == os.path.realpath(found)


def _is_made_by_extension(package: str, spec: Any) -> bool:
    file = getattr(sys.modules[package], "__file__", None) or ""
    return spec is None and not file.endswith((".py", ".pyc"))


def own_name(thing: Any) -> tuple[str, str] | None:
    """Module and dotted name under which a class or function of an importable module is found."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    found, path = sys.modules.get(module), []
    for part in name.split("."):
        held = getattr(found, part, None)
        if held is None and part.startswith("__"):  # a private method
            part = f"_{getattr(found, '__name__', '').lstrip('_')}{part}"
            held = getattr(found, part, None)
        path.append(part)
        found = held
    return (module, ".".join(path)) if found is thing and importable(module) else None


class Holdings:
    """What the modules hold at this moment, by identity."""

    def __init__(self) -> None:
        self._places: dict[int, str] = {}

    def find(self, thing: Any, near: str = "") -> tuple[str, str] | None:
        """An importable module that holds this very object, and under which name.

        Args:
            thing: any object.
            near: a module to look into first.
        """
        if not self._places:
            for module, held in _loaded():
                # Without names, of which few are ever asked for: there may be 50,000.
                self._places.update(dict.fromkeys(map(id, list(held.values())), module))
        place = self._places.get(id(thing))
        if place is None:
            return None
        held = getattr(sys.modules.get(place), "__dict__", {})
        names = [name for name, value in list(held.items()) if value is thing]
        likely = (getattr(thing, "__module__", None), type(thing).__module__, near, place)
        for module in filter(None, likely if names else ()):
            held = getattr(sys.modules.get(module), "__dict__", {})
            if held.get(names[-1]) is thing and importable(module):
                return module, names[-1]
        for module, held in _loaded():
            if id(thing) in map(id, list(held.values())) and importable(module):
                for name, value in list(held.items()):
                    if value is thing:
                        return module, name
        return None


def _loaded() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, module in list(sys.modules.items()):
        held = getattr(module, "__dict__", None)
        if isinstance(held, dict):
            yield name, held


@functools.lru_cache(maxsize=4096)
def names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The globals that code may read, and every name in it (attributes too), functions inside it
    included."""
    used, names = set(), set(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            used.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = names_of(constant)
            used |= inner[0]
            names |= inner[1]
    return frozenset(used), frozenset(names)
