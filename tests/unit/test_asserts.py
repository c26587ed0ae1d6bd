"""What the product asserts, Python may leave out (``python -O``)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT

MODULES = sorted(
    str(file.relative_to(ROOT))
    for package in ("pywps_hpc", "joblauncher")
    for file in (ROOT / package).rglob("*.py")
)
#: Both objects use the same connections, whatever was done with the first one before.
PROGRAM = """
from pywps_hpc.jobs import JobStore
store = JobStore("sqlite:///{}")
led = store.led_by("me")
print(led.engine is store.engine)
"""


def _does_nothing(test: ast.expr) -> bool:
    """Whether an assertion only tells the type checker that something is not None."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.IsNot):
        return False
    return not any(
        isinstance(part, ast.Call | ast.NamedExpr | ast.Await) for part in ast.walk(test)
    )


@pytest.mark.parametrize("module", MODULES)
def test_no_assertion_has_an_effect_or_checks_anything_at_run_time(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert [ast.unparse(node) for node in asserts if not _does_nothing(node.test)] == []


@pytest.mark.parametrize("options", [[], ["-O"]], ids=["plain", "optimised"])
def test_a_dispatcher_s_store_shares_the_connections(tmp_path: Path, options: list[str]) -> None:
    program = PROGRAM.format(tmp_path / "jobs.sqlite")
    done = subprocess.run(
        [sys.executable, *options, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
