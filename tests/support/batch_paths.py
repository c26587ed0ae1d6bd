"""Every path to a batch system, and the climate request by each."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

import cluster_site as site
import gridengine_cell
import parallel
import servers
import wps_client as client

NETCDF = "application/x-netcdf"


LIBRARY = "/usr/lib/gridengine-drmaa/lib/libdrmaa.so.1.0"


Sections = Mapping[str, Mapping[str, object]]


#: Grid Engine limits address space (queue_conf(5), h_vmem), of which Apptainer alone takes much.
ROOMY = {"memory": "2G"}


#: The paths that lead to Grid Engine.
BY_GRID_ENGINE = ("gridengine", "drmaa")


@pytest.fixture(scope="module")
def grid_engine() -> Iterator[None]:
    """Up for these tests; left as it was found."""
    with parallel.turn(parallel.GRID_ENGINE, alone=False):  # as long as it is whole
        is_up = gridengine_cell.is_up()
    if is_up:
        yield
        return
    with parallel.turn(parallel.GRID_ENGINE, alone=True):
        subprocess.run([gridengine_cell.SCRIPT, "up"], check=True)
    yield
    with parallel.turn(parallel.GRID_ENGINE, alone=True):
        subprocess.run([gridengine_cell.SCRIPT, "down"], check=True)


def prepare(path: str, request: pytest.FixtureRequest) -> None:
    """See that the batch system of this path is up. A test that goes by another one waits for
    nobody who breaks it."""
    if path in BY_GRID_ENGINE:
        request.getfixturevalue("grid_engine")


def turn(path: str) -> AbstractContextManager[None]:
    """Nobody breaks Grid Engine while a job goes by this path."""
    uses = path in BY_GRID_ENGINE
    return parallel.turn(parallel.GRID_ENGINE, alone=False) if uses else nullcontext()


def param(path: str, name: str = "") -> Any:
    """A test's parameter: a path, or a case of it, that :func:`turn` is waited for."""
    marks = {
        "slurm": parallel.batch_system(parallel.SLURM),
        "local": parallel.batch_system(parallel.NONE),
    }
    shared = parallel.batch_system(parallel.GRID_ENGINE, shared=True)
    return pytest.param(name or path, marks=marks.get(path, shared))


def _slurm() -> Sections:
    return {}


def _gridengine() -> Sections:
    return {
        "hpc": {
            "scheduler": "gridengine",
            "command_environment": gridengine_cell.command_environment(),
        },
        "hpc.resources": ROOMY,
    }


def _drmaa() -> Sections:
    return {
        "hpc": {
            "scheduler": "drmaa",
            "system": "gridengine",
            "drmaa_library": LIBRARY,
            "command_environment": gridengine_cell.command_environment(),
        },
        "hpc.resources": ROOMY,
    }


def _local() -> Sections:
    return {"hpc": {"scheduler": "local"}, "hpc.container": {"runtime": "none"}}


PATHS = {"slurm": _slurm, "gridengine": _gridengine, "drmaa": _drmaa, "local": _local}


def run(path: str) -> tuple[str, dict[str, client.Found]]:
    """Who ran the job, and what came out."""
    root = site.folder(f"path-{path}")
    site.code(root)
    data = site.sample_data()
    dataset = client.Reference((data / "E1_north_america.nc").as_uri(), NETCDF)
    with (
        turn(path),
        site.slurm_server(
            root, "examples.service:service", inputs=data, sections=PATHS[path]()
        ) as server,
    ):
        location = client.submit(server.url, "climate_anomaly", [("dataset", dataset)])
        document = client.await_end(location, limit=180)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        job_id = client.job_id_of(location)
        servers.wait_for(
            lambda: (row := server.row(job_id)) and row["state"] == "succeeded", "its end"
        )
        shown = server.cli("show", job_id).stdout
        return shown, client.outputs_of(document)
