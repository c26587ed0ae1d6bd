"""The byte code of what every launcher imports, in one file of the image.

Where an image is mounted through FUSE, each module that is imported costs seven requests to another
process, and a launcher imports some 250: more than all that their code does. The archive beside
this module is made by :mod:`joblauncher.collect`. A module whose file is no longer the one that was
collected, by size and time of modification, is imported as if there were no archive, and all are if
the interpreter, or where it looks for modules, is another one.
"""

from __future__ import annotations

import marshal
import os
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

#: Where the archive is, if there is one.
ARCHIVE = Path(__file__).with_name("code.archive")
#: Bytes of an index.
_LENGTH = struct.Struct(">Q")
#: Of a compiled file, before the code (PEP 552).
_PYC_HEADER = 16
#: A module: its file, whether it is a package, the file's time of modification and size, and where
#: its code is in the archive; an extension module has none there.
_Entry = tuple[str, bool, int, int, int, int]


def use(archive: Path = ARCHIVE) -> None:
    """Import from an archive until :func:`leave`, if there is one and it is of this interpreter."""
    try:
        content = memoryview(archive.read_bytes())
    except OSError:
        return
    try:
        (size,) = _LENGTH.unpack(content[: _LENGTH.size])
        kind, entries = marshal.loads(content[_LENGTH.size : _LENGTH.size + size])
    except (struct.error, ValueError, EOFError, TypeError):
        return
    if kind == _kind():
        # Before the finder of files, which is the last one, but after those of built-in modules.
        place = sys.meta_path.index(PathFinder)
        sys.meta_path.insert(place, _Finder(entries, content[_LENGTH.size + size :]))


def leave() -> None:
    """Import as ever from now on, and give the memory back."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]


def _kind() -> list[Any]:
    """Of the interpreter: what it can run, and where it looks for modules."""
    return [MAGIC_NUMBER, sys.implementation.cache_tag, sys.flags.optimize, *sys.path]


class _Finder:
    """Finds modules of an archive (:class:`importlib.abc.MetaPathFinder`).

    Args:
        entries: by the names of modules.
        code: of all of them.
    """

    def __init__(self, entries: Mapping[str, _Entry], code: memoryview) -> None:
        self._entries, self._code = entries, code

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What to import; ``None`` if that is not in the archive, or not as it is on disk."""
        entry = self._entries.get(name)
        if entry is None or entry[2:4] != _stamp(entry[0]):
            return None
        file, is_package, _, _, place, length = entry
        if not length:
            return spec_from_file_location(name, file)
        return spec_from_file_location(
            name,
            file,
            loader=_Loader(name, file, self._code[place : place + length]),
            submodule_search_locations=[os.path.dirname(file)] if is_package else None,
        )


class _Loader(SourceFileLoader):
    """Loads a module whose code is in an archive; all else of it is in its file."""

    def __init__(self, name: str, file: str, code: memoryview) -> None:
        super().__init__(name, file)
        self._code: memoryview | None = code

    def get_code(self, name: str) -> CodeType | None:
        """As it was collected; once, since a module that is loaded again may have changed."""
        if self._code is None:
            return super().get_code(name)
        found, self._code = marshal.loads(self._code), None
        return found if isinstance(found, CodeType) else None


def _stamp(file: str) -> tuple[int, int] | None:
    """Time of modification in seconds, and size; ``None`` if there is no such file."""
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return int(facts.st_mtime), facts.st_size


def write(modules: Iterable[ModuleType], archive: Path = ARCHIVE) -> int:
    """Collect the code of modules, as far as it is compiled and on disk.

    Args:
        modules: no more than every launcher imports, since an archive is read as a whole.
        archive: the file, which is replaced.

    Returns:
        How many there are in it.
    """
    entries: dict[str, _Entry] = {}
    code = bytearray()
    for module in modules:
        spec = getattr(module, "__spec__", None)
        if spec is None or not spec.has_location or (stamp := _stamp(spec.origin)) is None:
            continue
        content = b""
        if not spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
            if type(spec.loader) is not SourceFileLoader or not Path(spec.cached).is_file():
                continue
            content = Path(spec.cached).read_bytes()[_PYC_HEADER:]
        is_package = spec.submodule_search_locations is not None
        entries[spec.name] = (spec.origin, is_package, *stamp, len(code), len(content))
        code += content
    index = marshal.dumps((_kind(), entries))
    archive.write_bytes(_LENGTH.pack(len(index)) + index + code)
    return len(entries)
