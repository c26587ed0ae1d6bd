"""The units that docs/deploy/systemd.md shows, before systemd's own judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from places import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("none")]  # which brings systemd's tools
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))


def verified(unit: Path) -> str:
    """What systemd-analyze(1) says of a unit."""
    line = ["systemd-analyze", "verify", "--man=no", str(unit)]
    environment = os.environ | {"SYSTEMD_LOG_LEVEL": "warning"}
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_a_unit_without_a_word(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text("utf-8")
    program = "/opt/pywps-hpc/bin/pywps-hpc"
    assert f"ExecStart={program} " in text
    mine = tmp_path / unit.name
    mine.write_text(text.replace(program, "/bin/true"))  # there is no such program here
    assert verified(mine) == ""
    mine.write_text(mine.read_text().replace("KillMode=", "KilMode=").replace("Type=", "Typo="))
    assert "Typo" in verified(mine)
