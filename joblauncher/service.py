"""The service as a process sees it inside a job: its class, its attributes, its processes.

The running service stays on the web server. What stands here for it loads another process of the
service only when that is asked for, since it may need modules that this job has no use for.
"""

from __future__ import annotations

import logging
import pickle
import sys
import zlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from pywps import Service
from pywps.inout.storage import StorageAbstract

from joblauncher.shared import dump
from joblauncher.shared.by_name import rebuild

LOGGER = logging.getLogger("PYWPS")


def placeholder() -> Any:
    """A service of which nothing is known yet, for a dump to refer to."""
    made = object.__new__(Service)
    made.processes, made.preprocessors = {}, {}
    return made


def fill(empty: Any, packed: bytes) -> Any:
    """Make the service out of what was serialised.

    Args:
        empty: the placeholder, which becomes the service.
        packed: what :mod:`pywps_hpc.web.packed_service` wrote.

    Returns:
        The service that a module of the process holds, if it was imported with the process; else
        the one made here.
    """
    facts = pickle.loads(zlib.decompress(packed))
    module, name = facts["held"] or ("", "")
    held = getattr(sys.modules.get(module), name, None)
    if isinstance(held, Service):
        empty.__class__, empty.__dict__ = type(held), held.__dict__
        return held
    made = _load(facts["class"], empty, "the class")
    if made is not None:
        empty.__class__ = made
    for name, data in facts["attributes"].items():
        value = _load(data, empty, name)
        if value is not None:
            setattr(empty, name, value)
    empty.processes = Siblings(facts["processes"], empty, facts["held"])
    return empty


def _load(data: bytes, service: Any, what: str) -> Any:
    try:
        return dump.load(data, service)
    except dump.PayloadError as error:
        LOGGER.warning("this job runs without %s of the service: %s", what, error)
        return None


class Siblings(MutableMapping[str, Any]):
    """The processes of a service by identifier, each loaded at its first use.

    Args:
        packed: what each is made of; ``None`` if that was not serialised.
        service: whose they are.
        held: module and name of the service, where it can be had by import.
    """

    def __init__(
        self, packed: dict[str, bytes | None], service: Any, held: tuple[str, str] | None
    ) -> None:
        self._loaded: dict[str, Any] = dict(packed)
        self._service = service
        self._held = held

    def __getitem__(self, identifier: str) -> Any:
        """A process.

        Raises:
            KeyError: the service has none of this name.
            PayloadError: it cannot be loaded here.
        """
        found = self._loaded[identifier]
        if found is None and self._held is not None:
            found = rebuild.named(*self._held).processes[identifier]
        elif found is None:
            raise dump.PayloadError(f"the process {identifier!r} was not sent with this job")
        elif isinstance(found, bytes):
            found = dump.load(found, self._service)
        self._loaded[identifier] = found
        return found

    def __setitem__(self, identifier: str, process: Any) -> None:
        self._loaded[identifier] = process

    def __delitem__(self, identifier: str) -> None:
        del self._loaded[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


class StatusStore(StorageAbstract):  # type: ignore[misc]
    """Where a process is told that its status document is.

    Args:
        document: the file.
        address: where the service shows it.
    """

    def __init__(self, document: Path, address: str) -> None:
        self._document, self._address = document, address

    def url(self, _destination: Any) -> str:
        """Its address."""
        return self._address

    def location(self, _destination: Any) -> str:
        """Its path."""
        return str(self._document)

    def store(self, _output: Any) -> Any:
        """Outputs have a storage of their own."""
        raise NotImplementedError

    def write(self, _data: Any, _destination: Any, data_format: Any = None) -> str:
        """Nothing: the launcher writes the document."""
        return self._address
