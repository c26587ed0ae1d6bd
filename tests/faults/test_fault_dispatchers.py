"""Two dispatchers at once on a real batch system: one is killed, one is frozen and wakes up."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

import failpoint_orders
import servers
from batch_faults import Slurm, agree, faulty_server, row_of, send
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
SECTIONS = {
    # A dispatcher that says nothing for four times this long is replaced.
    "hpc": {"poll_interval": 0.5, "poll_backoff": 1, "grace": 10, "command_timeout": 3},
    "hpc.resources": {"memory": "300M"},
}


@pytest.fixture
def hpc() -> Iterator[servers.HpcServer]:
    with faulty_server("dispatchers", Slurm(), SECTIONS) as server:
        yield server


@pytest.fixture
def standby(hpc: servers.HpcServer) -> Iterator[failpoint_orders.Dispatcher]:
    """Beside the server's own dispatcher, which leads."""
    servers.wait_for(lambda: ": leads" in hpc.read_log(), "the server's own leads")
    with failpoint_orders.Dispatcher(hpc, "standby") as second:
        servers.wait_for(lambda: second.says(": slurm"), "the other one stands by")
        yield second


def _leader(server: servers.HpcServer) -> int:
    """The process id of the dispatcher in charge."""
    leader = server.leader()
    return int(leader["holder"].split(":")[2]) if leader else 0


def _another(server: servers.HpcServer, former: int) -> int:
    return servers.wait_for(
        lambda: (now := _leader(server)) not in (0, former) and now, "another one leads"
    )


@contextlib.contextmanager
def _not_restarted(dispatcher: int) -> Iterator[None]:
    """Its supervisor, which else may start another one sooner than a standby takes over, stands
    still."""
    supervisor = psutil.Process(dispatcher).parent()
    assert supervisor is not None
    supervisor.suspend()
    try:
        yield
    finally:
        failpoint_orders.resume(supervisor)


def test_each_job_runs_once_whoever_leads(
    hpc: servers.HpcServer, standby: failpoint_orders.Dispatcher, witness: Witness
) -> None:
    site = Slurm()
    jobs = [send(hpc, steps=4, seconds=0.25) for _ in range(6)]
    first = _leader(hpc)
    begun = time.time()
    with _not_restarted(first):
        os.kill(first, signal.SIGKILL)
        second = _another(hpc, first)
    taken_over = time.time() - begun
    assert second == standby.process.pid
    for job in jobs:
        row_of(hpc, job, "succeeded")
    # One that is frozen within a transaction keeps SQLite locked for all others.
    frozen = time.time()
    standby.suspend()
    try:
        jobs += [send(hpc, steps=4, seconds=0.25) for _ in range(6)]
        third = _another(hpc, second)
        taken_again = time.time() - frozen
    finally:
        standby.resume()
    jobs += [send(hpc, steps=4, seconds=0.25) for _ in range(6)]
    for job in jobs:
        job.end()
        assert job.state == "ProcessSucceeded", job.told()
    agree(hpc, site, jobs)
    rows = [row_of(hpc, job, "succeeded") for job in jobs]
    servers.wait_for(lambda: all(map(site.runs, rows)), "accounting knows all")
    assert [site.runs(row) for row in rows] == [1] * len(rows)
    assert all(hpc.job(job.job_id).attempts() == {0} for job in jobs)
    servers.wait_for(lambda: standby.says("another one took over"), "the frozen one sees it")
    assert third != second
    witness(
        "dispatcher killed, another stands by",
        "SIGKILL to the one that leads, 6 jobs under way",
        jobs[0].message,
        taken_over,
        site.name,
    )
    witness(
        "dispatcher frozen, another stands by",
        "SIGSTOP to the one that leads, 6 jobs sent; SIGCONT when it was replaced",
        jobs[6].message,
        taken_again,
        site.name,
    )
