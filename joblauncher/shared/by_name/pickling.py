"""The pickler of dumps: dill's, with another answer to what goes by name and what by value.

dill decides by the name of a module alone, and copies every global that a function mentions: one
object becomes two, a lock arrives in the state that it was sent in, and what cannot be pickled
stops a process that has no use for it. Here whatever an importable module holds goes by name,
its globals included; what goes by value shares one namespace for each module it comes from.
"""

from __future__ import annotations

import abc
import contextlib
import enum
import functools
import importlib
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from types import CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import dill
from dill import _dill

from joblauncher.shared.by_name import modules, rebuild, reductions

#: Globals that are brought along while others still are; deeper ones wait for their turn, since
#: each level takes some of the interpreter's stack.
_DEPTH = 20
#: The body of a class needs these from the beginning.
_BODY = ("__slots__", "__orig_bases__")
#: A class that C code made (PyTypeObject.tp_flags, Py_TPFLAGS_HEAPTYPE not set).
_HEAPTYPE = 1 << 9
_Cached = type(functools.cache(lambda: None))
#: What a class is made of, without which it would be another one.
_CODE = (FunctionType, property, classmethod, staticmethod)
_FUNCTION_STATE = ("__defaults__", "__kwdefaults__", "__doc__", "__qualname__", "__module__")


class _Dispatch(dict[type, Callable[[Any, Any], None]]):
    """How objects of a type are saved: our ways first, then those that dill knows by now."""

    def get(self, key: type, default: Any = None) -> Any:
        own = dict.get(self, key)
        if own is None and issubclass(key, type):
            own = self[type]
        return own or dill.Pickler.dispatch.get(key, default)


class Pickler(dill.Pickler):  # type: ignore[misc]
    """Writes one object.

    Args:
        file: where to.
        is_live: tells the object that the node has its own of: the service.
        holdings: what modules hold.
    """

    dispatch = _Dispatch()

    def __init__(
        self, file: io.BytesIO, is_live: Callable[[Any], bool], holdings: modules.Holdings
    ) -> None:
        super().__init__(file, protocol=4, recurse=False)
        # Without frames (PEP 3154), what was written can be taken back.
        self.framer.start_framing = lambda: None
        self.left_out: dict[str, str] = {}
        self._out = file
        self._is_live = is_live
        self._holdings = holdings
        self._near: list[str] = []
        self._spaces: dict[int, dict[str, Any]] = {}
        self._sent: dict[tuple[int, str], None] = {}
        self._depth = 0
        self._waiting: list[Callable[[], None]] = []

    def dump(self, obj: Any) -> None:
        """Write an object and whatever it needs.

        Raises:
            Exception: something cannot be pickled; whatever the code of its class raises.
        """
        self.write(pickle.PROTO + bytes([self.proto]))
        self.save(obj)
        while self._waiting:
            self._waiting.pop()()
        self.write(pickle.STOP)

    def persistent_id(self, obj: Any) -> str | None:
        """See :meth:`pickle.Pickler.persistent_id`."""
        return "service" if self._is_live(obj) else None

    def reducer_override(self, obj: Any) -> Any:
        """See :meth:`pickle.Pickler.reducer_override`."""
        kind = type(obj)
        if kind in modules.PLAIN and kind is not MethodType:
            return NotImplemented
        if isinstance(obj, (type, FunctionType, _Cached)):
            found = modules.own_name(obj)
            if found is None:
                found = self._holdings.find(obj, *self._near[-1:]) if self._is_python(obj) else None
            elif found[1] == obj.__qualname__:
                return found[1]
            return NotImplemented if found is None else (rebuild.named, found)
        if kind is dict:
            space = self._namespace(obj)
            if space is not None:
                return space
        if self._near:
            found = self._holdings.find(obj, *self._near[-1:])
            if found is not None:
                return rebuild.named, found
        return reductions.anew(obj)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """See :meth:`pickle.Pickler.save_global`; a name that no import finds is none."""
        module = getattr(obj, "__module__", None)
        if isinstance(module, str) and modules.goes_by_value(module):
            raise pickle.PicklingError(f"{name or obj!r} of {module} cannot be imported elsewhere")
        super().save_global(obj, name)

    @staticmethod
    def _is_python(obj: Any) -> bool:
        return not isinstance(obj, type) or bool(obj.__flags__ & _HEAPTYPE)

    def _namespace(self, space: dict[str, Any]) -> Any:
        """How to get at a dictionary that is the globals of code, or ``None`` if it is not."""
        name = space.get("__name__")
        if isinstance(name, str) and getattr(sys.modules.get(name), "__dict__", None) is space:
            importable = modules.importable(name)
            return rebuild.module_globals if importable else rebuild.namespace, (name,)
        return (rebuild.anonymous, (str(name),)) if id(space) in self._spaces else None

    @contextlib.contextmanager
    def _by_value(self, module: str | None) -> Iterator[None]:
        self._near.append(module or "")
        try:
            yield
        finally:
            self._near.pop()

    def _place(self, obj: Any) -> rebuild.Place | None:
        """Where a class or function stands in a module that goes by value."""
        place = obj.__module__, obj.__qualname__
        held = getattr(sys.modules.get(place[0]), "__dict__", {})
        return place if held.get(place[1]) is obj else None

    def save_function(self, obj: Any) -> None:
        """A function by value: with its module's own globals if that can be imported."""
        space = obj.__globals__
        self._spaces[id(space)] = space
        state = {name: getattr(obj, name) for name in _FUNCTION_STATE}
        state["__dict__"] = obj.__dict__
        arguments = obj.__code__, space, obj.__name__, obj.__closure__, self._place(obj)
        with self._by_value(space.get("__name__")):
            self.save_reduce(
                rebuild.function, arguments, state, None, None, rebuild.fill_function, obj=obj
            )
            if obj.__annotations__:  # for readers; one that cannot be serialised stops nothing
                self._attempt(
                    lambda: self._call(setattr, obj, "__annotations__", dict(obj.__annotations__))
                )
            if self._namespace(space)[0] is not rebuild.module_globals:
                self._bring_globals(obj, space)

    def _bring_globals(self, obj: Any, space: dict[str, Any]) -> None:
        """Send along the globals that a function uses, each once."""
        used, names = modules.names_of(obj.__code__)
        for name in sorted(used.intersection(space)):
            if (id(space), name) in self._sent or name in ("__builtins__", "__spec__"):
                continue
            self._sent[id(space), name] = None
            value = space[name]

            def bring(name: str = name, value: Any = value) -> None:
                with self._by_value(space.get("__name__")):
                    self._depth += 1
                    self._bring(name, rebuild.define, space, name, value)
                    self._depth -= 1
                if isinstance(value, ModuleType):
                    for submodule in reductions.submodules(value, names):
                        self._call(importlib.import_module, submodule)

            if self._depth < _DEPTH:
                bring()
            else:
                self._waiting.append(bring)

    def _bring(self, known_as: str, what: Any, *arguments: Any) -> None:
        """Have the node call something, or tell it what it has to do without."""
        error = self._attempt(lambda: self._call(what, *arguments))
        if error is not None:
            self.left_out[known_as] = str(error)
            self._call(rebuild.left_out, known_as, str(error))

    def _call(self, what: Any, *arguments: Any) -> None:
        """Have the node call something and forget the answer."""
        self.save_reduce(what, arguments)
        self.write(pickle.POP)

    def _attempt(self, write: Callable[[], None]) -> Exception | None:
        """Write something, or nothing of it if that fails."""
        before = self._out.tell(), len(self.memo), len(self._sent), len(self._waiting)
        try:
            write()
        except Exception as error:  # pickling runs foreign code, which may raise anything
            place, *lengths = before
            self._out.seek(place)
            self._out.truncate()
            for known, length in zip((self.memo, self._sent), lengths[:2], strict=True):
                while len(known) > length:
                    known.popitem()
            del self._waiting[lengths[2] :]
            return error
        return None

    def save_cell(self, obj: Any) -> None:
        """A cell of a closure, which functions may share."""
        try:
            contents = (obj.cell_contents,)
        except ValueError:  # nothing was assigned yet
            self.save_reduce(rebuild.cell, (), obj=obj)
            return
        self.save_reduce(rebuild.cell, (), contents, None, None, rebuild.fill_cell, obj=obj)

    def save_class(self, obj: Any) -> None:
        """A class by value."""
        if obj in _dill._typemap or not self._is_python(obj):
            _dill.save_type(self, obj)
            return
        own = dict(vars(obj))
        names = {"__module__": obj.__module__, "__qualname__": obj.__qualname__}
        body = (
            names
            | {name: own[name] for name in _BODY if name in own}
            | {
                name: value
                for name, value in own.items()
                if type(value) in (int, float, bool, str, bytes, type(None))
                and name not in reductions.MADE
            }
        )
        others = {
            name: value
            for name, value in own.items()
            if name not in body
            and name not in reductions.MADE
            and not isinstance(value, MemberDescriptorType)
        }
        state = {
            name: value
            for name, value in others.items()
            if isinstance(value, _CODE) or name == "__abstractmethods__"
        }
        make, arguments = rebuild.make_class, [type(obj), obj.__name__, obj.__bases__, body]
        fill: Any = rebuild.fill_class
        if isinstance(obj, enum.EnumMeta):
            make, fill = rebuild.make_enum, rebuild.fill_enum  # type: ignore[assignment]
            members: dict[str, Any] = dict(obj.__members__)
            arguments[3] = names
            arguments.append([(name, member._value_) for name, member in members.items()])
            state, others = reductions.enum_state(own, members), {}
        arguments.append(self._place(obj))
        with self._by_value(obj.__module__):
            self.save_reduce(make, tuple(arguments), state, None, None, fill, obj=obj)
            for name, value in others.items():
                if name not in state:
                    known_as = f"{obj.__qualname__}.{name}"
                    self._bring(known_as, rebuild.set_attribute, obj, name, value)
            if isinstance(obj, abc.ABCMeta):
                for other in reductions.registered(obj):
                    self._bring(f"a subclass of {obj.__qualname__}", rebuild.register, obj, other)
            self._call(rebuild.announce, obj)


Pickler.dispatch.update(
    {
        FunctionType: Pickler.save_function,
        CellType: Pickler.save_cell,
        type: Pickler.save_class,
        # dill's compares every dictionary with that of ``__main__``.
        dict: pickle._Pickler.save_dict,  # type: ignore[attr-defined]
    }
)
