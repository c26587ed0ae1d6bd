"""The byte code of what every launcher imports, in one file of the image.

Where an image is mounted through FUSE, each module that is imported costs seven requests to another
process, and a launcher imports some 250: more than all that their code does. ``python -I -m
joblauncher.code_archive`` collects their code while an image is built; a launcher that finds the
archive beside this module takes it from there. A module whose file is no longer the one that was
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
#: Bytes of an index, and most that one has.
_LENGTH, _MOST = struct.Struct(">Q"), 1 << 20
#: Of a compiled file, before the code (PEP 552).
_PYC_HEADER = 16
#: A module: its file, whether it is a package, the file's time of modification and size, and where
#: its code is in the archive; an extension module has none there.
_Entry = tuple[str, bool, int, int, int, int]


def use(archive: Path = ARCHIVE) -> None:
    """Import from an archive, if there is one and it is of this interpreter."""
    try:
        descriptor = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        (size,) = _LENGTH.unpack(os.pread(descriptor, _LENGTH.size, 0))
        kind, entries = marshal.loads(os.pread(descriptor, min(size, _MOST), _LENGTH.size))
    except (struct.error, ValueError, EOFError, TypeError):
        kind = None
    if kind == _kind():
        # Before the finder of files, which is the last one, but after those of built-in modules.
        place = sys.meta_path.index(PathFinder)
        sys.meta_path.insert(place, _Finder(entries, descriptor, _LENGTH.size + size))
    else:
        os.close(descriptor)


def _kind() -> list[Any]:
    """Of the interpreter: what it can run, and where it looks for modules."""
    return [MAGIC_NUMBER, sys.implementation.cache_tag, sys.flags.optimize, *sys.path]


class _Finder:
    """Finds modules of an archive (:class:`importlib.abc.MetaPathFinder`).

    Args:
        entries: by the names of modules.
        descriptor: of the archive.
        start: of the code in it.
    """

    def __init__(self, entries: Mapping[str, _Entry], descriptor: int, start: int) -> None:
        self._entries, self._descriptor, self._start = entries, descriptor, start

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
            loader=_Loader(name, file, self, place, length),
            submodule_search_locations=[os.path.dirname(file)] if is_package else None,
        )

    def read(self, place: int, length: int) -> bytes:
        """Code of a module."""
        return os.pread(self._descriptor, length, self._start + place)


class _Loader(SourceFileLoader):
    """Loads a module whose code is in an archive; all else of it is in its file."""

    def __init__(self, name: str, file: str, finder: _Finder, place: int, length: int) -> None:
        super().__init__(name, file)
        self._finder, self._place, self._length = finder, place, length

    def get_code(self, _name: str) -> CodeType | None:
        """As it was collected."""
        found = marshal.loads(self._finder.read(self._place, self._length))
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
        modules: in the order in which a launcher imports them, so that they are read in one go.
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


def main() -> None:
    """Collect what a launcher imports, whatever its process is."""
    from joblauncher import lean, preload

    lean.load()
    preload.load(preload.BASE, (), lambda _name: None)
    write(list(sys.modules.values()))


if __name__ == "__main__":
    main()
