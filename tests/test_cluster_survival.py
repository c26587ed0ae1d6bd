"""Power failures and a rush: nothing that was accepted is lost, nothing runs twice."""

from __future__ import annotations

import collections
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import clustersite as site
import servers
import wpsclient as client

pytestmark = pytest.mark.cluster
#: More than the two nodes run at once, so that some wait in the queue.
JOBS = 24


@pytest.fixture
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("survival")
    site.code(root)
    sections = {"hpc": {"command_timeout": "5"}, "hpc.resources": {"memory": "300M"}}
    with site.slurm_server(root, "examples.service:service", sections=sections) as server:
        yield server


def _submit(server: servers.HpcServer, seconds: str = "0.2") -> str:
    return client.submit(server.url, "countdown", [("steps", "10"), ("seconds", seconds)])


def _accounted(server: servers.HpcServer) -> collections.Counter[str]:
    """How often each of this server's job names was really run, as Slurm's accounting has it."""
    names = {row["name"] for row in server.rows()}
    line = ["sacct", "-X", "-n", "-P", "-a", "-S", "now-1hours", "-o", "JobName,State"]
    text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return collections.Counter(
        name
        for name, _, state in (entry.partition("|") for entry in text.splitlines())
        if name in names
    )


def _agree(server: servers.HpcServer, locations: list[str], root_state: str = "succeeded") -> None:
    """Documents, job table, Slurm and disk tell the same."""
    ids = [client.job_id_of(location) for location in locations]
    for location in locations:
        document = client.await_end(location, limit=240)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)

    def recorded() -> bool:
        return all((row := server.row(job)) and row["state"] == root_state for job in ids)

    servers.wait_for(recorded, "the table knows all ends", 60)
    servers.wait_for(lambda: len(_accounted(server)) == len(ids), "accounting knows all", 60)
    assert set(_accounted(server).values()) == {1}
    queue = site.as_user("squeue", "--noheader", "--me", "-o", "%j").split()
    assert not set(queue) & {row["name"] for row in server.rows()}
    for job in ids:
        folder = server.job(job)
        assert [lease.name for lease in folder.path.glob("lease.*")] == ["lease.0"]
        assert not folder.work.exists()


def test_after_kill_9_of_web_and_dispatcher_each_job_has_ended_once(
    hpc: servers.HpcServer,
) -> None:
    locations = [_submit(hpc, "1") for _ in range(JOBS)]

    def some_run() -> bool:
        states = {row["state"] for row in hpc.rows()}
        return "running" in states

    servers.wait_for(some_run, "some run", 60)
    locations += [_submit(hpc) for _ in range(4)]  # some are only just accepted
    states = collections.Counter(row["state"] for row in hpc.rows())
    hpc.kill9_all()
    assert states["running"], states
    assert states["queued"] + states["accepted"] + states["submitting"], states
    time.sleep(1)
    hpc.start()
    _agree(hpc, locations)


def test_kill_9_of_one_part_is_mended_by_itself(hpc: servers.HpcServer) -> None:
    locations = [_submit(hpc) for _ in range(4)]
    hpc.kill9("dispatcher")
    locations += [_submit(hpc) for _ in range(4)]
    hpc.kill9("web")
    servers.wait_for(hpc.answers, "the web server is back", 30)
    _agree(hpc, locations)


def test_200_requests_at_once_are_answered_and_end(hpc: servers.HpcServer) -> None:
    def one(_number: int) -> str:
        return client.submit(hpc.url, "countdown", [("steps", "1"), ("seconds", "0.01")])

    with ThreadPoolExecutor(50) as clients:
        locations = list(clients.map(one, range(200)))
    assert len(set(locations)) == 200
    _agree(hpc, locations)
    assert sum(1 for _ in Path(hpc.spool.root).glob("????????-*")) == 200
