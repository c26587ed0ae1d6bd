"""The batch system itself fails: its master is stopped, frozen, killed, or loses its memory.

What was accepted waits and is submitted later, once; what runs goes on; what is lost is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

import cluster_site
import parallel
import servers
from batch_faults import (
    ON_SITES,
    OVER,
    SITES,
    GridEngine,
    Site,
    Watch,
    agree,
    faulty_server,
    release,
    row_of,
    send,
)
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.jobs.standing import ENDING
from reliability import Witness

pytestmark = pytest.mark.cluster
GRACE = 10.0
#: Seconds in which ends are told once the batch system is back: daemons on a busy host take some to
#: find each other again.
SOON = 60.0
SECTIONS = {
    "hpc": {"poll_interval": 0.5, "poll_backoff": 1, "grace": GRACE, "command_timeout": 5},
    # Two of these fill the cluster, the next ones wait.
    "hpc.process.second": {"cpus": 8},
}


@dataclass
class DispatcherHarness:
    """A batch system to break, and a service that uses it."""

    site: Site
    server: servers.HpcServer

    def fill(self) -> list[Watch]:
        """Two jobs that run until they are released, and one that waits for its turn behind."""
        jobs = [send(self.server, "second", wait=1) for _ in range(2)]
        for job in jobs:
            job.until("ProcessStarted", "left")
        waits = send(self.server, "second")
        row_of(self.server, waits, "queued")
        return [*jobs, waits]

    def trouble(self) -> str:
        """What the dispatcher says that it cannot do."""
        leader = self.server.leader()
        return str(leader["message"]) if leader else ""

    def end(self, jobs: Sequence[Watch]) -> None:
        """All succeed, each of them run once, and nothing keeps the dispatcher from its work."""
        for job in jobs:
            job.end()
            assert job.state == "ProcessSucceeded", job.told()
        agree(self.server, self.site, list(jobs))
        rows = [row_of(self.server, job, "succeeded") for job in jobs]
        servers.wait_for(lambda: all(map(self.site.runs, rows)), "accounting knows all")
        assert [self.site.runs(row) for row in rows] == [1] * len(rows)
        servers.wait_for(lambda: not self.trouble(), "the dispatcher can do its work")


@pytest.fixture(scope="module", params=ON_SITES)
def harness(request: pytest.FixtureRequest) -> Iterator[DispatcherHarness]:
    site = SITES[request.param]()
    with parallel.turn(site.system, alone=True):
        site.mend()
        site.prepare()
    with faulty_server("scheduler", site, SECTIONS) as server:
        yield DispatcherHarness(site, server)


@pytest.fixture(autouse=True)
def mended(harness: DispatcherHarness) -> Iterator[None]:
    """Whatever a test did to the daemons is undone before the next one, and no job of it stays."""
    yield
    harness.site.mend()
    cluster_site.release(harness.server, *(str(row["id"]) for row in harness.server.rows()))


def test_stopped_for_a_while(harness: DispatcherHarness, witness: Witness) -> None:
    site, server = harness.site, harness.server
    jobs = harness.fill()
    with site.down(site.master):
        late = [send(server) for _ in range(2)]
        servers.wait_for(harness.trouble, "the dispatcher says that it cannot ask")
        assert server.answers()
        # What runs goes on to its end, of which the client reads that it is to be confirmed: a
        # document that could be forged tells no end (see invariant 6 in architecture.md).
        release(harness.server, *jobs)
        servers.wait_for(lambda: sum(job.message == ENDING for job in jobs) == 2, "two end")
        assert sum(server.has_succeeded(job.job_id) for job in jobs) == 2
        time.sleep(3)
        assert {job.state for job in late} == {"ProcessAccepted"}
        assert not {state for job in jobs for _, state, _ in job.seen} & set(OVER)
    begun = time.time()
    harness.end([*jobs, *late])
    assert max(job.ended for job in [*jobs, *late]) - begun < SOON, [job.told() for job in jobs]
    seconds = max(job.ended for job in late) - begun
    witness(
        "scheduler down while jobs wait, run and end",
        f"{site.master} stopped; two jobs sent meanwhile",
        f"accepted, then: {late[0].message}",
        seconds,
        site.name,
    )


@pytest.mark.parametrize("dispatcher", ["lives", "is killed"])
def test_frozen_while_jobs_are_submitted(
    harness: DispatcherHarness, witness: Witness, dispatcher: str
) -> None:
    site, server = harness.site, harness.server
    with site.hung(site.master):
        jobs = [send(server) for _ in range(2)]
        row_of(server, jobs[0], "submitting")
        if dispatcher == "is killed":
            time.sleep(1)
            server.kill9("dispatcher")
        time.sleep(7)  # longer than a command may take
        assert {job.state for job in jobs} == {"ProcessAccepted"}
    begun = time.time()
    harness.end(jobs)
    how = f"SIGSTOP to {site.master}, SIGCONT after 8 s"
    if dispatcher == "is killed":
        how = f"{how}; the dispatcher killed by SIGKILL while it submits"
    witness(
        "scheduler hung while jobs are submitted"
        + (", dispatcher killed" if dispatcher == "is killed" else ""),
        how,
        jobs[0].message,
        max(job.ended for job in jobs) - begun,
        site.name,
    )


def test_killed_and_started_with_its_memory(harness: DispatcherHarness, witness: Witness) -> None:
    site = harness.site
    jobs = harness.fill()
    site.await_saved(time.time())
    site.kill(site.master)
    late = send(harness.server)
    time.sleep(3)
    site.start(site.master)
    release(harness.server, *jobs)
    begun = time.time()
    harness.end([*jobs, late])
    witness(
        "scheduler crashes and comes back",
        f"{site.master} killed by SIGKILL, started 3 s later",
        jobs[0].message,
        max(job.ended for job in jobs) - begun,
        site.name,
    )


def test_killed_and_started_without_its_memory(
    harness: DispatcherHarness, witness: Witness
) -> None:
    site, server = harness.site, harness.server
    jobs = harness.fill()
    site.forget()
    begun = time.time()
    for job in jobs:
        job.end()
    told = {job.message for job in jobs}
    # Whom execd stops before the dispatcher has given them up can still say so (SIGUSR2: -notify).
    assert told <= {
        messages.LOST,
        messages.CANCELLED_OR_LOST,
        "stopped by the batch system (SIGUSR2)",
    }
    agree(server, site, jobs)
    witness(
        "scheduler loses its memory",
        f"{site.master} killed by SIGKILL, started with an empty state",
        jobs[0].message,
        max(job.ended for job in jobs) - begun,
        site.name,
    )
    harness.end([send(server)])


def test_accounting_cannot_be_asked(harness: DispatcherHarness, witness: Witness) -> None:
    site, server = harness.site, harness.server
    with site.no_accounting():
        job = send(server, "counts", wait=1)
        job.until("ProcessStarted", "left")
        begun = time.time()
        site.cancel(str(row_of(server, job, "running")["native_id"]))
        good = send(server)
        good.until("ProcessSucceeded")
        if isinstance(site, GridEngine):  # nobody else knows how a job ended
            time.sleep(GRACE + 2)
            assert job.state == "ProcessStarted", job.told()  # that is not "lost"
            begun = time.time()
        else:
            job.end()
    assert job.end().startswith("cancelled by an administrator of the cluster")
    agree(server, site, [job])
    harness.end([good])
    witness(
        "accounting down when a job ends",
        "slurmdbd stopped; slurmctld is asked"
        if site.name == "Slurm"
        else "accounting file unreadable for longer than the grace; then readable",
        job.message,
        job.ended - begun,
        site.name,
    )
