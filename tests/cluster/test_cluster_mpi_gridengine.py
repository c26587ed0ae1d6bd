"""The same on real Grid Engine: a tightly integrated parallel environment with one slot on each of
two execution hosts, so that ranks on the other one run through ``qrsh -inherit``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import batch_paths
import cluster_site as site
import servers
from batch_paths import grid_engine as grid_engine
from mpi_runs import RanksOnTwoNodes

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("gridengine")]


@pytest.fixture(scope="module")
def hpc(grid_engine: None) -> Iterator[servers.HpcServer]:
    root = site.folder("mpi-gridengine")
    site.code(root)
    own = {
        "hpc.resources": {"nodes": 2, "parallel_environment": "mpi", **batch_paths.ROOMY},
        "hpc.container": {"network": "yes"},
    }
    sections = {name: dict(keys) for name, keys in batch_paths.PATHS["gridengine"]().items()}
    for name, keys in own.items():
        sections.setdefault(name, {}).update(keys)
    with site.slurm_server(root, "examples.more:service", sections=sections) as server:
        yield server


class TestGridEngine(RanksOnTwoNodes):
    """One rank on each of two hosts."""

    number = 2
