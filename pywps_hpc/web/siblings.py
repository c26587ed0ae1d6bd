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
from typing import Any

from pywps import Service

from joblauncher import modules, payload

LOGGER = logging.getLogger(__name__)

#: Bytes of all processes together before they are packed, which makes about a tenth of them. Those
#: beyond are known by their identifiers, and loaded from the service's module if it can be had.
MOST = 1 << 20

#: service → its processes, and what :func:`pack` made of them.
_packed: weakref.WeakKeyDictionary[Any, tuple[list[tuple[str, Any]], bytes]] = (
    weakref.WeakKeyDictionary()
)


def is_same(service: Any, thing: Any) -> bool:
    """Whether a thing is this service, wrapped or as it was before."""
    return issubclass(type(thing), Service) and vars(thing) is vars(service)


def pack(service: Any) -> bytes:
    """The service for :func:`joblauncher.service.fill`."""
    processes = list(service.processes.items())
    known = _packed.get(service)
    if known is None or not _are_same(known[0], processes):
        known = _packed[service] = processes, _pack(service, processes)
    return known[1]


def _are_same(known: list[tuple[str, Any]], now: list[tuple[str, Any]]) -> bool:
    return len(known) == len(now) and all(
        name == new and process is current
        for (name, process), (new, current) in zip(known, now, strict=True)
    )


def _pack(service: Any, processes: list[tuple[str, Any]]) -> bytes:
    holdings = modules.Holdings()
    kinds = type(service).__mro__
    own = [kind for kind in kinds if kind.__module__.startswith("pywps_hpc.")]
    names = {"processes"}.union(*(getattr(kind, "__annotations__", {}) for kind in own))

    def dump(thing: Any) -> bytes | None:
        try:
            return payload.dump(thing, lambda other: is_same(service, other), holdings)
        except payload.PayloadError as error:
            LOGGER.debug("not part of the service as its jobs see it: %r: %s", thing, error)
            return None

    packed: dict[str, bytes | None] = {}
    room = MOST
    for identifier, process in processes:
        data = dump(process) if room > 0 else None
        room -= len(data or b"")
        packed[identifier] = data if room > 0 else None
    attributes = {name: dump(value) for name, value in vars(service).items() if name not in names}
    facts = {
        "held": next(_holders(service), None),
        "class": dump(next(kind for kind in kinds if kind not in own)),
        "attributes": {name: data for name, data in attributes.items() if data is not None},
        "processes": packed,
    }
    return zlib.compress(pickle.dumps(facts), 9)


def _holders(service: Any) -> Iterator[tuple[str, str]]:
    """Importable modules that have the service in a global."""
    for module in list(sys.modules.values()):
        held = getattr(module, "__dict__", {})
        for name, value in list(held.items()) if isinstance(held, dict) else ():
            if is_same(service, value) and modules.importable(held.get("__name__", "")):
                yield held["__name__"], name
