"""MPI ranks on two nodes of real Slurm, each node's in a container; and ranks that are killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import cluster_site as site
import servers
from mpi_runs import RanksOnTwoNodes

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]


@pytest.fixture(scope="module")
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("mpi")
    site.code(root)
    sections = {
        "hpc.resources": {"nodes": 2, "tasks": 4},
        "hpc.container": {"network": "yes"},
    }
    with site.slurm_server(root, "examples.more:service", sections=sections) as server:
        yield server


class TestSlurm(RanksOnTwoNodes):
    """Two ranks on each of two nodes."""
