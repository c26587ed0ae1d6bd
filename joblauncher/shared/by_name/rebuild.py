"""What a dump calls on the node to put together again what went by value.

A module that cannot be imported here has a stand-in, and functions of that module share its
namespace as they did there. Things that may refer to each other in a circle are made empty first
and filled afterwards.
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import importlib
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

LOGGER = logging.getLogger(__name__)

#: Where a class or function stood in a module that went by value: its name in that module.
Place = tuple[str, str]

_stand_ins: dict[str, ModuleType] = {}
_made: dict[Place, Any] = {}
_filled: set[tuple[int, ...]] = set()


def module(name: str) -> ModuleType:
    """The stand-in of a module that cannot be imported here; the same at each call."""
    made = _stand_ins.get(name)
    if made is None:
        made = _stand_ins[name] = sys.modules[name] = ModuleType(name)
        vars(made)["__builtins__"] = builtins
    return made


def namespace(name: str) -> dict[str, Any]:
    """The globals of such a stand-in."""
    return vars(module(name))


def module_globals(name: str) -> dict[str, Any]:
    """The globals of a module that can be imported."""
    return vars(importlib.import_module(name))


def anonymous(name: str) -> dict[str, Any]:
    """Globals that belong to no module: of code made by ``exec``."""
    return {"__name__": name, "__builtins__": builtins}


def define(space: dict[str, Any], name: str, value: Any) -> None:
    """Put a global into a namespace, unless the job has it already."""
    space.setdefault(name, value)


def named(module: str, path: str) -> Any:
    """What an importable module holds under a (dotted) name.

    Raises:
        AttributeError: with the message of :mod:`pickle`.
    """
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            message = f"Can't get attribute '{path}' on <module '{module}'>"
            raise AttributeError(message) from None
    return found


def function(
    code: CodeType,
    space: dict[str, Any],
    name: str,
    closure: tuple[CellType, ...] | None,
    place: Place | None,
) -> Any:
    """A function without its state."""
    return _once(place, lambda: FunctionType(code, space, name, None, closure))


def fill_function(made: Any, state: dict[str, Any]) -> None:
    """Its state: attributes of the function object, and those in its ``__dict__``."""
    if _is_first(made):
        made.__dict__.update(state.pop("__dict__", {}))
        for name, value in state.items():
            setattr(made, name, value)


def cell() -> CellType:
    """An empty cell of a closure."""
    return CellType()


def fill_cell(made: CellType, contents: tuple[Any]) -> None:
    """What is in it."""
    (made.cell_contents,) = contents


def make_class(
    kind: type, name: str, bases: tuple[type, ...], body: dict[str, Any], place: Place | None
) -> Any:
    """A class of which only ``body`` is there; nobody is told of it yet.

    Args:
        kind: its metaclass, which is not called: what it would add is in the state.
    """
    maker: Any = abc.ABCMeta if issubclass(kind, abc.ABCMeta) else type

    def make() -> Any:
        with _unannounced(bases):
            return maker.__new__(kind, name, bases, body)

    return _once(place, make)


def fill_class(made: Any, state: dict[str, Any]) -> None:
    """Its methods."""
    if _is_first(made):
        for name, value in state.items():
            type.__setattr__(made, name, value)


def set_attribute(made: Any, name: str, value: Any) -> None:
    """Another attribute of a class, unless it has it already."""
    if name not in vars(made):
        type.__setattr__(made, name, value)


def announce(made: Any) -> None:
    """A class is whole: its importable bases hear of their subclass (PEP 487)."""
    if not _is_first(announce, made):
        return
    hook: Any = next((vars(base) for base in made.__mro__[1:] if _HOOK in vars(base)), {})
    owner = getattr(hook.get(_HOOK), "__func__", None)
    if owner is not None and owner.__module__ not in (*_stand_ins, "typing"):
        try:
            super(made, made).__init_subclass__()
        except Exception as error:  # foreign code, and what the class statement gave it is unknown
            LOGGER.warning("%s is not registered with its bases: %s", made.__qualname__, error)


def register(made: Any, other: type) -> None:
    """A class that was registered as a virtual subclass of this one."""
    made.register(other)


def left_out(name: str, reason: str) -> None:
    """Say in the job's log what the process has to do without."""
    LOGGER.warning("%r was not sent with this job: %s", name, reason)


def make_enum(
    kind: Any,
    name: str,
    bases: tuple[type, ...],
    body: dict[str, Any],
    members: list[tuple[str, Any]],
    place: Place | None,
) -> Any:
    """An enumeration with its members."""

    def make() -> Any:
        space = kind.__prepare__(name, bases)
        for key, value in (*body.items(), *members):
            space[key] = value
        return kind(name, bases, space)

    return _once(place, make)


def fill_enum(made: Any, state: tuple[dict[str, Any], dict[str, dict[str, Any]]]) -> None:
    """Its methods, and the attributes that its members have of their own."""
    if not _is_first(made):
        return
    attributes, members = state
    for name, value in attributes.items():
        type.__setattr__(made, name, value)
    for name, own in members.items():
        vars(made[name]).update(own)


def bare(kind: type) -> Any:
    """An object of a class, without its state, and without asking its ``__new__``."""
    return object.__new__(kind)


def context_variable(name: str, default: tuple[Any, ...]) -> ContextVar[Any]:
    """A context variable without a value, with its default if it has one."""
    return ContextVar(name, default=default[0]) if default else ContextVar(name)


def type_variable(
    name: str, constraints: tuple[Any, ...], bound: Any, variance: tuple[bool, bool]
) -> Any:
    """A type variable of a module that went by value."""
    covariant, contravariant = variance
    return TypeVar(
        name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant
    )


_HOOK = "__init_subclass__"


@contextlib.contextmanager
def _unannounced(bases: tuple[type, ...]) -> Iterator[None]:
    """Keep a class's bases from hearing of it while it is empty (PEP 487)."""
    hooks: dict[type, Any] = {
        owner: vars(owner)[_HOOK]
        for base in bases
        for owner in base.__mro__
        if owner is not object and _HOOK in vars(owner)
    }
    quiet = classmethod(lambda cls, **_kwargs: None)
    for owner in hooks:
        type.__setattr__(owner, _HOOK, quiet)
    try:
        yield
    finally:
        for owner, hook in hooks.items():
            type.__setattr__(owner, _HOOK, hook)


def _once(place: Place | None, make: Any) -> Any:
    """What a module holds is made once, though two dumps of one job may bring it."""
    if place is None:
        return make()
    if place not in _made:
        _made[place] = make()
    return _made[place]


def _is_first(*what: Any) -> bool:
    """Whether this is done for the first time to what two dumps of one job may bring."""
    key = tuple(map(id, what))
    if key in _filled and any(what[-1] is known for known in _made.values()):
        return False
    _filled.add(key)
    return True
