"""Pilots on a real batch system: many jobs in one batch job, each with an end of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil
import pytest

import cluster_site as site
import servers
import wps_client as client
from batch_paths import grid_engine as grid_engine
from joblauncher.shared.jobdir import JobDir
from pilot_site import (
    STAND_INS,
    Queue,
    folders,
    kill,
    native,
    param,
    pilots,
    queue_of,
    service,
    state,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
#: Seconds in which nothing is left of a job that was dismissed.
GONE = 3.0


@pytest.fixture(params=[param("slurm"), param("gridengine")])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    yield from queue_of(request, request.param)


@pytest.fixture(params=[param(system) for system in STAND_INS])
def pbs(request: pytest.FixtureRequest) -> Iterator[Queue]:
    yield from queue_of(request, request.param)


def start(server: servers.HpcServer, process: str = "ticks", *inputs: tuple[str, str]) -> str:
    location = client.submit(server.url, process, list(inputs))
    if process == "ticks":
        servers.wait_for(lambda: "counted" in told(location), "it counts", 60)
    return location


def told(location: str) -> str:
    return client.message_of(client.get(location).content)


def ticks(job: JobDir) -> bytes:
    return (job.work / "ticks.txt").read_bytes()


def goes_on(server: servers.HpcServer, location: str) -> None:
    job = server.job(client.job_id_of(location))
    before = ticks(job)
    servers.wait_for(lambda: len(ticks(job)) > len(before), "the neighbour counts on", 10)


def finish(server: servers.HpcServer, location: str) -> None:
    site.release(server, client.job_id_of(location))
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)


def test_jobs_of_one_pilot_have_ends_of_their_own(queue: Queue) -> None:
    with service(queue) as server:
        first = [client.submit(server.url, "counts", [("seconds", "0.1")]) for _ in range(6)]
        for location in first:
            document = client.await_end(location)
            assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        assert len(pilots(server)) == 1
        for location in first:
            assert native(server, location).startswith(folders(server)[0].name)
        begun = time.monotonic()
        finish_one = client.await_end(client.submit(server.url, "counts", [("seconds", "0.0")]))
        assert client.state_of(finish_one) == "ProcessSucceeded"
        print(f"one more job: {time.monotonic() - begun:.2f} s")

        neighbour = start(server)
        # Memory beyond its limit.
        too_much = [("mebibytes", str(2 * queue.memory))]
        document = client.await_end(client.submit(server.url, "greedy", too_much))
        asked = "1 GB" if queue.memory == 1024 else f"{queue.memory} MB"
        assert f"more than the {asked} asked for" in client.message_of(document)
        goes_on(server, neighbour)
        # Paused, and going on.
        location = start(server)
        job = server.job(client.job_id_of(location))
        assert "will be paused" in server.cli("pause", job.job_id).stdout
        servers.wait_for(lambda: state(server, location) == "paused", "it is paused", 20)
        before = ticks(job)
        goes_on(server, neighbour)
        time.sleep(1)
        assert ticks(job) == before
        server.cli("resume", job.job_id)
        servers.wait_for(lambda: len(ticks(job)) > len(before), "it counts again", 20)
        # Dismissed.
        running = site.processes_of(job.job_id)
        server.cli("cancel", job.job_id)
        begun = time.monotonic()
        psutil.wait_procs(running, timeout=GONE)
        assert not any(process.is_running() for process in running)
        print(f"dismissed: {time.monotonic() - begun:.2f} s")
        servers.wait_for(lambda: state(server, location) == "dismissed", "it is dismissed", 20)
        goes_on(server, neighbour)
        assert native(server, neighbour).startswith(folders(server)[0].name)
        # Without a dispatcher, and with another one.
        server.kill9("dispatcher")
        goes_on(server, neighbour)
        servers.wait_for(lambda: server.heartbeat() < 10, "a dispatcher leads again")
        assert state(server, neighbour) == "running"
        finish(server, neighbour)
        servers.wait_for(lambda: state(server, neighbour) == "succeeded", "the table knows", 20)
        assert len(pilots(server)) == 1
        (pilot,) = pilots(server)
        assert queue.has(pilot)
        servers.wait_for(lambda: not queue.has(pilot), "the idle pilot ends", 60)
        assert (folders(server)[0] / "closed").read_text() == "it had no job for a while"


def test_a_time_limit_is_the_jobs_own(queue: Queue) -> None:
    with service(queue, pilot_walltime="01:00:00") as server:
        steps = [("steps", "100"), ("seconds", "1")]
        document = client.await_end(client.submit(server.url, "slow", steps))
        assert "time limit" in client.message_of(document)
        assert queue.has(pilots(server)[0])


@pytest.mark.parametrize(
    ("queue", "how"),
    [
        pytest.param(system, how, marks=param(system).marks)
        for system, how in (("slurm", "removed"), ("slurm", "killed"), ("gridengine", "removed"))
    ],
    indirect=["queue"],
)
def test_a_pilot_that_dies_ends_what_it_ran_and_nothing_else(queue: Queue, how: str) -> None:
    with service(queue) as server:
        running = [start(server) for _ in range(3)]
        waiting = client.submit(server.url, "counts", [("seconds", "0.1")])
        servers.wait_for(lambda: state(server, waiting) == "queued", "it waits in the pilot", 20)
        first = pilots(server)[0]
        if how == "removed":
            queue.end(first)
        else:
            kill(server)
        for location in running:
            document = client.await_end(location)
            assert client.state_of(document) == "ProcessFailed"
            print(client.message_of(document))
            wanted = "cancelled" if how == "removed" else "pilot that ran it ended"
            assert wanted in client.message_of(document)
        document = client.await_end(waiting)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        for location in (*running, waiting):  # each was started once
            assert server.job(client.job_id_of(location)).attempts() == {0}


def test_a_pbs_runs_pilots_and_ends_them(pbs: Queue) -> None:
    with service(pbs, pilot_slots=2) as server:
        neighbour = start(server)
        document = client.await_end(client.submit(server.url, "greedy", [("mebibytes", "600")]))
        assert "more than the 300 MB asked for" in client.message_of(document)
        finish(server, client.submit(server.url, "counts", [("seconds", "0.1")]))
        goes_on(server, neighbour)
        (pilot,) = pilots(server)
        pbs.end(pilot)
        document = client.await_end(neighbour)
        assert "the pilot that ran it ended" in client.message_of(document)
        servers.wait_for(lambda: not pbs.has(pilot), "it is gone", 60)
        assert server.job(client.job_id_of(neighbour)).attempts() == {0}
