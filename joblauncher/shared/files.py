"""Write, read and remove files that others may be writing, reading or putting traps into meanwhile.

A job's folder is open to its process, which may leave anything in it under any name: links to files
elsewhere, pipes on which a reader waits for ever, files without end.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

#: Most bytes of a file that is read as a whole: a document with all its inline outputs.
MOST = 64 << 20
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def size_of(folder: Path, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Bytes in all files below a folder; what vanishes meanwhile does not count.

    Args:
        meanwhile: called now and then, since a large tree takes its time.
    """
    total = 0
    for place, _, names in os.walk(folder):
        meanwhile()
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def atomic_write(path: Path, content: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace a file as a whole: a reader sees the old or the new content, never less.

    The content is on disk before the name points to it. On a network file system a rename within
    one folder is atomic too (rename(2), NFS RFC 8881 section 18.26).

    Args:
        durable: whether it has to survive a power failure; if not, nobody waits for the disk, and
            the file may be empty or missing after one.

    Raises:
        OSError: the old file is untouched, no temporary file stays.
    """
    with staged({path: content}, mode, durable=durable) as replace:
        replace(path)


def write_new(path: Path, content: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write a file that nobody reads before this returns; its content and name are on disk then.

    Args:
        durable: as for :func:`atomic_write`.

    Raises:
        FileExistsError: there is something of this name.
        OSError: it cannot be written; a part of it may stay.
    """
    # A file object would take as long to make as the rest together.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fchmod(descriptor, mode)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_copy(source: str, path: Path, mode: int = 0o600) -> None:
    """As :func:`atomic_write`, with the content of another file, however large that is.

    Raises:
        OSError: as there.
    """
    with open(source, "rb") as content, staged({path: content}, mode) as replace:
        replace(path)


@contextmanager
def staged(
    files: Mapping[Path, bytes | BinaryIO], mode: int = 0o600, *, durable: bool = True
) -> Iterator[Callable[[Path], None]]:
    """As :func:`atomic_write`, several files: all are on disk before the first one is replaced.

    Args:
        files: their new content, or open files that have it.
        mode: of the files.
        durable: as there.

    Yields:
        What gives one of the files its new content, to be called for one after the other; what it
        is not called for stays as it is.

    Raises:
        OSError: nothing, or only the first files, are replaced; no temporary file stays.
    """
    ready: dict[Path, str] = {}
    try:
        for path, content in files.items():
            descriptor, ready[path] = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(descriptor, "wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    shutil.copyfileobj(content, file, 1 << 20)
                file.flush()
                os.fchmod(file.fileno(), mode)
                if durable:
                    os.fsync(file.fileno())

        def replace(path: Path) -> None:
            _put_in_place(ready[path], path)
            del ready[path]

        yield replace
    finally:
        for temporary in ready.values():
            with suppress(FileNotFoundError):  # somebody tidied up
                os.unlink(temporary)


def _put_in_place(temporary: str, path: Path) -> None:
    """Give a file its name; a folder that has it gives way, under a name of a temporary file."""
    try:
        os.replace(temporary, path)
    except IsADirectoryError:
        os.rename(path, f"{temporary}.folder")
        os.replace(temporary, path)


def has_entries(folder: Path) -> bool:
    """Whether there is anything in a folder, however much that is.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(folder) as entries:
        return next(entries, None) is not None


def make_usable(folder: Path) -> None:
    """Give ourselves the rights in a folder of our own that its user may have taken away.

    Raises:
        OSError: it is not there, or no folder.
    """
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    if facts.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(PermissionError):  # somebody else's
            _unlock(folder)


def open_plain(path: Path | str, folder: int | None = None) -> BinaryIO:
    """Open a file to read: a plain one, not what a link, a pipe or a device leads to.

    Args:
        path: the file; of a link in an earlier part of the path nothing is said.
        folder: descriptor of the folder that a relative path begins at.

    Raises:
        OSError: missing, or not a regular file.
    """
    # Opening a pipe would wait for a writer (open(2), O_NONBLOCK).
    descriptor = os.open(path, _PLAIN, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, most: int = MOST) -> bytes:
    """The content of a plain file.

    Raises:
        OSError: missing, not a regular file, or larger than ``most`` bytes.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= most else b""
    if size > most or len(content) > most:
        raise OSError(errno.EFBIG, "larger than such a file is allowed to be")
    return content


def open_beneath(root: Path, *parts: str) -> BinaryIO:
    """Open a plain file in or below a folder, through no link on the way.

    Each part is looked up in the folder that was opened before it (openat(2)), so that it does not
    help to put a link in its place meanwhile.

    Args:
        root: a folder that the process cannot replace.
        parts: names below it.

    Raises:
        OSError: there is no such file, a link on the way, or a file of another account (which a
            hard link can bring here).
    """
    if not parts or any(part in ("", ".", "..") or set(part) & {"/", "\0"} for part in parts):
        raise FileNotFoundError(errno.ENOENT, "not a path inside this folder")
    folder = os.open(root, _FOLDER)
    try:
        owner = os.fstat(folder).st_uid
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        file = open_plain(parts[-1], folder)
    finally:
        os.close(folder)
    if os.fstat(file.fileno()).st_uid != owner:
        file.close()
        raise PermissionError(errno.EACCES, "it belongs to another account")
    return file


def remove_tree(path: Path) -> None:
    """Remove a folder that a process filled: however deep it is, and whatever the rights in it.

    Unlike :func:`shutil.rmtree` this goes down without a call or an open file for each level.

    Raises:
        OSError: something cannot be removed; a folder that is not there is none.
    """
    try:
        make_usable(path)
        here = os.open(path, _FOLDER)
    except FileNotFoundError:
        return
    except NotADirectoryError:  # a file or a link in its place
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    try:
        # On the way down: which folder this is, and which of its folders are still there.
        way = [(_identity(here), _empty(here))]
        while True:
            if way[-1][1]:
                name = way[-1][1][-1]
                _unlock(name, here)
                here = _move(here, name)
                way.append((_identity(here), _empty(here)))
                continue
            way.pop()
            if not way:
                break
            here = _move(here, "..")
            if _identity(here) != way[-1][0]:
                raise OSError(errno.ESTALE, "it was moved in the meantime")
            os.rmdir(way[-1][1].pop(), dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(path)


def _identity(folder: int) -> tuple[int, int]:
    facts = os.fstat(folder)
    return facts.st_dev, facts.st_ino


def _move(folder: int, name: str) -> int:
    """Open a folder beside or below an open one, instead of that."""
    found = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return found


def _empty(folder: int) -> list[str]:
    """Remove all files of a folder; the names of its folders."""
    inner = []
    for name in os.listdir(folder):
        try:
            os.unlink(name, dir_fd=folder)
        except IsADirectoryError:
            inner.append(name)
        except FileNotFoundError:  # somebody else removes them, too
            pass
    return inner


def _unlock(name: str | Path, folder: int | None = None) -> None:
    """Give ourselves all rights in a folder, which may have none for anybody."""
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{found}", 0o700)
    finally:
        os.close(found)


def amount(size: float) -> str:
    """An amount of data for people: ``2 GB``.

    Args:
        size: bytes.
    """
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:g} {unit}"
        size = round(size / 1024, 1)
    return f"{size:g} GB"
