"""``docs/architecture.md`` names modules and functions: all of them exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from places import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
#: A file, and one of its functions, or a method with its class.
FUNCTION = re.compile(r"`((?:pywps_hpc|joblauncher)/[\w/]+\.py)::([\w.]+)`(?:, `(\w+)`)*")


def defined(file: Path) -> set[str]:
    """Names of a module's functions, and of its classes' methods as Class.method."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{own.name}" for own in node.body if isinstance(own, ast.FunctionDef)
            }
    return names


def steps() -> list[tuple[str, str]]:
    """Each function of the walk, with its file; further names in a row share file and class."""
    found = []
    for row in (line for line in PAGE.splitlines() if line.startswith("| `") and "::" in line):
        file = owner = ""
        for name in re.findall(r"`([^`]+)`", row.split("|")[1]):
            if "::" in name:
                file, _, name = name.partition("::")
                owner = name.rpartition(".")[0]
            elif owner:
                name = f"{owner}.{name}"
            found.append((file, name))
    return found


@pytest.mark.parametrize(("file", "name"), steps())
def test_a_function_of_the_walk_exists(file: str, name: str) -> None:
    assert name in defined(ROOT / file)


def test_the_walk_is_a_walk() -> None:
    assert len(steps()) > 25


def test_each_module_of_the_layout_exists() -> None:
    layout = PAGE.partition("## Layout")[2].partition("```\n")[2].partition("```")[0]
    named = {name.rpartition("/")[2] for name in re.findall(r"[\w/]+\.py\b", layout)}
    packages = (ROOT / "pywps_hpc", ROOT / "joblauncher")
    files = {path.name for package in packages for path in package.rglob("*.py")}
    assert len(named) > 100
    assert named <= files
