"""Fixtures that all tests share: the two servers, and which tests need the cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from servers import DefaultServer, HpcServer

#: Says that the test cluster is up: ``make test`` sets it after starting one.
CLUSTER = "PYWPS_HPC_CLUSTER"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "cluster: needs the test cluster (root on Debian, make test)"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a cluster, its tests are left out and counted; with one, they run or fail."""
    if os.environ.get(CLUSTER) == "1":
        return
    left_out = [item for item in items if item.get_closest_marker("cluster")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("cluster")]
        config.stash[_LEFT_OUT] = len(left_out)


_LEFT_OUT = pytest.StashKey[int]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    count = config.stash.get(_LEFT_OUT, 0)
    if count:
        terminalreporter.write_line(
            f"{count} tests on real Slurm and Apptainer left out: {CLUSTER} is not 1, see make test"
        )


def _wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a test module sets for its servers: ``SECTIONS`` and ``ENVIRONMENT``."""
    return {
        "sections": getattr(request.module, "SECTIONS", {}),
        "environment": getattr(request.module, "ENVIRONMENT", {}),
    }


@pytest.fixture(scope="module")
def hpc_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HpcServer]:
    """The odd processes as batch jobs of the local scheduler, without a container."""
    with HpcServer(tmp_path_factory.mktemp("hpc"), **_wanted(request)) as server:
        yield server


@pytest.fixture(scope="module")
def default_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DefaultServer]:
    """The odd processes as PyWPS runs them by itself."""
    with DefaultServer(tmp_path_factory.mktemp("default"), **_wanted(request)) as server:
        yield server
