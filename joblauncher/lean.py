"""Import PyWPS without the libraries that most jobs never use.

Importing PyWPS also imports an HTTP client (``requests``), a library for templates (``jinja2``),
requests and answers of a web server (``werkzeug``) and more, which together take longer than PyWPS
itself. While PyWPS is imported here, stand-ins take their places: the module of PyWPS keeps the
stand-in, which imports the library when PyWPS first uses it. Afterwards :data:`sys.modules` has no
stand-in, so whatever a process imports is the library itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib.abc import Loader
from types import ModuleType
from typing import Any

from joblauncher import nodatabase

#: Modules that are stood in for, each with those of its functions that are imported by name. Others
#: of its names can be had as well, but to import one of them by name imports the library.
_LATE: dict[str, tuple[str, ...]] = {
    "requests": (),
    "humanize": (),
    "dateutil.parser": ("parse",),
    "urllib.request": ("urlopen", "parse_http_list"),
    "jinja2": ("PackageLoader",),
    "werkzeug.http": ("parse_accept_header",),
    "werkzeug.datastructures": (),
    "werkzeug.wrappers": (),
}
#: The classes of these modules that PyWPS imports by name, each with the decorators among its
#: methods that are used while PyWPS is imported.
_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "jinja2": {"Environment": ()},
    "werkzeug.datastructures": {"MIMEAccept": ()},
    "werkzeug.wrappers": {"Request": ("application",), "Response": ()},
}
#: Imported of a package as one submodule at a time; its own code imports all of them.
_PACKAGE = "werkzeug"
#: What every job needs of PyWPS, and what of ours brings it.
_NEEDED = (
    "joblauncher.inputs.large_values",
    "joblauncher.inputs.literals",
    "joblauncher.inputs.references",
    "joblauncher.service",
    "joblauncher.shared.response",
    "pywps.response.execute",
    "pywps.response.status",
)


class _StandIn(ModuleType):
    def __init__(self, name: str, functions: tuple[str, ...]) -> None:
        super().__init__(name)
        self.__dict__.update({function: _late(name, function) for function in functions})
        for known, decorators in _CLASSES.get(name, {}).items():
            self.__dict__[known] = _LateClass.standing_for(name, known, decorators)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks at what it finds
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _late(module: str, name: str) -> Any:
    """A function that is imported when it is called."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        return getattr(_real(module), name)(*arguments, **keywords)

    return call


class _LateClass(type):
    """A class that is imported when an object of it, or of a subclass, is made."""

    @classmethod
    def standing_for(cls, module: str, name: str, decorators: tuple[str, ...]) -> _LateClass:
        """What stands for the class of this name in a module."""

        def find() -> Any:
            return getattr(_real(module), name)

        held = {one: staticmethod(_late_decorator(find, one)) for one in decorators}
        return cls(name, (), {"__module__": module, "_find": staticmethod(find), **held})

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        if "_find" in vars(cls):
            return cls._real()(*arguments, **keywords)
        bases = (base._real() if isinstance(base, _LateClass) else base for base in cls.__bases__)
        cls.__bases__ = tuple(bases)
        return super().__call__(*arguments, **keywords)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._real(), name)

    def __instancecheck__(cls, thing: object) -> bool:
        if "_find" in vars(cls):
            return isinstance(thing, cls._real())
        return super().__instancecheck__(thing)

    def _real(cls) -> Any:
        return vars(cls)["_find"]() if "_find" in vars(cls) else cls


def _late_decorator(find: Callable[[], Any], name: str) -> Callable[[Any], Any]:
    """A method of a class that decorates functions: it does so when one is called."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            return getattr(find(), name)(function)(*arguments, **keywords)

        return call

    return decorate


def _real(name: str) -> ModuleType:
    if isinstance(sys.modules.get(name), _StandIn):
        del sys.modules[name]
    return importlib.import_module(name)


def load() -> None:
    """Import what every job needs of PyWPS; to be called before the first other import of PyWPS."""
    with _stand_ins():
        nodatabase.install()
        for name in _NEEDED:
            importlib.import_module(name)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """What is imported meanwhile finds stand-ins; libraries that have been imported before are used
    as they are."""
    placed = {
        name: _StandIn(name, functions)
        for name, functions in _LATE.items()
        if name not in sys.modules
    }
    sys.modules.update(placed)
    if _PACKAGE not in sys.modules:
        _BarePackage.place(_PACKAGE)
    try:
        yield
    finally:
        for name, stand_in in placed.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


class _BarePackage:
    """A package whose own code has not run: it does when a name is asked for that is none of its
    submodules."""

    def __init__(self, module: ModuleType, loader: Loader) -> None:
        self._module, self._loader = module, loader

    @classmethod
    def place(cls, name: str) -> None:
        """Have submodules of this package imported without it, if there is one of this name."""
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return
        module = importlib.util.module_from_spec(spec)
        package = cls(module, spec.loader)
        module.__dict__["__getattr__"] = package.find
        sys.modules[name] = module

    def find(self, name: str) -> Any:
        """One of its names (PEP 562)."""
        held, own = vars(self._module), self.find
        submodule = f"{self._module.__name__}.{name}"
        if not name.startswith("__") and importlib.util.find_spec(submodule):
            return importlib.import_module(submodule)
        if held.get("__getattr__") == own:
            self._loader.exec_module(self._module)  # may have such a function itself
            if held.get("__getattr__") == own:
                held.pop("__getattr__")
        return getattr(self._module, name)
