"""The climate request by every path to a batch system: the same outputs each time."""

from __future__ import annotations

from typing import Any

import pytest

import batch_paths
import parallel
import wps_client as client
from batch_paths import run

# Those that break Grid Engine have it for minutes.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
grid_engine = batch_paths.grid_engine


def _path(name: str, system: str) -> Any:
    return pytest.param(name, marks=parallel.batch_system(system))


@pytest.fixture(scope="module")
def by_local() -> dict[str, client.Found]:
    return run("local")[1]


@pytest.mark.parametrize(
    "path",
    [
        _path("slurm", parallel.SLURM),
        _path("gridengine", parallel.GRID_ENGINE),
        _path("drmaa", parallel.GRID_ENGINE),
    ],
)
def test_the_climate_result_is_the_same_by_every_path(
    path: str, by_local: dict[str, client.Found], request: pytest.FixtureRequest
) -> None:
    batch_paths.prepare(path, request)
    shown, outputs = run(path)
    assert f"{path} " in shown
    assert outputs.keys() == by_local.keys() == {"anomaly", "summary", "plot"}
    for name, found in outputs.items():
        assert found.content == by_local[name].content, name
