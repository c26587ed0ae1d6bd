"""Two dispatchers of one service: the leader stands still for long, is replaced, and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import cluster_site as site
import failpoint_orders
import invariants
import servers
import wps_client as client
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

SLEEP = ("sleeper", [("seconds", "0.1")])
#: Step at which it stands still -> a job that comes there, and how often Slurm is given it.
STEPS = {
    "submit.1": (SLEEP, 1),
    # Nothing can be asked between this step and sbatch: the launcher's lease keeps the job one.
    "submit.3": (SLEEP, 2),
    "end.1": (("sigkill", []), 1),
}


@pytest.fixture(scope="module")
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("dispatchers")
    site.code(root)
    sections = {
        # A lease of 12 seconds: on a busy host nobody stands still that long by himself.
        "hpc": {"command_timeout": "3", "grace": "2"},
        "hpc.resources": {"memory": "300M"},
    }
    server = site.slurm_server(root, "odd:service", sections=sections, workers=1)
    server.dispatcher = False
    with server:
        yield server


@pytest.fixture(scope="module")
def pair(hpc: servers.HpcServer) -> Iterator[list[failpoint_orders.Dispatcher]]:
    """The one that leads, and the other one."""
    with failpoint_orders.Dispatcher(hpc, "first") as first:
        servers.wait_for(lambda: first.says("leads"), "the first one leads")
        with failpoint_orders.Dispatcher(hpc, "second") as second:
            servers.wait_for(lambda: second.says(": slurm"), "the second one stands by")
            yield [first, second]


@pytest.mark.parametrize("step", STEPS)
def test_a_dispatcher_that_was_replaced_while_it_stood_still_does_no_harm(
    hpc: servers.HpcServer, pair: list[failpoint_orders.Dispatcher], step: str, witness: Witness
) -> None:
    leader, standby = pair
    (process, inputs), given = STEPS[step]
    replaced, led = leader.says("another one took over"), standby.says("leads")
    leader.orders.give(step, "stop")
    location = client.submit(hpc.url, process, inputs)
    servers.wait_for(leader.is_stopped, "the leader stands still")
    begun = time.monotonic()
    document = client.await_end(location)
    seconds = time.monotonic() - begun
    assert standby.says("leads") == led + 1
    job_id = client.job_id_of(location)
    servers.wait_for(lambda: (row := hpc.row(job_id)) and row["finished"], "the row is closed")
    before = hpc.row(job_id)
    leader.resume()
    servers.wait_for(lambda: leader.says("another one took over") > replaced, "it notices")
    pair.reverse()
    row = hpc.row(job_id)
    assert row == before
    assert row is not None
    place = (row["name"], row["place"])
    servers.wait_for(lambda: invariants.slurm_runs()[place] == given, "accounting has it")
    servers.wait_for(lambda: place not in invariants.slurm_queue(), "the queue is empty")
    assert client.get(location).content == document
    assert [lease.name for lease in hpc.job(job_id).path.glob("lease.*")] == ["lease.0"]
    expected = "ProcessFailed" if process == "sigkill" else "ProcessSucceeded"
    assert client.state_of(document) == expected
    witness(
        f"dispatcher stands still beyond its lease, another one takes over, it goes on ({step})",
        f"SIGSTOP at step {step}, SIGCONT after the other one ended the job",
        client.message_of(document),
        seconds,
        "Slurm",
    )


@pytest.mark.sums_up
def test_all_jobs_have_ended_once(
    hpc: servers.HpcServer, pair: list[failpoint_orders.Dispatcher]
) -> None:
    twice = {
        row["id"] for row in hpc.rows() if invariants.slurm_runs()[row["name"], row["place"]] == 2
    }
    assert len(twice) == sum(1 for _, given in STEPS.values() if given == 2)
    invariants.check_server(hpc, [row["id"] for row in hpc.rows()], restarted=frozenset(twice))
