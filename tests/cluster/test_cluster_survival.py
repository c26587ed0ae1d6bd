"""Power failures and a rush: nothing that was accepted is lost, nothing runs twice."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cluster_site as site
import invariants
import servers
import wps_client as client
from reliability import Witness
from status_readers import Reader

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
#: More than the two nodes run at once, so that some wait in the queue.
JOBS = 24


@pytest.fixture
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("survival")
    site.code(root)
    sections = {"hpc": {"command_timeout": "5"}, "hpc.resources": {"memory": "300M"}}
    with site.slurm_server(root, "faulty:service", sections=sections) as server:
        yield server


def _submit(server: servers.HpcServer, *, wait: int = 0) -> str:
    inputs = [("steps", "10"), ("seconds", "0.2"), ("wait", str(wait))]
    return client.submit(server.url, "counts", inputs)


def _all_succeeded(
    server: servers.HpcServer, locations: list[str], reader: Reader | None = None
) -> None:
    """Whoever is asked tells of the same success of each job, and nothing is left of it."""
    facts = invariants.check_server(server, locations, reader=reader, limit=240)
    assert len(facts.rows) == len(locations)
    assert {row.state for row in facts.rows.values()} == {"succeeded"}
    assert facts.runs is not None
    assert {facts.runs[row.name, row.array_index] for row in facts.rows.values()} == {1}
    for location in locations:
        assert client.state_of(client.get(location).content) == "ProcessSucceeded"


def test_after_kill_9_of_web_and_dispatcher_each_job_has_ended_once(
    hpc: servers.HpcServer, witness: Witness
) -> None:
    with Reader.of(hpc) as reader:
        locations = [_submit(hpc, wait=1) for _ in range(JOBS)]

        def some_run() -> bool:
            return any(row["state"] == "running" for row in hpc.rows())

        servers.wait_for(some_run, "some run")
        locations += [_submit(hpc) for _ in range(4)]  # some are only just accepted
        states = collections.Counter(row["state"] for row in hpc.rows())
        hpc.kill9_all()
        assert states["running"], states
        assert states["queued"] + states["accepted"] + states["submitting"], states
        site.release(hpc, *map(client.job_id_of, locations))
        time.sleep(1)
        begun = time.monotonic()
        hpc.start()
        _all_succeeded(hpc, locations, reader)
    assert reader.count > JOBS
    how = f"kill -9 of all processes with {len(locations)} jobs on their way, started again"
    saw = f"all of them: {client.message_of(client.get(locations[-1]).content)}"
    witness("web server and dispatcher killed", how, saw, time.monotonic() - begun, "Slurm")


def test_kill_9_of_one_part_is_mended_by_itself(hpc: servers.HpcServer, witness: Witness) -> None:
    locations = [_submit(hpc) for _ in range(4)]
    hpc.kill9("dispatcher")
    locations += [_submit(hpc) for _ in range(4)]
    hpc.kill9("web")
    begun = time.monotonic()
    servers.wait_for(hpc.answers, "the web server is back")
    back = time.monotonic() - begun
    _all_succeeded(hpc, locations)
    saw = f"GetCapabilities again; the jobs: {client.message_of(client.get(locations[0]).content)}"
    witness("web server killed while jobs run", "kill -9 of its processes", saw, back, "Slurm")


def test_200_requests_at_once_are_answered_and_end(hpc: servers.HpcServer) -> None:
    document = client.execute_document(
        "counts", [("steps", "1"), ("seconds", "0.01")], asynchronous=True
    )

    def one(_number: int) -> str:
        """As a client that does what it is told: a busy service says when to ask again."""
        while (answer := client.send(hpc.url, document)).status == 503:
            time.sleep(float(answer.headers["Retry-After"]))
        return client.location_of(answer)

    with ThreadPoolExecutor(50) as clients:
        locations = list(clients.map(one, range(200)))
    assert len(set(locations)) == 200
    _all_succeeded(hpc, locations)
    assert sum(1 for _ in Path(hpc.spool.root).glob("????????-*")) == 200
