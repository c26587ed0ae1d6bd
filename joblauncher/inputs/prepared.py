"""What the web server prepared of a job's inputs: kept as it is, and copied for each start.

PyWPS puts inputs into the working folder while it reads a request: links to ``file://`` inputs, and
files with what was given inline. The server's own is :attr:`JobDir.prepared`, which no start of the
job touches: the batch system may start it again, and a process may change its inputs in place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from joblauncher.shared.dump import PayloadError
from joblauncher.shared.files import open_beneath
from joblauncher.shared.jobdir import JobDir

_FOLDER, _LINK, _FILE = "folder", "link ", "sha256 "


def record(job: JobDir) -> dict[str, str]:
    """What stands in the server's working folder, by relative path, a folder before what is in it:
    where each link leads, and the SHA-256 (FIPS 180-4) of each file.

    Raises:
        OSError: it cannot be read.
    """
    return {str(path.relative_to(job.prepared)): _fact(path) for path in _walk(job.prepared)}


def lay_out(job: JobDir, prepared: Mapping[str, str]) -> None:
    """Give this start of the job its own: links as links, files as copies.

    Args:
        job: its attempt's working folder is there.
        prepared: as :func:`record` gave it, from the dump.

    Raises:
        PayloadError: a file is not the one that the server prepared.
        OSError: it cannot be copied.
    """
    for name, fact in prepared.items():
        target = job.work / name
        if fact == _FOLDER:
            target.mkdir(mode=0o700)
        elif fact.startswith(_LINK):
            target.symlink_to(fact.removeprefix(_LINK))
        elif _copy(job, name, target) != fact:
            raise PayloadError("the job's inputs have changed since the service prepared them")


def use_own(job: JobDir, inputs: Mapping[str, Iterable[Any]]) -> None:
    """Let the inputs of a request lie, and make their files, in this start's working folder."""
    for item in (item for items in inputs.values() for item in items):
        item.workdir = str(job.work)
        file = getattr(item._iohandler, "_file", None)
        if file is not None and (path := Path(file)).is_relative_to(job.prepared):
            item._iohandler._file = str(job.work / path.relative_to(job.prepared))


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _fact(path: Path) -> str:
    if path.is_symlink():
        return _LINK + os.readlink(path)
    if path.is_dir():
        return _FOLDER
    import hashlib  # most jobs have no files

    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return _FILE + found.hexdigest()


def _copy(job: JobDir, name: str, target: Path) -> str:
    """Copy a file; what is said of the copy."""
    inside = (*job.prepared.relative_to(job.path).parts, *PurePosixPath(name).parts)
    with open_beneath(job.path, *inside) as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy)
    return _fact(target)
