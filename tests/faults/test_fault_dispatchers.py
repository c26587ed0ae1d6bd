"""Two dispatchers at once on a real batch system: one is killed, one is frozen and wakes up."""

from __future__ import annotations

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
    site = Slurm()
    with faulty_server("dispatchers", site, SECTIONS) as server:
        # It has the server's mark: the server's end is its end, too.
        server.started.append(server.spawn(server.program("dispatcher")))
        yield server


def _leader(server: servers.HpcServer) -> int:
    """The process id of the dispatcher in charge."""
    leader = server.leader()
    return int(leader["holder"].split(":")[2]) if leader else 0


def _wake(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
    parent = psutil.Process(pid).parent()
    if parent is not None and parent.name() == "runuser":  # which stops along with its child
        parent.send_signal(signal.SIGCONT)


def _another(server: servers.HpcServer, former: int) -> int:
    return servers.wait_for(
        lambda: (now := _leader(server)) not in (0, former) and now, "another one leads"
    )


def test_each_job_runs_once_whoever_leads(hpc: servers.HpcServer, witness: Witness) -> None:
    site = Slurm()
    servers.wait_for(lambda: hpc.read_log().count(": slurm") == 2, "both are up")
    jobs = [send(hpc, steps=4, seconds=0.25) for _ in range(6)]
    first = _leader(hpc)
    begun = time.time()
    os.kill(first, signal.SIGKILL)
    second = _another(hpc, first)
    taken_over = time.time() - begun
    for job in jobs:
        row_of(hpc, job, "succeeded")
    # One that is frozen within a transaction keeps SQLite locked for all others.
    frozen = time.time()
    failpoint_orders.suspend(hpc, psutil.Process(second))
    try:
        jobs += [send(hpc, steps=4, seconds=0.25) for _ in range(6)]
        third = _another(hpc, second)
        taken_again = time.time() - frozen
    finally:
        _wake(second)
    jobs += [send(hpc, steps=4, seconds=0.25) for _ in range(6)]
    for job in jobs:
        job.end()
        assert job.state == "ProcessSucceeded", job.told()
    agree(hpc, site, jobs)
    rows = [row_of(hpc, job, "succeeded") for job in jobs]
    servers.wait_for(lambda: all(map(site.runs, rows)), "accounting knows all")
    assert [site.runs(row) for row in rows] == [1] * len(rows)
    assert all(hpc.job(job.job_id).attempts() == {0} for job in jobs)
    servers.wait_for(lambda: "another one took over" in hpc.read_log(), "the frozen one sees it")
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
