"""A node fails, or the batch system starts a job again: there is one result, and it is whole.

The service allows it to (``requeue = yes``). Where a daemon is killed its jobs' processes live on,
as they do on a node that the network lost: what they write late must not spoil anything.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

import cluster_site
import servers
import wps_client as client
from batch_faults import GridEngine, Slurm, Watch, agree, faulty_server, release, row_of, send
from joblauncher.shared import outcome
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.jobs import standing
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
on_grid_engine = pytest.mark.batch_system("gridengine")
SECTIONS = {
    "hpc": {"poll_interval": 0.5, "poll_backoff": 1, "grace": 40, "command_timeout": 5},
    "hpc.resources": {"requeue": "yes"},
}
ON_SLURM = {
    "hpc.resources": {"requeue": "yes", "memory": "300M"},
    "hpc.inputs": {"fetch": "server", "allowed_networks": "127.0.0.0/8"},
    "hpc.process.second": {"extra": "--nodelist=c2"},
    "hpc.process.preempted": {"queue": "spare", "extra": "--nodelist=c2", "memory": "5500M"},
}
ON_GRID_ENGINE = {"hpc.process.second": {"requeue": "no"}}
#: Seconds from a daemon's return to the end that it reports.
SOON = 45.0
AGAIN = "The batch system starts it again; waiting as "


@pytest.fixture(scope="module")
def slurm() -> Iterator[servers.HpcServer]:
    site = Slurm()
    image = cluster_site.folder("image") / "removable.sif"
    image.symlink_to(os.environ["PYWPS_HPC_TEST_IMAGE"])
    sections = SECTIONS | ON_SLURM | {"hpc.process.no_image": {"image": image}}
    with faulty_server("nodes", site, sections, restarts=True) as server:
        yield server


@pytest.fixture(scope="module")
def grid_engine() -> Iterator[servers.HpcServer]:
    site = GridEngine()
    with faulty_server("nodes", site, SECTIONS | ON_GRID_ENGINE, restarts=True) as server:
        yield server


def _started(server: servers.HpcServer, process: str) -> tuple[Watch, str]:
    """A job that runs until it is released, and its id in the batch system."""
    job = send(server, process, wait=1)
    job.until("ProcessStarted", "left")
    return job, str(row_of(server, job, "running")["native_id"])


def _start_soon(native_id: str, *more: str) -> None:
    """Slurm waits a minute or two before it starts a job again. That can be shortened, but not to
    the second in which the job was stopped: the node would still refuse it, and the job fail."""
    time.sleep(2)
    Slurm().control("update", f"jobid={native_id}", "starttime=now", *more)


def _ends_once(server: servers.HpcServer, job: Watch, attempts: int) -> None:
    """Released in the last of its attempts it succeeds; that one, and no other, made the result."""
    folder = server.job(job.job_id)
    begun = set(range(attempts))
    servers.wait_for(lambda: folder.attempts() >= begun, f"attempt {attempts - 1} begins")
    release(server, job)
    job.end()
    assert job.state == "ProcessSucceeded", job.told()
    agree(server, Slurm(), [job])
    assert folder.attempts() == set(range(attempts))
    facts = outcome.read(folder)
    assert facts is not None
    assert (facts.attempt, facts.state) == (attempts - 1, outcome.SUCCEEDED)


def test_requeued_by_an_administrator(slurm: servers.HpcServer, witness: Witness) -> None:
    job, native_id = _started(slurm, "counts")
    begun = time.time()
    Slurm().control("requeue", native_id)
    job.until("ProcessAccepted", AGAIN)
    _start_soon(native_id)
    _ends_once(slurm, job, 2)
    witness(
        "started again by an administrator",
        "`scontrol requeue` while the process counts",
        f"accepted: {AGAIN}…, then: {job.message}",
        job.ended - begun,
        "Slurm",
    )


def test_inputs_are_what_they_were_when_a_job_is_started_again(
    slurm: servers.HpcServer, witness: Witness, tmp_path: Path
) -> None:
    """Given inline, in a file and by HTTP. The process puts others in their places, and tries to
    change what the service prepared."""
    data = slurm.folder / "inputs"
    (data / "linked.txt").write_text("linked")
    (data / "linked.txt").chmod(0o644)
    (tmp_path / "fetched.txt").write_text("fetched")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        given = [
            ("file", client.Complex("inline")),
            ("file", client.Reference((data / "linked.txt").as_uri())),
            ("file", client.Reference(f"http://127.0.0.1:{web.server_port}/fetched.txt")),
            ("checked", client.Complex("checked")),
            ("wait", "1"),
            ("hostile", "1"),
        ]
        job = Watch(client.submit(slurm.url, "editor", given))
        found = "input.txt inline|linked.txt linked|fetched.txt fetched|input.dat checked"
        job.until("ProcessStarted", found)
        assert "removed" not in job.message
        web.shutdown()
    begun = time.time()
    native_id = str(row_of(slurm, job, "running")["native_id"])
    Slurm().control("requeue", native_id)
    job.until("ProcessAccepted", AGAIN)
    _start_soon(native_id)
    release(slurm, job)
    job.end()
    assert job.state == "ProcessSucceeded", job.told()
    facts = outcome.read(slurm.job(job.job_id))
    assert facts is not None
    assert facts.attempt == 1
    result = str(client.outputs_of(job.document)["result"].content)
    assert result.startswith(f"{found}|"), result
    assert "removed" not in result
    witness(
        "started again by an administrator, its process having changed its inputs",
        "`scontrol requeue` after the process put others in their places",
        f"the second start read what was sent: {job.message}",
        job.ended - begun,
        "Slurm",
    )


def test_started_again_without_its_image(slurm: servers.HpcServer, witness: Witness) -> None:
    """The launcher of the first start was told to stop; of the second one there never was one."""
    job, native_id = _started(slurm, "no_image")
    Slurm().control("requeue", native_id)
    job.until("ProcessAccepted", AGAIN)
    Path(slurm.sections["hpc.process.no_image"]["image"]).unlink()
    _start_soon(native_id)
    told = job.end()
    assert told == messages.EXIT_CODES[255], job.told()
    agree(slurm, Slurm(), [job])
    known = Slurm().knew_at(native_id)
    witness(
        "started again by an administrator, its image gone meanwhile",
        "`scontrol requeue` while the process counts; the image's file removed",
        told,
        max(0.0, job.ended - known),
        "Slurm",
    )


def test_preempted_and_started_again(slurm: servers.HpcServer, witness: Witness) -> None:
    job, native_id = _started(slurm, "preempted")
    begun = time.time()
    line = ["--partition=urgent", "--nodelist=c2", "--mem=5500M", "--time=1", "--wrap=sleep 1"]
    cluster_site.as_user("sbatch", "--chdir=/", "--output=/dev/null", *line)
    job.until("ProcessAccepted", AGAIN)
    _start_soon(native_id)
    _ends_once(slurm, job, 2)
    witness(
        "preempted, may start again",
        "a job in a partition of higher tier",
        f"accepted: {AGAIN}…, then: {job.message}",
        job.ended - begun,
        "Slurm",
    )


def test_node_lost_while_its_processes_live_on(slurm: servers.HpcServer, witness: Witness) -> None:
    site = Slurm()
    job, native_id = _started(slurm, "second")
    begun = time.time()
    site.kill("c2")
    try:
        # An administrator who knows that the node is lost need not wait for Slurm's own timeout.
        site.control("update", "nodename=c2", "state=down", "reason=test")
        # The client may be shown how the first start goes on.
        row_of(slurm, job, "queued")
        _start_soon(native_id, "nodelist=c1")
        _ends_once(slurm, job, 2)
        servers.wait_for(
            lambda: (
                "attempt 1 of the job has begun: this start gives up"
                in slurm.cli("log", job.job_id).stdout
            ),
            "the first start gives up",
        )
    finally:
        site.mend()
    witness(
        "node lost, its processes live on",
        "slurmd killed by SIGKILL; the job starts again on another node",
        f"the progress of the first start, then of the second, then: {job.message}",
        job.ended - begun,
        "Slurm",
    )


def test_node_daemon_killed_and_back(slurm: servers.HpcServer, witness: Witness) -> None:
    site = Slurm()
    job, _ = _started(slurm, "second")
    begun = time.time()
    site.kill("c2")
    try:
        time.sleep(2)
    finally:
        site.start("c2")
    _ends_once(slurm, job, 1)
    witness(
        "node's daemon crashes and comes back",
        "slurmd killed by SIGKILL, started 2 s later",
        job.message,
        job.ended - begun,
        "Slurm",
    )


@on_grid_engine
def test_rescheduled_on_grid_engine(grid_engine: servers.HpcServer, witness: Witness) -> None:
    site = GridEngine()
    job, native_id = _started(grid_engine, "counts")
    begun = time.time()
    for attempt in (1, 2):  # Grid Engine tells a job that it was started before, not how often
        site.ask("qmod", "-rj", native_id)
        servers.wait_for(
            lambda attempt=attempt: attempt in grid_engine.job(job.job_id).attempts(),
            f"attempt {attempt} begins",
        )
        # It counts, and has not only begun to.
        ticks = replace(grid_engine.job(job.job_id), attempt=attempt).work / "ticks.txt"
        servers.wait_for(ticks.exists, f"attempt {attempt} counts")
    _ends_once(grid_engine, job, 3)
    witness(
        "started again by an administrator",
        "`qmod -rj`, twice, while the process counts",
        job.message,
        job.ended - begun,
        "Grid Engine",
    )


@on_grid_engine
def test_execution_daemon_killed_and_back_on_grid_engine(
    grid_engine: servers.HpcServer, witness: Witness
) -> None:
    site = GridEngine()
    job, _ = _started(grid_engine, "counts")
    site.kill(site.node)
    try:
        release(grid_engine, job)
        # Nobody but the daemon can confirm what the process says of itself.
        job.until("ProcessStarted", standing.ENDING)
        time.sleep(2)
        assert job.message == standing.ENDING, job.told()
    finally:
        site.start(site.node)
    back = time.time()
    _ends_once(grid_engine, job, 1)
    told = job.ended - back
    assert told <= SOON
    witness(
        "node's daemon crashes and comes back",
        "sge_execd killed by SIGKILL, started 2 s after the process ended; counted from there",
        job.message,
        told,
        "Grid Engine",
    )


@on_grid_engine
def test_node_loses_power_on_grid_engine(grid_engine: servers.HpcServer, witness: Witness) -> None:
    """Grid Engine finds out when the host is back: the shepherd died without a word."""
    site = GridEngine()
    job, _ = _started(grid_engine, "second")
    shepherds = [
        process
        for process in psutil.Process(site.pid(site.node)).children()
        if process.name() == "sge_shepherd"
    ]
    assert shepherds
    site.kill(site.node)
    try:
        servers.shoot([*shepherds, *grid_engine.job_processes()])
    finally:
        site.start(site.node)
    back = time.time()
    assert job.end().startswith("the compute node failed (failed 19")
    agree(grid_engine, site, [job])
    witness(
        "node loses power",
        "sge_execd, sge_shepherd and the job killed by SIGKILL; sge_execd started",
        job.message,
        job.ended - back,
        "Grid Engine",
    )
