"""The main parts under each Python that the project says it runs with, as far as this machine has
them (deploy/pythons.sh)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from pages_tried import MEASURED

from places import ROOT

pytestmark = pytest.mark.timeout(2400)
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_main_parts_run_under_a_python_that_is_here(
    version: str, record_property: Callable[[str, object], None]
) -> None:
    ended = subprocess.run(
        [str(ROOT / "deploy/pythons.sh"), version], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    last = ended.stdout.strip().splitlines()[-1]
    record_property(MEASURED, f"Python {version}: {last}")
