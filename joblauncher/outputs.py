"""Outputs as files: PyWPS's file storage, made to keep what a document of success says.

Every output gets a file of its own in the job's folder, at an address that leads there: a name is
percent-encoded (RFC 3986, section 2.1), two outputs of one name stay two, and a link is replaced by
what it leads to, since no link is ever served.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from joblauncher import lease
from joblauncher.shared import storage
from joblauncher.shared.files import open_beneath
from joblauncher.shared.jobdir import JobDir

#: Most bytes of a file's name (pathconf(3), NAME_MAX).
LONGEST = 255


class Outputs:
    """What a job has stored so far.

    Args:
        job: its folder.
    """

    def __init__(self, job: JobDir) -> None:
        self._job = job
        self._stored: dict[Path, str] = {}

    def store(self, file: str, folder: Path, extension: str, identifier: str, how: str) -> Path:
        """Bring a file to where it is served from.

        Args:
            file: that the process gave.
            folder: where it is to be.
            extension: of its format, for a file whose name has none.
            identifier: of the output.
            how: ``[server] storage_copy_function``: ``copy``, ``link`` (a hard link), or ``move``,
                which is a link too, since the working folder goes by itself at the end and a
                Metalink looks at its files once more. Only the job's own files are linked.

        Returns:
            The stored file.

        Raises:
            ProcessError: there is no such file.
            OSError: it cannot be stored.
            lease.Superseded: the job is not this launcher's any more.
        """
        from pywps.app.exceptions import ProcessError

        real = Path(os.path.realpath(file))
        if not real.is_file():
            raise ProcessError(f"output {identifier}: its file does not exist")
        if self._is_own(real):
            real.chmod(stat.S_IMODE(real.stat().st_mode) | stat.S_IRUSR)
        self._insist(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        name = Path(file).name
        target = _free(folder, name if PurePosixPath(name).suffix else name + extension)
        if not (how in ("link", "move") and self._is_own(real) and _link(real, target)):
            self._insist(lambda: self._copy(real, target))
        target.chmod(stat.S_IMODE(target.stat().st_mode) | stat.S_IRUSR)
        self._stored[target] = identifier
        return target

    def write(self, text: str, file: Path) -> None:
        """Leave a text where it is served from.

        Raises:
            OSError: it cannot be stored.
            lease.Superseded: the job is not this launcher's any more.
        """

        def write() -> None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

        self._insist(write)

    def _insist(self, store: Callable[[], None]) -> None:
        """Wait for room as long as the job may run; what it worked in holds the results."""

        def check_and_store() -> None:
            lease.check(self._job)
            store()

        storage.insist(self._job, check_and_store, storage.FOR_EVER, keep_work=True)

    def _copy(self, real: Path, target: Path) -> None:
        """Copy a file; the job's own needs no room of its own where there is none."""
        try:
            shutil.copyfile(real, target)
            shutil.copystat(real, target)
        except OSError as error:
            with suppress(OSError):
                target.unlink()
            if not (storage.trouble(error) and self._is_own(real) and _link(real, target)):
                raise

    def lost(self) -> str:
        """The first output whose file cannot be served any more, since the process removed it, took
        its rights, or put a link in its way; empty if there is none."""
        for file, identifier in self._stored.items():
            try:
                open_beneath(self._job.path, *file.relative_to(self._job.path).parts).close()
            except OSError:
                return identifier
        return ""

    def inside(self, destination: str) -> PurePosixPath:
        """Where a process's own file goes that it writes to the storage by name: into the folder
        that the service serves.

        Raises:
            ValueError: the name leads elsewhere.
        """
        place = PurePosixPath(destination)
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise ValueError("not a path inside the outputs folder")
        own = self._job.outputs.name
        return place if place.parts[0] == own else PurePosixPath(own, place)

    def _is_own(self, file: Path) -> bool:
        """Whether nobody else has a use for this file."""
        folders = (self._job.work, self._job.temporary)
        within = any(file.is_relative_to(os.path.realpath(folder)) for folder in folders)
        return within and file.stat().st_uid == os.geteuid()


def address(base: str, place: PurePosixPath) -> str:
    """The URL of a file.

    Args:
        base: URL of the folder.
        place: the file, from there; any bytes that a file system allows.
    """
    return "/".join(
        [base.rstrip("/"), *(quote(os.fsencode(part), safe="") for part in place.parts)]
    )


def install(job: JobDir) -> Outputs:
    """Let PyWPS in this interpreter store files as said above (``pywps.inout.storage.file``), and
    take a box from any sequence of numbers."""
    from pywps.inout.basic import BasicBoundingBox, IOHandler
    from pywps.inout.outputs import MetaFile
    from pywps.inout.storage import STORE_TYPE
    from pywps.inout.storage.file import FileStorage

    outputs = Outputs(job)

    def store(storage: Any, output: Any) -> tuple[int, str, str]:
        # A file behind a Metalink belongs to no output of the process.
        own = str(output.uuid) if output.uuid else f"{job.outputs.name}/{uuid.uuid4()}"
        extension = output.data_format.extension or ""
        identifier = str(output.identifier or "?")
        folder = Path(storage.target, own)
        file = outputs.store(output.file, folder, extension, identifier, storage.copy_function)
        return (
            STORE_TYPE.PATH,
            file.name,
            address(storage.output_url, PurePosixPath(own, file.name)),
        )

    def url(storage: Any, destination: Any) -> str:
        if isinstance(destination, IOHandler):
            destination = f"{destination.uuid}/{Path(destination.file).name}"
        return address(storage.output_url, outputs.inside(destination))

    def location(storage: Any, destination: str) -> str:
        return str(Path(storage.target, outputs.inside(destination)))

    def write(storage: Any, data: str, destination: str, data_format: Any = None) -> str:
        outputs.write(data, Path(location(storage, destination)))
        return url(storage, destination)

    def set_box(box: Any, value: Any) -> None:
        is_other = value is not None and not isinstance(value, list | str)
        corners.fset(box, [float(number) for number in value] if is_other else value)

    corners = BasicBoundingBox.data
    BasicBoundingBox.data = corners.setter(set_box)
    name = MetaFile.name.fget
    MetaFile.name = property(lambda file: unquote(name(file)), doc=MetaFile.name.__doc__)
    FileStorage._do_store = store
    FileStorage.url, FileStorage.location, FileStorage.write = url, location, write
    return outputs


def _link(file: Path, target: Path) -> bool:
    """Give a file another name; false on another file system, or one without hard links."""
    try:
        target.hardlink_to(file)
    except OSError:
        return False
    return True


def _free(folder: Path, name: str) -> Path:
    """A name in this folder that no file has yet: this one, or one that ends alike."""
    return next(file for file in _names(folder, name) if not os.path.lexists(file))


def _names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    first, suffix = os.fsencode(PurePosixPath(name).stem), os.fsencode(PurePosixPath(name).suffix)
    for number in count(1):
        end = f"_{number}".encode() + suffix
        yield folder / os.fsdecode(first[: LONGEST - len(end)] + end)
