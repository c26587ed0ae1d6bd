"""Compile caches of libraries: read by jobs, and written by none that another one reads.

numba compiles functions when a module is imported, matplotlib looks through all fonts, and both
keep what came of it below the home folder, which is each job's own and empty. A cache that several
jobs write would let one job choose what another one runs. So each job gets files of its own: links
to those of a kept cache, which no job can write, and copies where the library writes in place.

A kept cache stands beside an interpreter: in an image it is filled when that is built
(``python -I -m joblauncher.caches MODULE ...``), and a nursery keeps one of its own
(:mod:`joblauncher.nursery`). Whether an entry still fits, the libraries tell by themselves: by
source file, version, and processor.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

#: Below the interpreter's prefix.
KEPT = "compile-caches"
#: Where libraries look, below the home folder.
CACHE = ".cache"
#: Has numba look there; it would rather write beside the source file.
VARIABLE = "NUMBA_CACHE_DIR"
#: Files of a kept cache that are looked at.
MOST = 5_000

#: Library -> how its files come to a job. numba replaces files and writes into none; matplotlib
#: opens them for writing.
_SHOWN: dict[str, Callable[[Path, Path], object]] = {
    "numba": lambda kept, own: own.symlink_to(kept),
    "matplotlib": shutil.copyfile,
}


def kept_of_interpreter() -> Path:
    """The kept cache of this interpreter; there may be none."""
    return Path(sys.prefix, KEPT)


def use(home: Path, kept: Path, seen_as: Path | None = None) -> None:
    """Let libraries find in a home folder what is kept.

    Args:
        home: the folder.
        kept: the cache.
        seen_as: under which path this interpreter has the home folder; default: the same.
    """
    own = str(Path(seen_as or home, CACHE, "numba"))
    is_set = os.environ.setdefault(VARIABLE, own) != own  # by the administrator
    for library, show in _SHOWN.items():
        for file in () if is_set and library == "numba" else _files(kept / library):
            shown = home / CACHE / library / file.relative_to(kept / library)
            with contextlib.suppress(OSError):  # a job can do without
                shown.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                show(file, shown)


def keep(home: Path, kept: Path) -> None:
    """Add to a kept cache what has been made in a home folder; each file appears whole.

    Raises:
        OSError: it cannot be written.
    """
    for library in _SHOWN:
        for file in _files(home / CACHE / library):
            target = kept / library / file.relative_to(home / CACHE / library)
            if not file.is_symlink():
                target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                fresh = target.with_name(f".{target.name}.{os.getpid()}")
                shutil.copyfile(file, fresh)
                fresh.chmod(0o444)
                fresh.replace(target)


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            count += 1
            if count > MOST:
                return
            if not name.startswith("."):
                yield Path(place, name)


def fill(modules: Sequence[str]) -> None:
    """Import modules, and keep what that compiled beside this interpreter.

    Raises:
        ImportError: there is no such module.
    """
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, TMPDIR=home)
        os.environ.pop("MPLCONFIGDIR", None)
        os.environ.pop(VARIABLE, None)
        use(Path(home), kept_of_interpreter())
        for name in modules:
            importlib.import_module(name)
        with contextlib.suppress(ImportError):
            importlib.import_module("matplotlib.font_manager")
        keep(Path(home), kept_of_interpreter())


if __name__ == "__main__":
    fill(sys.argv[1:])
