"""Each batch system's facts stand in its own modules, and a new one needs nobody else's."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import pywps_hpc
from pywps_hpc import package_data
from pywps_hpc.dispatch.schedulers.dialect import Dialect
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS
from pywps_hpc.systems import SYSTEMS

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(pywps_hpc.__file__).parent
REGISTRY = PACKAGE / "systems" / "__init__.py"
#: A batch system's name, one of its commands, or a variable of its environment.
NAMES = re.compile(
    r"slurm|grid ?engine|torque|\bsge|pbs|sbatch|squeue|scontrol|scancel|sacct"
    r"|\bq(sub|stat|del|hold|rls|mod|sig|acct)\b",
    re.IGNORECASE,
)
#: What several systems share, and what one system has in a module of its own.
FAMILIES = {"pbs", "sacct"}
#: Where the help of keys names them as examples, and durations tell what they were measured on.
PROSE = (PACKAGE / "settings" / "model.py", PACKAGE / "timing.py")


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
    [
        path
        for path in PACKAGE.rglob("*.py")
        if path.stem not in FAMILIES.union(SYSTEMS) and path not in (REGISTRY, *PROSE)
    ],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_only_a_systems_own_modules_name_it(module: Path) -> None:
    assert not list(filter(NAMES.search, constants(module)))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_has_all_that_the_registry_promises(system: str) -> None:
    assert issubclass(DIALECTS[system], Dialect)
    assert DIALECTS[system].system == system
    assert DIALECTS[system].remedies
    assert list(import_module(f"pywps_hpc.systems.{system}").reserved(["--"], 0)) is not None
    assert (package_data.templates_folder() / f"{system}.sh.j2").is_file()


def listed() -> list[str]:
    """The files of the package that docs/contributing.md lists for a new batch system."""
    text = (ROOT / "docs" / "contributing.md").read_text().partition("## Add a batch system")[2]
    text = text.partition("\n## ")[0]
    files = re.findall(r"^\| `([^`]*NAME[^`]*)` \|", text, re.MULTILINE)
    return [file for file in files if not file.startswith("tests/")]


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_has_the_files_that_the_documentation_lists_and_no_others(system: str) -> None:
    folders = (PACKAGE, ROOT / "job_templates")
    found = {
        str(path.relative_to(ROOT)).replace(system, "NAME")
        for folder in folders
        for path in folder.rglob(f"{system}*")
        if path.suffix in (".py", ".rules", ".j2")
    }
    assert found == set(listed())


USE_THE_NEW_ONE = """
from pathlib import Path
import pywps_hpc.settings
from pywps_hpc.dispatch.channels.forced_command import allowed
from pywps_hpc.dispatch.schedulers import registry

config = Path("pywps.cfg")
config.write_text(
    f"[hpc]\\nspool = {Path.cwd()}\\nscheduler = newcomer\\n[hpc.container]\\nruntime = none\\n"
)
own = pywps_hpc.settings.load([config])
registry.check(own)
scheduler = registry.make_scheduler(own)
print(scheduler.system, bool(scheduler.remedies), *allowed("newcomer", "qdel 1.head")[0])
config.write_text(config.read_text() + "[hpc.resources]\\nextra = -h\\n")
try:
    pywps_hpc.settings.load([config])
except ValueError as error:
    print(error)
"""


def test_a_new_system_takes_the_files_that_the_documentation_lists_and_one_line(
    tmp_path: Path,
) -> None:
    for folder in ("pywps_hpc", "joblauncher", "job_templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in listed():
        text = (tmp_path / file.replace("NAME", "torque")).read_text()
        new = tmp_path / file.replace("NAME", "newcomer")
        new.write_text(text.replace("torque", "newcomer"))
    registry = tmp_path / "pywps_hpc" / "systems" / "__init__.py"
    registry.write_text(
        registry.read_text().replace('    "slurm",', '    "newcomer",\n    "slurm",')
    )
    done = subprocess.run(
        [sys.executable, "-c", USE_THE_NEW_ONE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, refusal = done.stdout.splitlines()
    assert first == "newcomer True qdel 1.head"
    assert "[hpc.resources] extra: -h: it would keep every job waiting" in refusal
