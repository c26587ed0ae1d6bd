"""Launchers import from one file of the image, and nothing else than they would without it."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from pathlib import Path

import pytest

from joblauncher import code_archive

COLLECT = """
import sys
from pathlib import Path
from joblauncher import code_archive
before = set(sys.modules)
import held, held.inner, lxml.etree
print(code_archive.write([sys.modules[n] for n in sys.modules if n not in before], Path("archive")))
"""
USE = """
from pathlib import Path
from joblauncher import code_archive
code_archive.use(Path("archive"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a package is; as in an image, its code is compiled."""
    package = tmp_path / "held"
    package.mkdir()
    (package / "__init__.py").write_text("from held import inner\nVALUE = 'first'\n")
    (package / "inner.py").write_text("def told():\n    return __name__\n")
    (package / "data.txt").write_text("of the package")
    assert compileall.compile_dir(package, quiet=1)
    assert int(run(tmp_path, COLLECT)) >= 4
    return tmp_path


def run(folder: Path, code: str) -> str:
    """What code prints in an interpreter that finds modules in a folder."""
    path = os.pathsep.join((str(folder), str(Path(code_archive.__file__).parent.parent)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaders(folder: Path, more: str = "") -> str:
    """By what two modules are loaded."""
    names = "type(held.__loader__).__name__, type(held.inner.__loader__).__name__, held.VALUE"
    return run(folder, f"{USE}{more}\nimport held, held.inner\nprint({names})")


def test_modules_come_from_the_archive_and_look_as_without_it(folder: Path) -> None:
    assert loaders(folder) == "_Loader _Loader first"
    code = """
import importlib.resources, inspect, pickle
import held, held.inner, lxml.etree
def facts(module):
    spec = module.__spec__
    found = (module.__name__, module.__file__, module.__package__, spec.origin,
             getattr(module, "__cached__", None), spec.cached, spec.parent, spec.has_location,
             spec.submodule_search_locations)
    return *found, getattr(module, "__path__", None)
print([facts(module) for module in (held, held.inner, lxml.etree)])
print(inspect.getsource(held.inner))
print(importlib.resources.files(held).joinpath("data.txt").read_text())
print(pickle.loads(pickle.dumps(held.inner.told))(), inspect.getfile(held.inner.told))
importlib.reload(held)
"""
    assert run(folder, USE + code) == run(folder, code)


@pytest.mark.parametrize("content", ["VALUE = 'other'\n", "VALUE = 'changed, and longer'\n"])
def test_a_module_that_was_changed_is_imported_from_its_file(folder: Path, content: str) -> None:
    changed = folder / "held/__init__.py"
    changed.write_text(content)
    os.utime(changed, (1, 1))
    assert loaders(folder) == f"SourceFileLoader _Loader {content.split(chr(39))[1]}"


def test_a_module_that_is_gone_is_not_there(folder: Path) -> None:
    (folder / "held/inner.py").unlink()
    (folder / "held/__init__.py").write_text("")
    code = f"{USE}\ntry: import held.inner\nexcept ModuleNotFoundError as error: print(error.name)"
    assert run(folder, code) == "held.inner"


def test_an_interpreter_that_looks_elsewhere_uses_no_archive(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "held.py").write_text("class inner: __loader__ = None\nVALUE = 'nearer'\n")
    first = "import sys; sys.path.insert(0, 'other')"
    found = run(
        folder,
        f"{first}\n{USE}\nimport held, sys\nprint(held.VALUE, "
        "any('_Finder' in repr(finder) for finder in sys.meta_path))",
    )
    assert found == "nearer False"


def test_without_an_archive_nothing_is_done(folder: Path) -> None:
    (folder / "archive").unlink()
    assert loaders(folder) == "SourceFileLoader SourceFileLoader first"


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\0" * 7 + b"\x02()", b"x" * 100])
def test_a_damaged_archive_is_not_used(folder: Path, content: bytes) -> None:
    (folder / "archive").write_bytes(content)
    assert loaders(folder) == "SourceFileLoader SourceFileLoader first"
