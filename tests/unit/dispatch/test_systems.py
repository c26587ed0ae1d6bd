"""Each batch system's facts stand in its own modules, and a new one needs nobody else's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import pywps_hpc
from pywps_hpc import package_data
from pywps_hpc.dispatch.schedulers.dialect import Dialect
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS
from pywps_hpc.systems import SYSTEMS

PACKAGE = Path(pywps_hpc.__file__).parent
REGISTRY = PACKAGE / "systems" / "__init__.py"
#: What a batch system's name or its commands look like in code.
NAMES = {*SYSTEMS, "sge", "pbs", "sbatch", "squeue", "scontrol", "qsub", "qstat", "qdel"}


def constants(module: Path) -> Iterator[str]:
    """The texts in a module's code, docstrings aside."""
    tree = ast.parse(module.read_text())
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


@pytest.mark.parametrize(
    "module",
    [path for path in PACKAGE.rglob("*.py") if path.stem not in SYSTEMS and path != REGISTRY],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_only_a_systems_own_modules_name_it(module: Path) -> None:
    assert not [text for text in constants(module) if NAMES & set(text.lower().split())]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_has_all_that_the_registry_promises(system: str) -> None:
    assert issubclass(DIALECTS[system], Dialect)
    assert DIALECTS[system].system == system
    assert DIALECTS[system].remedies
    assert list(import_module(f"pywps_hpc.systems.{system}").reserved(["--"], 0)) is not None
    assert (package_data.templates_folder() / f"{system}.sh.j2").is_file()
