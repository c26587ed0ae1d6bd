"""What a job is told of its service: class, attributes, and the service's other processes.

Made once for each set of processes, since it is the same for every job.
"""

from __future__ import annotations

import logging
import pickle
import sys
import weakref
import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pywps import Service

from joblauncher.shared import dump
from joblauncher.shared.by_name import modules

LOGGER = logging.getLogger(__name__)

#: Bytes of all processes together before they are packed, which makes about a tenth of them. Those
#: beyond are known by their identifiers, and loaded from the service's module if it can be had.
MOST = 1 << 20


def is_same(service: Any, thing: Any) -> bool:
    """Whether a thing is this service, wrapped or as it was before."""
    return issubclass(type(thing), Service) and vars(thing) is vars(service)


def pack(service: Any, process: Any) -> bytes:
    """The service for :func:`joblauncher.service.fill`.

    Args:
        service: as it runs here.
        process: of the job. Where a module of the same package holds the service, the node has
            that module too, and the other processes need not be sent.
    """
    processes = list(service.processes.items())
    known = _known.get(service)
    if known is None or not known.is_of(processes):
        known = _known[service] = _Packed(service, processes)
    package = _package(type(process).__module__)
    return known.short if known.held and _package(known.held[0]) == package else known.whole


def _package(module: str) -> str:
    return module.partition(".")[0]


class _Packed:
    """What is sent of a service that has these processes."""

    def __init__(self, service: Any, processes: list[tuple[str, Any]]) -> None:
        self._processes = processes
        self._service = weakref.ref(service)
        self.held = next(_holders(service), None)
        kinds = type(service).__mro__
        own = [kind for kind in kinds if kind.__module__.startswith("pywps_hpc.")]
        names = {"processes"}.union(*(getattr(kind, "__annotations__", {}) for kind in own))
        state = {name: value for name, value in vars(service).items() if name not in names}
        holdings = modules.Holdings()
        attributes = {name: self._dump(value, holdings) for name, value in state.items()}
        self._facts = {
            "held": self.held,
            "class": self._dump(next(kind for kind in kinds if kind not in own), holdings),
            "attributes": {name: data for name, data in attributes.items() if data is not None},
        }

    def is_of(self, processes: list[tuple[str, Any]]) -> bool:
        """Whether these are still the service's processes."""
        return len(self._processes) == len(processes) and all(
            name == other_name and process is other
            for (name, process), (other_name, other) in zip(self._processes, processes, strict=True)
        )

    @cached_property
    def short(self) -> bytes:
        """With the identifiers of its processes."""
        return self._pack(dict.fromkeys(name for name, _ in self._processes))

    @cached_property
    def whole(self) -> bytes:
        """With its processes, as far as they can be serialised and there is room."""
        packed: dict[str, bytes | None] = {}
        room, holdings = MOST, modules.Holdings()
        for identifier, process in self._processes:
            data = self._dump(process, holdings) if room > 0 else None
            room -= len(data or b"")
            packed[identifier] = data if room > 0 else None
        return self._pack(packed)

    def _pack(self, processes: dict[str, bytes | None]) -> bytes:
        return zlib.compress(pickle.dumps(self._facts | {"processes": processes}), 9)

    def _dump(self, thing: Any, holdings: modules.Holdings) -> bytes | None:
        service = self._service()
        try:
            return dump.dump(thing, lambda other: is_same(service, other), holdings)
        except dump.PayloadError as error:
            LOGGER.debug(
                "%r of the service cannot be serialised, jobs run without it: %s", thing, error
            )
            return None


_known: weakref.WeakKeyDictionary[Any, _Packed] = weakref.WeakKeyDictionary()


def _holders(service: Any) -> Iterator[tuple[str, str]]:
    """Importable modules that have the service in a global."""
    for module in list(sys.modules.values()):
        held = getattr(module, "__dict__", {})
        for name, value in list(held.items()) if isinstance(held, dict) else ():
            if is_same(service, value) and modules.importable(str(held.get("__name__"))):
                yield held["__name__"], name
