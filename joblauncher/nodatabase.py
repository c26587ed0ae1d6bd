"""A stand-in for ``pywps.dblog`` on the compute node.

PyWPS imports its request database wherever it is imported, which costs a third of the import time,
and its :meth:`Process.launch_next_process` takes the next stored request out of it. A node has no
database: the functions that PyWPS itself calls do nothing here; anything else that a process may
ask of the module comes from the real one.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any

_NAME = "pywps.dblog"


class _NoDatabase(ModuleType):
    def log_request(self, uuid: Any, request: Any) -> None:
        """Nothing to record."""

    def store_status(self, *args: Any, **kwargs: Any) -> None:
        """The status document carries the status."""

    def update_pid(self, uuid: Any, pid: int) -> None:
        """The process id means nothing to another host."""

    def pop_first_stored(self) -> None:
        """The scheduler is the queue: nothing waits here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        spec = _real_spec()
        module = importlib.util.module_from_spec(spec)
        assert spec.loader is not None
        spec.loader.exec_module(module)
        self.__dict__.update({k: v for k, v in vars(module).items() if k not in dir(type(self))})
        return getattr(module, name)


def _real_spec() -> importlib.machinery.ModuleSpec:
    import pywps

    spec = importlib.machinery.PathFinder.find_spec(_NAME, list(pywps.__path__))
    assert spec is not None
    return spec


def install() -> None:
    """Take the place of ``pywps.dblog``; to be called before the first import of PyWPS."""
    stand_in = sys.modules.setdefault(_NAME, _NoDatabase(_NAME))
    import pywps

    pywps.dblog = stand_in  # as the import of a submodule does
