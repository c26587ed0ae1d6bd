"""Processes that need more than Python: MPI ranks, a GPU, a command-line tool."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from owslib.wps import ComplexDataInput

from examples.processes import matrix_product, raster_overview
from places import ROOT
from plain_examples import Execute
from plain_examples import execute as execute
from pywps_hpc.cli.main import commands


def not_installed(patch: pytest.MonkeyPatch, package: str) -> None:
    """From now on there is no such package."""
    found = importlib.util.find_spec
    patch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *of: None if name == package else found(name, *of),
    )


# pi: MPI ranks


def mpi(folder: Path, patch: pytest.MonkeyPatch, mpiexec: str) -> None:
    """From now on there is an mpi4py, and an mpiexec that does this in a shell."""
    (folder / "mpi4py").mkdir()
    (folder / "mpi4py/__init__.py").touch()
    (folder / "mpiexec").write_text(f"#!/bin/sh\n{mpiexec}\n")
    (folder / "mpiexec").chmod(0o700)
    patch.syspath_prepend(str(folder))
    patch.setenv("PATH", str(folder), prepend=os.pathsep)
    patch.setenv("PYWPS_HPC_TASKS", "3")


def test_pi_is_that_of_as_many_ranks_as_the_administrator_gives(
    execute: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = '{"pi": 3.25, "ranks": 3, "nodes": ["c1", "c1", "c2"]}'
    mpi(
        tmp_path,
        monkeypatch,
        f"printf '%s ' \"$@\" > {tmp_path}/called; echo a line; echo '{printed}'",
    )
    answer = execute("pi", ("points", "1000"))
    assert answer.error is None
    assert answer.outputs["pi"].text == "3.25"
    assert json.loads(answer.outputs["ranks"].text) == ["c1", "c1", "c2"]
    called = (tmp_path / "called").read_text().split()
    assert called[:3] == ["-n", "3", sys.executable]
    assert called[-2:] == ["examples.programs.pi_of_ranks", "1000"]


@pytest.mark.parametrize(
    ("mpiexec", "told"),
    [
        (
            "printf '=   PID 32218 RUNNING AT c2\\n=   EXIT CODE: 9\\n'; exit 9",
            "a rank on node c2 was killed by signal 9 (Killed)",
        ),
        (
            "echo 'mpirun noticed that process rank 1 with PID 7 on node c2 exited on signal 9.'"
            " >&2; exit 137",
            "rank 1 on node c2 was killed by signal 9 (Killed)",
        ),
        ("exit 5", "the ranks could not be run to their end (mpiexec: exit code 5)"),
    ],
)
def test_a_client_reads_how_the_ranks_ended(
    execute: Execute,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mpiexec: str,
    told: str,
) -> None:
    mpi(tmp_path, monkeypatch, mpiexec)
    answer = execute("pi")
    assert answer.error is not None
    assert told in answer.error


def test_pi_says_when_there_is_no_mpi(execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    not_installed(monkeypatch, "mpi4py")
    assert "needs mpi4py and an MPI" in str(execute("pi").error)


# matrix_product: a GPU

NO_GPU = "Process error: This process needs a GPU, and the service gives it none."


@pytest.fixture
def no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No GPU, whatever this machine has; the folder of its devices."""
    for name in matrix_product.GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(matrix_product.why_not, "__defaults__", (tmp_path,))
    return tmp_path


def test_a_process_says_that_there_is_no_gpu(execute: Execute, no_gpu: Path) -> None:
    assert execute("matrix_product").error == NO_GPU


@pytest.mark.parametrize("device", ["nvidia0", "kfd"])
def test_a_process_on_a_gpu_says_that_its_image_lacks_cupy(
    execute: Execute, no_gpu: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_installed(monkeypatch, "cupy")
    (no_gpu / device).touch()
    error = execute("matrix_product").error
    assert error == "Process error: This process needs CuPy, which is not installed where it runs."


class Runtime:
    """What CuPy tells of the hardware."""

    @staticmethod
    def getDeviceProperties(number: int) -> dict[str, Any]:  # noqa: N802
        return {"name": f"GPU {number} of the test".encode()}


@pytest.mark.parametrize("variable", matrix_product.GIVEN)
def test_a_process_that_was_given_a_gpu_works_on_it(
    execute: Execute, no_gpu: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cupy(ModuleType):
        """NumPy has the same functions."""

        cuda = type("cuda", (), {"runtime": Runtime})

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    monkeypatch.setenv(variable, "0")
    cupy = Cupy("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    answer = execute("matrix_product", ("size", "20"))
    assert answer.error is None
    assert float(answer.outputs["error"].text) < 1e-10
    assert answer.outputs["gpu"].text == "GPU 0 of the test"


# raster_overview: a command-line tool


def raster(path: Path) -> ComplexDataInput:
    return ComplexDataInput(path.as_uri(), mimeType="image/tiff; subtype=geotiff")


def tools(folder: Path, patch: pytest.MonkeyPatch, **scripts: str) -> None:
    """These programs and nothing else on the PATH."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o700)
    patch.setenv("PATH", str(folder))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "raster.tif").write_bytes(b"II*\0")
    return tmp_path / "raster.tif"


def test_a_process_says_that_its_tool_is_not_installed(
    execute: Execute, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(tmp_path, monkeypatch, gdalinfo="exit 0")
    error = execute("raster_overview", ("raster", raster(file))).error
    assert error == "Process error: This process needs GDAL, which is not installed where it runs."


def test_a_tool_gets_its_arguments_one_by_one_and_its_answer_is_the_output(
    execute: Execute, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = f'for word in "$@"; do echo "$word"; done >> {tmp_path}/called'
    described = """{"description": "'$word'", "files": ["'$word'"], "size": [4, 3]}"""
    last = f'{called}; for word in "$@"; do :; done'
    tools(
        tmp_path,
        monkeypatch,
        gdalinfo=f"{last}; echo '{described}'",
        gdal_translate=f'{last}; echo picture > "$word"',
    )
    answer = execute("raster_overview", ("raster", raster(file)), ("width", "64"))
    assert answer.error is None
    assert answer.json("description") == {"size": [4, 3]}
    assert answer.bytes("overview") == b"picture\n"
    words = (tmp_path / "called").read_text().splitlines()
    assert words[:3] == ["-json", "-if", "GTiff"]
    assert words[words.index("-outsize") :][:3] == ["-outsize", "64", "0"]


def test_a_client_reads_no_path_when_a_tool_fails(
    execute: Execute,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    failing = 'echo "ERROR 4: $4: not recognized" >&2; exit 1'
    tools(tmp_path, monkeypatch, gdalinfo=failing, gdal_translate=failing)
    error = execute("raster_overview", ("raster", raster(file))).error
    assert error == (
        "Process error: GDAL cannot read the raster; the log of the job has its message."
    )
    assert "ERROR 4" in capfd.readouterr().err


GRID = "ncols 4\nnrows 3\nxllcorner 10\nyllcorner 50\ncellsize 1\n" + "1 2 3 4\n" * 3
VRT = """<VRTDataset rasterXSize="4" rasterYSize="3"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{path}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_gdal_itself_describes_a_raster_and_follows_nothing_in_it(
    execute: Execute, tmp_path: Path
) -> None:
    (tmp_path / "grid.asc").write_text(GRID)
    made = tmp_path / "grid.tif"
    line = ["gdal_translate", "-q", "-ot", "Byte", tmp_path / "grid.asc", made]
    subprocess.run(line, check=True, timeout=60)
    answer = execute("raster_overview", ("raster", raster(made)), ("width", "8"))
    assert answer.error is None
    description = answer.json("description")
    assert description["size"] == [4, 3]
    assert description["geoTransform"] == [10.0, 1.0, 0.0, 53.0, 0.0, -1.0]
    assert str(tmp_path) not in json.dumps(description)
    picture = answer.bytes("overview")
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 8
    (tmp_path / "other.tif").write_text(VRT.format(path=made))
    refused = execute("raster_overview", ("raster", raster(tmp_path / "other.tif")))
    assert refused.error is not None
    assert "GDAL cannot read the raster" in refused.error


# An image of its own

PAGE = (ROOT / "docs/authors.md").read_text(encoding="utf-8")


def test_one_process_runs_in_the_image_that_the_page_gives_it_and_all_others_in_the_first(
    tmp_path: Path,
) -> None:
    (shown,) = re.findall(r'^```ini title="pywps.cfg"\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "spool").mkdir(mode=0o700)
    config = tmp_path / "pywps.cfg"
    config.write_text(
        "[server]\nurl = http://host/wps\n[processing]\nmode = scheduler\n"
        f"[hpc]\nspool = {tmp_path}/spool\nscheduler = slurm\n{shown}"
    )
    images = {}
    for process in ("pi", "raster_overview"):
        done = CliRunner().invoke(commands, ["render", "--config", str(config), process])
        assert done.exit_code == 0, done.output
        images[process] = re.findall(r"/shared/images/\w+\.sif", done.output)
    assert set(images["pi"]) == {"/shared/images/service.sif"}
    assert set(images["raster_overview"]) == {"/shared/images/gdal.sif"}


def test_the_image_of_the_example_stands_on_the_service_s_own() -> None:
    recipe = (ROOT / "examples/images/gdal.def").read_text(encoding="utf-8")
    (command,) = re.findall(r"^apptainer build .*", PAGE, re.MULTILINE)
    assert f"#   {command}\n" in recipe
    assert re.findall(r"\{\{ (\w+) \}\}", recipe) == re.findall(r"--build-arg (\w+)=", command)
    assert all(tool.startswith("gdal") for tool in raster_overview.TOOLS)
    assert " gdal-bin\n" in recipe
