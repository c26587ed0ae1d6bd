"""The example notebook: its cells, one after the other, before the examples' own service."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import iris_sample_data
import pytest

from places import ROOT
from servers import HpcServer

NOTEBOOK = json.loads((ROOT / "examples/climate_anomaly.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the cells print, run as one program; they have no magic commands."""
    folder = tmp_path_factory.mktemp("notebook")
    sections = {
        "server": {"allowedinputpaths": iris_sample_data.path},
        "hpc.container": {"python_path": ROOT},
    }
    program = "\n".join(CELLS).replace("sleepSecs=1", "sleepSecs=0.2")
    with HpcServer(
        folder, application="examples.service:service", code=ROOT, sections=sections
    ) as server:
        done = subprocess.run(
            [sys.executable, "-c", f"{program}\nprint('drawn:', type(drawn).__name__)"],
            cwd=folder,
            env=os.environ | {"WPS_URL": server.url, "MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_runs_from_the_list_of_processes_to_the_figure(printed: str) -> None:
    assert "climate_anomaly" in printed
    assert "ProcessAccepted" in printed
    assert "ProcessSucceeded" in printed
    assert printed.splitlines()[-1] == "drawn: QuadMesh"


def test_what_the_notebook_shows_is_what_it_prints(printed: str) -> None:
    shown = [
        "".join(output["text"])
        for cell in NOTEBOOK["cells"]
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream" and output["name"] == "stdout"
    ]
    lines = {line for text in shown for line in text.splitlines()}
    assert {line for line in lines if "anomaly" in line or "Process" in line}
    progress = ("ProcessStarted", "Process", "owslib.wps.WPSException")
    assert {line for line in lines if not line.startswith(progress)} <= set(printed.splitlines())
