"""A pickler in C for what goes by name alone, as nearly every process and request does.

It writes what :class:`~joblauncher.shared.by_name.pickling.Pickler` would, several times as fast,
and gives up at the first thing that has to go by value or that dill saves in a way of its own.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any
from weakref import ReferenceType

import dill
from dill import _dill

from joblauncher.shared.by_name import modules, reductions

_Cached = type(functools.cache(lambda: None))
#: Types whose objects are never the service and hold nothing.
_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))


class NotByName(Exception):
    """Something has to go by value."""


class Pickler(pickle.Pickler):
    """Writes one object.

    Args:
        file: where to.
        is_live: tells the object that the node has its own of: the service.
    """

    def __init__(self, file: io.BytesIO, is_live: Callable[[Any], bool]) -> None:
        super().__init__(file, protocol=4)
        self._is_live = is_live

    def persistent_id(self, obj: Any) -> str | None:
        """See :meth:`pickle.Pickler.persistent_id`; it is asked of each object."""
        kind = type(obj)
        if kind in _PLAIN:
            return None
        if kind is dict and "__name__" in obj:
            raise NotByName  # it may be the globals of a module
        return "service" if self._is_live(obj) else None

    def reducer_override(self, obj: Any) -> Any:
        """See :meth:`pickle.Pickler.reducer_override`."""
        if isinstance(obj, (type, FunctionType, _Cached)):
            found = modules.own_name(obj)
            if found is None and isinstance(obj, type) and obj in _dill._typemap:
                return _dill._load_type, (_dill._typemap[obj],)
            if found is None or found[1] != obj.__qualname__:
                raise NotByName
            return found[1]
        kind: Any = type(obj)
        if kind is ReferenceType:
            return _dill._create_weakref, (obj(),)
        if kind is MethodType:
            found = reductions.anew(obj)
            return (MethodType, (obj.__func__, obj.__self__)) if found is NotImplemented else found
        if _has_own_way(kind):
            raise NotByName
        return reductions.anew(obj)


@functools.lru_cache(maxsize=1024)
def _has_own_way(kind: type) -> bool:
    """Whether dill saves objects of this type in another way than pickle: some of numpy's it gets
    to know when it meets the first one."""
    return kind in dill.Pickler.dispatch or any(
        base.__module__.partition(".")[0] == "numpy" for base in kind.__mro__
    )
