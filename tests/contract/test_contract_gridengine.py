"""The scheduler contract over a real Grid Engine (tests/infra/gridengine.sh)."""

from __future__ import annotations

import pytest

import gridengine_site as gridengine
from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from scheduler_contract import SilenceContract

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("gridengine")]

grid_engine = gridengine.grid_engine
logs = gridengine.logs
scheduler = gridengine.scheduler


class TestGridEngine(gridengine.GridEngineContract):
    """By its commands."""


class TestGridEngineDoesNotAnswer(SilenceContract):
    """No daemon of the cluster is touched: the commands are pointed at another port."""

    contract = TestGridEngine
    unasked = ("history",)  # qacct reads a file

    @pytest.fixture
    def silent(self, port: int) -> Scheduler:
        channel = gridengine.AsUser(SGE_QMASTER_PORT=str(port))
        return CommandScheduler(GridEngineDialect(), channel, timeout=3)
