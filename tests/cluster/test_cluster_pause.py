"""Pause and resume through the whole service: a job that counts stops counting and goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

import batch_paths as paths
import cluster_site as site
import servers
import wps_client as client
from joblauncher.shared import status_xml

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
grid_engine = paths.grid_engine
#: Seconds without a step of one that counts four times as often as that: it stands still.
STILL = 3.0
CASES = ("slurm, by the owner", "slurm, by an operator", "gridengine", "drmaa", "local")


def _level(level: str) -> None:
    """What the service's account may do in Slurm (sacctmgr(1), AdminLevel)."""
    command = ["sacctmgr", "--immediate", "modify", "user", site.user(), "set"]
    subprocess.run([*command, f"adminlevel={level}"], check=True, capture_output=True)


@pytest.fixture(params=[paths.param(case.partition(",")[0], case) for case in CASES])
def case(request: pytest.FixtureRequest) -> Iterator[str]:
    case: str = request.param
    if "operator" in case:
        _level("Operator")
    yield case
    if "operator" in case:
        _level("None")


@pytest.fixture
def hpc(case: str, request: pytest.FixtureRequest) -> Iterator[servers.HpcServer]:
    root = site.folder("pause")
    site.code(root)
    path = case.partition(",")[0]
    paths.prepare(path, request)
    with (
        paths.turn(path),
        site.slurm_server(root, "faulty:service", sections=paths.PATHS[path]()) as server,
    ):
        yield server


def _state(server: servers.HpcServer, job_id: str) -> str:
    row = server.row(job_id)
    return str(row["state"]) if row else ""


def _standing(server: servers.HpcServer) -> str:
    """The processes of its jobs on this host and their states (ps(1)), to see who stands still."""
    pids = ",".join(str(process.pid) for process in server.job_processes())
    fields = "pid,ppid,pgid,stat,wchan:20,etimes,args"
    listed = subprocess.run(["ps", "-o", fields, "-p", pids or "0"], capture_output=True, text=True)
    return listed.stdout


def test_a_job_that_counts_stops_counting_and_goes_on(hpc: servers.HpcServer, case: str) -> None:
    location = client.submit(hpc.url, "ticks")
    job_id = client.job_id_of(location)
    servers.wait_for(
        lambda: "counted" in client.message_of(client.get(location).content), "it counts"
    )
    servers.wait_for(lambda: _state(hpc, job_id) == "running", "the table says running")
    assert "will be paused" in hpc.cli("pause", job_id).stdout
    servers.wait_for(lambda: _state(hpc, job_id) == "paused", "the table says paused")
    if case.startswith("slurm"):
        row = hpc.row(job_id)
        assert row is not None
        listed = site.as_user("squeue", "-h", "-o", "%T", "-j", row["native_id"]).strip()
        assert listed == ("SUSPENDED" if "operator" in case else "STOPPED")
    ticks = hpc.job(job_id).work / "ticks.txt"

    def stands_still() -> bool:  # by and by: Slurm sends SIGTSTP first, SIGSTOP later
        before = ticks.read_bytes()
        time.sleep(STILL)
        return ticks.read_bytes() == before

    servers.wait_for(stands_still, "it counts no longer")
    still = time.time()
    before = status_xml.parse(client.get(location).content)
    assert before.state == "paused"
    time.sleep(STILL)
    assert status_xml.parse(client.get(location).content) == before
    resumed, counted = time.time(), ticks.read_bytes()
    assert "will be resumed" in hpc.cli("resume", job_id).stdout
    servers.wait_for(lambda: len(ticks.read_bytes()) > len(counted) + 20, "it counts again")
    servers.wait_for(lambda: _state(hpc, job_id) == "running", "the table says running again")
    site.release(hpc, job_id)
    try:
        document = client.await_end(location)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_standing(hpc)}") from None
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    text = client.outputs_of(document)["document"].content
    lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
    steps, moments = zip(*(map(float, line.split()) for line in lines), strict=True)
    assert list(steps) == list(range(1, len(steps) + 1))
    # Once it stood still from before until after that time, and that was the one pause.
    assert [(a, b) for a, b in pairwise(moments) if a < resumed and b > still] == [
        (a, b) for a, b in pairwise(moments) if a < still and b > resumed
    ]
    assert moments[0] < still
    assert moments[-1] > resumed
    servers.wait_for(lambda: _state(hpc, job_id) == "succeeded", "the table knows")
