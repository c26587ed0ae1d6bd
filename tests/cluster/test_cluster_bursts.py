"""A thousand jobs at once reach Slurm as a few arrays, and each is still a job of its own."""

from __future__ import annotations

import collections
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

import cluster_site as site
import failpoint_orders
import servers
import wps_client as client

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm"), pytest.mark.timeout(600)]
JOBS = 1000
MOST_SUBMISSIONS = 20


@pytest.fixture(scope="module")
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("bursts")
    site.code(root)
    sections = {
        # It may stand still for four times as long as a command may take.
        "hpc": {"poll_interval": "1", "command_timeout": "150"},
        # Nothing starts before this test says so.
        "hpc.resources": {"memory": "300M", "extra": "--begin=now+3600"},
    }
    with site.slurm_server(root, "examples.service:service", sections=sections) as server:
        yield server


@pytest.fixture(scope="module")
def locations(hpc: servers.HpcServer) -> list[str]:
    """Of the status documents of all jobs; some count to 3, most for minutes. They come at once:
    the dispatcher looks only when all of them are there, however busy the host."""

    def one(number: int) -> str:
        steps = "3" if number % 2 else "600"
        return client.submit(hpc.url, "countdown", [("steps", steps), ("seconds", "0.5")])

    with failpoint_orders.held(hpc), ThreadPoolExecutor(20) as clients:
        return list(clients.map(one, range(JOBS)))


@pytest.fixture(scope="module")
def rows(hpc: servers.HpcServer, locations: list[str]) -> dict[str, dict[str, Any]]:
    """The rows of all jobs by id, once Slurm has them all."""

    def all_queued() -> bool:
        return collections.Counter(row["state"] for row in hpc.rows()) == {"queued": JOBS}

    servers.wait_for(all_queued, "Slurm has all jobs", 300)
    return {row["id"]: row for row in hpc.rows()}


def _elements(native_id: str) -> set[str]:
    """The elements of this array that Slurm lists as waiting or running."""
    lines = site.as_user("squeue", "--array", "--me", "--noheader", "--format=%i|%T").split()
    listed = dict(line.split("|") for line in lines)
    return {one for one, state in listed.items() if one.split("_")[0] == native_id.split("_")[0]}


def _runs(location: str) -> bool:
    return client.state_of(client.get(location).content) == "ProcessStarted"


def _process(hpc: servers.HpcServer, location: str) -> psutil.Process:
    """The process's own interpreter, on its node: the launcher's child."""
    folder = str(hpc.job(hpc.id_of(location)).path)
    launchers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"joblauncher", folder} <= set(process.info["cmdline"] or [])
    ]
    return next(process for process in launchers if process.parent() in launchers)


def test_they_reach_slurm_in_few_submissions(rows: dict[str, dict[str, Any]]) -> None:
    natives = [row["native_id"] for row in rows.values()]
    assert len(set(natives)) == JOBS
    lines = site.as_user("squeue", "--array", "--me", "--noheader", "--format=%i %F").split("\n")
    listed = dict(line.split() for line in lines if line)
    assert set(natives) <= set(listed)
    assert len({listed[native] for native in natives}) <= MOST_SUBMISSIONS


def test_each_is_dismissed_alone_and_tells_its_own_reason(
    hpc: servers.HpcServer, locations: list[str], rows: dict[str, dict[str, Any]]
) -> None:
    arrays = collections.defaultdict(list)
    for number, location in enumerate(locations):
        native_id = rows[hpc.id_of(location)]["native_id"]
        arrays[native_id.split("_")[0]].append((number % 2 == 1, location, native_id))
    largest = max(arrays.values(), key=len)
    short = [one[1:] for one in largest if one[0]]
    long = [one[1:] for one in largest if not one[0]]
    (dismissed, dismissed_id), (counts, counts_id) = short[0], short[1]
    (ended, ended_id), (killed, killed_id), (stays, stays_id) = long[0], long[1], long[2]

    hpc.cli("cancel", hpc.id_of(dismissed)).check_returncode()
    servers.wait_for(lambda: dismissed_id not in _elements(dismissed_id), "it left the queue")
    for native_id in (counts_id, ended_id, killed_id):
        site.as_user("scontrol", "update", f"jobid={native_id}", "starttime=now")
    assert client.state_of(client.await_end(counts)) == "ProcessSucceeded"
    for location in (ended, killed):
        servers.wait_for(lambda where=location: _runs(where), "it counts")  # type: ignore[misc]
    subprocess.run(["scancel", ended_id], check=True)  # as root: an administrator
    _process(hpc, killed).kill()
    reasons = {
        location: client.message_of(client.await_end(location))
        for location in (dismissed, ended, killed)
    }
    assert "dismissed" in reasons[dismissed]
    assert "cancelled" in reasons[ended]
    assert "signal 9" in reasons[killed]
    assert stays_id in _elements(stays_id)
    assert hpc.row(hpc.id_of(stays))["state"] == "queued"
    assert "succeeded" in hpc.cli("log", hpc.id_of(counts)).stdout


def test_all_the_others_are_dismissed_at_once(
    hpc: servers.HpcServer, rows: dict[str, dict[str, Any]]
) -> None:
    # The row of one whose end its client has read may still be open.
    waiting = {row["id"] for row in hpc.rows() if row["state"] == "queued"}
    assert len(waiting) > JOBS / 2
    hpc.cli("cancel", *waiting).check_returncode()

    def none_left() -> bool:
        return waiting <= {row["id"] for row in hpc.rows() if row["state"] == "dismissed"}

    servers.wait_for(none_left, "all are dismissed", 240)
    arrays = {row["native_id"].split("_")[0] for row in rows.values()}
    servers.wait_for(lambda: not any(map(_elements, arrays)), "none is left in the queue")
