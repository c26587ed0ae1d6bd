"""Pause and resume through the whole service: a job that counts stops counting and goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import pytest

import clustersite as site
import servers
import test_cluster_paths as paths
import wpsclient as client
from joblauncher import documents

pytestmark = pytest.mark.cluster
grid_engine = paths.grid_engine
STEP, STEPS, STILL = 0.25, 48, 3.0
#: Seconds from the batch system's word to its effect: Slurm sends SIGTSTP first, SIGSTOP later.
SETTLED = 3.0
CASES = ("slurm, by the owner", "slurm, by an operator", "gridengine", "drmaa", "local")


def _level(level: str) -> None:
    """What the service's account may do in Slurm (sacctmgr(1), AdminLevel)."""
    command = ["sacctmgr", "--immediate", "modify", "user", site.user(), "set"]
    subprocess.run([*command, f"adminlevel={level}"], check=True, capture_output=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[str]:
    case: str = request.param
    if "operator" in case:
        _level("Operator")
    yield case
    if "operator" in case:
        _level("None")


@pytest.fixture
def hpc(case: str) -> Iterator[servers.HpcServer]:
    root = site.folder("pause")
    site.code(root)
    path = case.partition(",")[0]
    with site.slurm_server(
        root, "examples.service:service", sections=paths.PATHS[path]()
    ) as server:
        yield server


def _state(server: servers.HpcServer, job_id: str) -> str:
    row = server.row(job_id)
    return str(row["state"]) if row else ""


def test_a_job_that_counts_stops_counting_and_goes_on(hpc: servers.HpcServer, case: str) -> None:
    location = client.submit(hpc.url, "countdown", [("steps", str(STEPS)), ("seconds", str(STEP))])
    job_id = client.job_id_of(location)
    servers.wait_for(
        lambda: "left" in client.message_of(client.get(location).content), "it counts", 60
    )
    servers.wait_for(lambda: _state(hpc, job_id) == "running", "the table says running", 30)
    assert "will be paused" in hpc.cli("pause", job_id).stdout
    servers.wait_for(lambda: _state(hpc, job_id) == "paused", "the table says paused", 60)
    if case.startswith("slurm"):
        row = hpc.row(job_id)
        assert row is not None
        listed = site.as_user("squeue", "-h", "-o", "%T", "-j", row["native_id"]).strip()
        assert listed == ("SUSPENDED" if "operator" in case else "STOPPED")
    time.sleep(SETTLED)
    before = documents.parse(client.get(location).content)
    assert before.state == "paused"
    time.sleep(STILL)
    assert documents.parse(client.get(location).content) == before
    assert "will go on" in hpc.cli("resume", job_id).stdout
    document = client.await_end(location, limit=90)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    ticks = str(client.outputs_of(document)["ticks"].content).split()[1::2]
    assert len(ticks) == STEPS
    moments = [datetime.fromisoformat(tick.replace("Z", "+00:00")) for tick in ticks]
    gaps = sorted((later - earlier).total_seconds() for earlier, later in pairwise(moments))
    assert gaps[-1] > STILL
    assert gaps[-2] < STILL / 2
    servers.wait_for(lambda: _state(hpc, job_id) == "succeeded", "the table knows", 30)
