"""Which tests may run side by side.

With ``pytest -n`` (pytest-xdist) each lane goes to one worker. A lane is a batch system, which only
one test at a time may break, or a module that needs none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))
SLURM, GRID_ENGINE, HOSTS = "slurm", "grid engine", "three hosts"
#: Those that take longest begin first.
ORDER = (SLURM, GRID_ENGINE, HOSTS)
#: Modules in which every test runs on Grid Engine alone.
_ON_GRID_ENGINE = ("test_contract_gridengine", "test_contract_drmaa", "test_cluster_drmaa")


def lane(nodeid: str) -> str:
    """The lane of a test."""
    path, _, test = nodeid.partition("::")
    module = Path(path).stem
    if module == "test_three_hosts":
        return HOSTS
    if module in _ON_GRID_ENGINE:
        return GRID_ENGINE
    if module.startswith("test_fault_"):
        return GRID_ENGINE if "grid_engine" in test or "Grid Engine" in test else SLURM
    by_slurm = module.startswith("test_cluster_") or module == "test_contract_slurm"
    return SLURM if by_slurm else module


def arrange(items: list[pytest.Item]) -> None:
    """Put the tests in the order of their lanes."""

    def order(item: pytest.Item) -> int:
        own = lane(item.nodeid)
        return ORDER.index(own) if own in ORDER else len(ORDER)

    items.sort(key=order)


def scheduling(config: pytest.Config, log: Any) -> Any:
    """How pytest-xdist is to hand out the tests: a lane as a whole, in the order of the lanes."""
    from xdist.scheduler import LoadScopeScheduling

    class LaneScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return lane(nodeid)

    return LaneScheduling(config, log)


@contextlib.contextmanager
def turn(name: str, *, alone: bool) -> Iterator[None]:
    """Use a batch system of another lane, or break it: both wait for each other.

    Args:
        name: of the lane.
        alone: whether nobody else may use it meanwhile.
    """
    with (HOME / f".{name.replace(' ', '-')}.turn").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
