"""Import PyWPS without the libraries that most jobs never use.

Importing PyWPS also imports an HTTP client (``requests``), a development server
(``werkzeug.serving``) and more, which together take longer than PyWPS itself. While PyWPS is
imported here, stand-ins take their places: the module of PyWPS keeps the stand-in, which imports
the library when PyWPS first uses it. Afterwards :data:`sys.modules` has no stand-in, so whatever a
process imports is the library itself.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
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

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks at what it finds
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _late(module: str, name: str) -> Any:
    """A function that is imported when it is called."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        return getattr(_real(module), name)(*arguments, **keywords)

    return call


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
    bare = _BarePackage.place(_PACKAGE) if _PACKAGE not in sys.modules else None
    try:
        yield
    finally:
        for name, stand_in in placed.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
        if bare is not None:
            bare.is_open = False


class _BarePackage:
    """A package whose own code has not run: it does when one of its own names is asked for, or, in
    the end, any name that it does not have."""

    def __init__(self, module: ModuleType, loader: Loader) -> None:
        self._module, self._loader = module, loader
        self.is_open = True

    @classmethod
    def place(cls, name: str) -> _BarePackage | None:
        """Have submodules of this package imported without it; ``None`` if there is no such."""
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        module = importlib.util.module_from_spec(spec)
        package = cls(module, spec.loader)
        module.__dict__["__getattr__"] = package.find
        sys.modules[name] = module
        return package

    def find(self, name: str) -> Any:
        """One of its names (PEP 562)."""
        held, own = vars(self._module), self.find
        if self.is_open and importlib.util.find_spec(f"{self._module.__name__}.{name}"):
            raise AttributeError(name)  # the import system goes on to import the submodule
        if held.get("__getattr__") == own:
            self._loader.exec_module(self._module)  # may have such a function itself
            if held.get("__getattr__") == own:
                held.pop("__getattr__")
        return getattr(self._module, name)
