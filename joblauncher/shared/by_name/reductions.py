"""How single kinds of objects are sent (see :meth:`object.__reduce__`) that pickle and dill refuse,
or send in a state that they must not have in a job."""

from __future__ import annotations

import abc
import contextlib
import ctypes
import enum
import importlib
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextvars import Context, ContextVar
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NewType, TypeVar

from joblauncher.shared.by_name import modules, rebuild

#: A class has these of its own accord, or gets them when it is made.
MADE = (
    *("__dict__", "__weakref__", "__module__", "__qualname__", "__slots__"),
    *("__slotnames__", "_abc_impl"),
)


def enum_state(own: dict[str, Any], members: dict[str, Any]) -> Any:
    """What an enumeration has beside the names and values of its members."""
    attributes = {
        name: value
        for name, value in own.items()
        if name not in members
        and name not in (*MADE, "__new__", "__new_member__")
        and not (name.startswith("_") and name.endswith("_") and not name.startswith("__"))
        and not isinstance(value, MemberDescriptorType)
    }
    given = ("_value_", "_name_", "__objclass__", "_sort_order_")
    return attributes, {
        name: {key: value for key, value in vars(member).items() if key not in given}
        for name, member in members.items()
    }


def anew(obj: Any) -> Any:
    """How to make what has no state to serialise, or one that must not be."""
    kind = type(obj)
    if isinstance(obj, ModuleType) and sys.modules.get(obj.__name__) is obj:
        found = modules.importable(obj.__name__)
        return importlib.import_module if found else rebuild.module, (obj.__name__,)
    if isinstance(obj, MethodType):
        owner, name = obj.__self__, obj.__name__
        is_held = isinstance(owner, type) and getattr(owner, name, None) == obj
        return (getattr, (owner, name)) if is_held else NotImplemented
    if isinstance(obj, enum.Enum) and obj._name_ in kind.__members__:
        return getattr, (kind, obj._name_)
    if kind in (type(threading.Lock()), type(threading.RLock())):
        # Whoever holds it is not in the job.
        return threading.Lock if kind is type(threading.Lock()) else threading.RLock, ()
    processes = sys.modules.get("multiprocessing.synchronize")
    if processes is not None and kind in (processes.Lock, processes.RLock):
        return getattr(multiprocessing, kind.__name__), ()
    if kind is threading.local:
        return threading.local, ()
    if isinstance(obj, ctypes.CDLL):
        return kind, (obj._name,)
    if kind is ContextVar:
        with contextlib.suppress(LookupError):
            return rebuild.context_variable, (obj.name, (Context().run(obj.get),))
        return rebuild.context_variable, (obj.name, ())
    if kind is TypeVar:
        variance = obj.__covariant__, obj.__contravariant__
        return rebuild.type_variable, (obj.__name__, obj.__constraints__, obj.__bound__, variance)
    if kind is NewType:
        return NewType, (obj.__name__, obj.__supertype__)
    return _bare(obj)


def _bare(obj: Any) -> Any:
    """How to make an object of a class by value without its ``__new__``, which may want more of the
    class than is there yet: a singleton stands in an attribute of it."""
    kind = type(obj)
    hooks = [
        getattr(kind, name, None) for name in ("__reduce_ex__", "__reduce__", "__getnewargs__")
    ]
    plain = [object.__reduce_ex__, object.__reduce__, None]
    if hooks != plain or not isinstance(kind.__new__, FunctionType) or modules.own_name(kind):
        return NotImplemented
    try:
        object.__new__(kind)
    except TypeError:  # one made of list, say
        return NotImplemented
    _, arguments, *state = obj.__reduce_ex__(4)
    return (rebuild.bare, arguments, *state)


def submodules(package: ModuleType, names: frozenset[str]) -> Iterator[str]:
    """Modules of a package that code reaches through it: ``import xml.dom`` binds ``xml``."""
    prefix = f"{package.__name__}."
    for name in sorted(sys.modules):
        is_reached = name.startswith(prefix) and names.issuperset(name[len(prefix) :].split("."))
        if is_reached and modules.importable(name):
            yield name


def registered(kind: abc.ABCMeta) -> list[type]:
    """Classes that were registered as virtual subclasses (:meth:`abc.ABCMeta.register`)."""
    found = [reference() for reference in abc._get_dump(kind)[0]]  # type: ignore[attr-defined]
    return sorted(filter(None, found), key=lambda one: (one.__module__, one.__qualname__))
