"""What the launcher imports: the standard library, dill, PyWPS and what PyWPS itself requires."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import files, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from places import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {
    contract["name"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
}
ALONE = CONTRACTS["The launcher needs PyWPS and dill, and nothing else"]
OWN = CONTRACTS["The launcher's own modules are known to the launcher alone"]
#: PyWPS requires it for a database of its own, which no job has.
NEVER = {"sqlalchemy"}


def _name(requirement: str) -> str:
    """Of a distribution, as all names of it compare (PEP 503)."""
    return canonicalize_name(Requirement(requirement).name)


def _needed(requirement: str) -> bool:
    """Whether it is installed here: without extras, by this Python and system (PEP 508)."""
    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})


def required(distribution: str) -> set[str]:
    """A distribution and all that it requires here."""
    found: set[str] = set()
    left = [distribution]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [_name(one) for one in requires(name) or () if _needed(one)]
    return found


def provided(distribution: str) -> set[str]:
    """The top-level names that are imported from a distribution, of the list of its files: not each
    has a ``top_level.txt``, on which :mod:`importlib.metadata` relies before Python 3.11."""
    listed = files(distribution) or ()
    return {file.parts[0].removesuffix(".py") for file in listed if file.suffix == ".py"}


def imported(package: str) -> Iterator[str]:
    """The top-level name of each import in a package, at whatever depth of its code it stands."""
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


def test_the_launcher_imports_nothing_that_an_image_with_pywps_lacks() -> None:
    allowed = (required("pywps") | required("dill")) - NEVER
    there = {name for distribution in allowed for name in provided(distribution)}
    others = set(imported("joblauncher")) - sys.stdlib_module_names - {"joblauncher"}
    assert others >= {"dill", "pywps", "lxml"}
    assert others <= there


def test_the_contract_names_each_dependency_that_pywps_does_not_bring() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"]]
    declared += [one for extra in extras.keys() - {"test", "docs"} for one in extras[extra]]
    allowed = (required("pywps") | required("dill")) - NEVER
    wanted = {_name(one) for one in declared} - allowed
    assert {_name(one) for one in ALONE["forbidden_modules"]} == wanted | {"pywps-hpc"} | NEVER


def test_the_contract_names_each_module_that_is_the_launcher_s_own() -> None:
    modules = {f"joblauncher.{file.stem}" for file in (ROOT / "joblauncher").glob("*.py")}
    assert set(OWN["forbidden_modules"]) == modules - {"joblauncher.__init__"}


def test_jobs_without_ranks_import_nothing_for_them() -> None:
    parts = ("supervisor", "child", "pilot", "nursery")
    line = "; ".join(f"import joblauncher.{part}" for part in parts)
    line += "; import sys; print(*sys.modules)"
    made = subprocess.run(
        [sys.executable, "-c", line], check=True, capture_output=True, text=True, cwd=ROOT
    )
    modules = made.stdout.split()
    assert "joblauncher.child" in modules
    assert not {"joblauncher.ranks", "joblauncher.remote"} & set(modules)
