"""The climate request by every path to a batch system: the same outputs each time."""

from __future__ import annotations

import pytest

import batch_paths
import wps_client as client
from batch_paths import PATHS, run

# Those that break Grid Engine have it for minutes.
pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm"), pytest.mark.timeout(1200)]
grid_engine = batch_paths.grid_engine


@pytest.fixture(scope="module")
def by_slurm() -> dict[str, client.Found]:
    return run("slurm")[1]


@pytest.mark.parametrize("path", [path for path in PATHS if path != "slurm"])
def test_the_climate_result_is_the_same_by_every_path(
    path: str, by_slurm: dict[str, client.Found]
) -> None:
    shown, outputs = run(path)
    assert f"{path} " in shown
    assert outputs.keys() == by_slurm.keys() == {"anomaly", "summary", "plot"}
    for name, found in outputs.items():
        assert found.content == by_slurm[name].content, name
