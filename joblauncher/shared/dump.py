"""The dump file: a plain-text header, then process and request as dill wrote them.

The header can be read with ``head -2`` and without running anything; all that is plain data is in
it. The file's SHA-256 reaches the node by another way (inside the batch script, which the batch
system keeps itself), so bytes that this service did not write for this job are never unpickled.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import pickle
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from joblauncher.shared.by_name.modules import Holdings
from joblauncher.shared.checksum import sha256
from joblauncher.shared.files import open_plain

LOGGER = logging.getLogger(__name__)

MAGIC = b"pywps-hpc job 1\n"


class PayloadError(Exception):
    """The dump cannot be used; the message is for the user and names no path."""


@dataclass(frozen=True)
class Header:
    """What must fit before anything is loaded.

    Attributes:
        job: the job id.
        process: the process identifier.
        python, dill, pywps: versions of the service that wrote the dump.
        sync: whether the client waits for the answer on its connection.
        status_url: where the service shows the status document.
        http: the request as it came in, credentials taken out: ``method``, ``path``, ``base_url``,
            ``query``, ``headers`` (pairs), ``remote_addr``.
        config: the service's effective PyWPS configuration without secrets, by section.
        bounds: of inputs by reference, see :class:`joblauncher.inputs.policy.Bounds`.
        max_output_size: bytes that the outputs may have together; 0 means no limit.
        prepared: what the server left in its working folder, see
            :mod:`joblauncher.inputs.prepared`.
        values: large values of the request, see :mod:`joblauncher.inputs.large_values`.
    """

    job: str
    process: str
    python: str
    dill: str
    pywps: str
    sync: bool = False
    status_url: str = ""
    http: dict[str, Any] = field(default_factory=dict)
    config: dict[str, dict[str, str]] = field(default_factory=dict)
    bounds: dict[str, Any] = field(default_factory=dict)
    max_output_size: int = 0
    prepared: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


@functools.cache
def versions() -> dict[str, str]:
    """The versions that a dump depends on, of this interpreter."""
    return {
        "python": sys.version.split()[0],
        "dill": _installed("dill"),
        "pywps": _installed("pywps"),
    }


def _installed(distribution: str) -> str:
    """The version of a distribution: from the name of its folder (PEP 376), since importing
    :mod:`importlib.metadata` takes longer than all else that happens here.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    name = re.compile(rf"{distribution}-([^-]+)\.dist-info", re.IGNORECASE)
    for folder in sys.path:
        with contextlib.suppress(OSError):
            found = [match[1] for match in map(name.fullmatch, os.listdir(folder or ".")) if match]
            if len(found) == 1:
                return found[0]
            if found:
                break
    from importlib.metadata import version

    return version(distribution)


def pack(header: Header, content: Any, is_live: Callable[[Any], bool] = lambda _: False) -> bytes:
    """The bytes of a dump file.

    Args:
        header: what is read before anything is loaded.
        content: the process and its request.
        is_live: tells the running service, which stays here: the job has one of its own.

    Raises:
        PayloadError: something in the content cannot be serialised; the message says what.
    """
    return (
        MAGIC + json.dumps(vars(header), sort_keys=True).encode() + b"\n" + dump(content, is_live)
    )


def dump(
    content: Any,
    is_live: Callable[[Any], bool] = lambda _: False,
    holdings: Holdings | None = None,
) -> bytes:
    """One object as :func:`load` reads it.

    Args:
        content: the object.
        is_live: as for :func:`pack`.
        holdings: what modules hold, for dumps one after another.

    Raises:
        PayloadError: something in it cannot be serialised; the message says what.
    """
    from joblauncher.shared.by_name import quick
    from joblauncher.shared.by_name.pickling import Pickler

    body = io.BytesIO()
    # Whatever stops the quick one is told by the other one, if it stops that too.
    with contextlib.suppress(Exception):
        quick.Pickler(body, is_live).dump(content)
        return body.getvalue()
    body = io.BytesIO()
    pickler = Pickler(body, is_live, holdings or Holdings())
    try:
        pickler.dump(content)
    except Exception as error:  # pickling runs foreign code, which may raise anything
        raise PayloadError(f"the process cannot be serialised: {error}") from error
    for name, reason in pickler.left_out.items():
        LOGGER.warning("%r cannot be serialised, the job runs without it: %s", name, reason)
    return body.getvalue()


def digest(data: bytes) -> str:
    """SHA-256 (FIPS 180-4), hexadecimal."""
    return sha256(data).hexdigest()


def read(path: Path, expected_digest: str) -> bytes:
    """Read a dump file once and make sure that it is the one the service wrote.

    Raises:
        PayloadError: missing, not a regular file of this account, writable by others, or changed.
    """
    try:
        file = open_plain(path)
    except OSError as error:
        raise PayloadError(f"the job's dump cannot be read: {error.strerror}") from None
    with file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid():
            raise PayloadError("the job's dump belongs to another account")
        if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PayloadError("the job's dump can be changed by others")
        data = file.read()
    if digest(data) != expected_digest:  # no secret: the batch script shows it
        raise PayloadError("the job's dump is not the one that the service wrote")
    return data


def unpack_header(data: bytes) -> tuple[Header, bytes]:
    """Split a dump into its header and the bytes for dill.

    Raises:
        PayloadError: not a dump of this format.
    """
    if not data.startswith(MAGIC):
        raise PayloadError("the job's dump has a format that this launcher does not support")
    line, _, body = data[len(MAGIC) :].partition(b"\n")
    try:
        return Header(**json.loads(line)), body
    except (ValueError, TypeError):
        raise PayloadError("the job's dump has a damaged header") from None


def check(header: Header, job_id: str) -> None:
    """Refuse a dump that is another job's, or that this interpreter cannot load.

    Code objects that dill wrote under one Python crash another one, so the versions must agree up
    to the minor number.

    Raises:
        PayloadError: naming both versions and what to do.
    """
    if header.job != job_id:
        raise PayloadError("the job's dump was written for another job")
    for name, reads in versions().items():
        wrote = getattr(header, name)
        if wrote.split(".")[:2] != reads.split(".")[:2]:
            raise PayloadError(
                f"environment mismatch: the service runs {name} {wrote}, the compute environment "
                f"has {name} {reads}; the image must be built with the service's versions"
            )


class _Unpickler(pickle.Unpickler):
    """As dill's, which is only imported for what needs it: that takes as long as all else here.

    Args:
        file: to read from.
        service: what stands here for the service that wrote it.
    """

    def __init__(self, file: BinaryIO, service: Any) -> None:
        super().__init__(file)
        self._service = service

    def persistent_load(self, _name: str) -> Any:
        """The only object that is not in a dump."""
        return self._service

    def find_class(self, module: str, name: str) -> Any:
        """A global; two are names of dill's own."""
        if (module, name) == ("__builtin__", "__main__"):
            return vars(sys.modules["__main__"])
        if (module, name) == ("__builtin__", "NoneType"):
            return type(None)
        return super().find_class(module, name)


def load(body: bytes, service: Any = None) -> Any:
    """Unpickle what :func:`pack` wrote.

    Args:
        body: the bytes after the header.
        service: what stands here for the service that wrote them.

    Raises:
        PayloadError: naming the module that is missing here, or what else went wrong.
    """
    try:
        return _Unpickler(io.BytesIO(body), service).load()
    except ModuleNotFoundError as error:
        raise PayloadError(
            f"the compute environment lacks the Python module {error.name!r} of this process"
        ) from error
    except AttributeError as error:
        missing = re.search(r"Can't get attribute '([\w.]+)' on <module '([\w.]+)'", str(error))
        if missing is None:
            raise PayloadError("the process could not be loaded: AttributeError") from error
        name, module = missing.groups()
        raise PayloadError(
            f"the module {module!r} in the compute environment has no {name!r}: the job was "
            "accepted with another version of it"
        ) from error
    except Exception as error:  # its text may name paths of this host; the job's log has it
        kind = type(error).__name__
        raise PayloadError(f"the process could not be loaded: {kind}") from error
