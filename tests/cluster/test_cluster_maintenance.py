"""What an administrator does to Slurm, and what the service makes of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cluster_site as site
import parallel
import servers
import wps_client as client

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm"), pytest.mark.timeout(600)]
#: A partition that few other tests use.
PARTITION = "short"
COUNTS = 3.0


def _scontrol(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=True, capture_output=True)


@contextmanager
def _under_maintenance(state: str) -> Iterator[None]:
    _scontrol("update", f"partitionname={PARTITION}", f"state={state}")
    try:
        yield
    finally:
        _scontrol("update", f"partitionname={PARTITION}", "state=up")


@pytest.fixture
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("maintenance")
    site.code(root)
    sections = {"hpc.process.spare": {"queue": PARTITION, "walltime": "00:01:00"}}
    with (
        parallel.turn(parallel.SLURM, alone=True),
        site.slurm_server(root, "faulty:service", sections=sections) as server,
    ):
        yield server


def _row(server: servers.HpcServer, job_id: str) -> dict[str, object]:
    return dict(server.row(job_id) or {})


@pytest.mark.parametrize("state", ["drain", "inactive", "down"])
def test_partition_under_maintenance_is_waited_for(hpc: servers.HpcServer, state: str) -> None:
    with _under_maintenance(state):
        location = client.submit(hpc.url, "spare")
        job_id = client.job_id_of(location)
        if state == "down":  # Slurm takes the job and lets it wait
            servers.wait_for(lambda: _row(hpc, job_id)["state"] == "queued", "it waits in Slurm")
            words = "waits for the end of a maintenance"
            servers.wait_for(lambda: words in str(_row(hpc, job_id)["message"]), "it says so")
        else:
            words = "waits: Slurm does not accept the job for now"
            servers.wait_for(lambda: words in str(_row(hpc, job_id)["message"]), "it waits here")
            assert words in client.message_of(client.get(location).content)
        time.sleep(5)
        assert _row(hpc, job_id)["state"] in ("accepted", "submitting", "queued")
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)


#: It hands the job over, and loses the answer; whoever is asked leaves a note.
LOSES = """\
#!/bin/sh
/usr/bin/sbatch "$@" > /dev/null
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1
"""
NOTES = """\
#!/bin/sh
echo "$0 $*" >> {calls}
exec /usr/bin/{name} "$@"
"""


def test_array_whose_answer_was_lost_is_found_by_one_look_up() -> None:
    root = site.folder("lost")
    site.code(root)
    commands, calls = root / "bin", root / "calls"
    commands.mkdir()
    calls.touch()
    calls.chmod(0o666)
    scripts = {name: NOTES.format(calls=calls, name=name) for name in ("squeue", "sacct")}
    for name, text in {"sbatch": LOSES, **scripts}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    sections = {
        "hpc": {"command_path": f"{commands}:/usr/bin:/bin"},
        "hpc.resources": {"memory": "300M", "extra": "--begin=now+3600"},
    }
    with (
        parallel.turn(parallel.SLURM, alone=True),
        site.slurm_server(root, "faulty:service", sections=sections) as server,
    ):
        jobs = [client.job_id_of(client.submit(server.url, "counts")) for _ in range(24)]

        def queued() -> bool:
            return all(_row(server, job)["state"] == "queued" for job in jobs)

        servers.wait_for(queued, "all are found in Slurm")
        arrays = {str(_row(server, job)["name"]) for job in jobs}
        asked = [line for line in calls.read_text().splitlines() if "--name=" in line]
        assert len(arrays) < 12, "they did not go as arrays: this proves nothing"
        # In the queue at once, so accounting need not be asked; twice where Slurm was slow.
        assert len(asked) <= 3 * len(arrays)
        server.cli("cancel", *jobs)
        servers.wait_for(
            lambda: all(_row(server, job)["state"] == "dismissed" for job in jobs), "all are gone"
        )


def _counting(server: servers.HpcServer) -> tuple[str, str, Path]:
    """A job that runs and counts until it is released: its location, its id, and what it writes."""
    location = client.submit(server.url, "ticks")
    job_id = client.job_id_of(location)
    servers.wait_for(lambda: _row(server, job_id)["state"] == "running", "the table says running")
    ticks = server.job(job_id).work / "ticks.txt"
    servers.wait_for(ticks.exists, "it counts")
    return location, job_id, ticks


def _stop(server: servers.HpcServer, job_id: str, what: str) -> str:
    """Send a stop signal past the service; the job's id in Slurm."""
    native_id = str(_row(server, job_id)["native_id"])
    site.as_user("scancel", "--signal=STOP", what, native_id)
    return native_id


def test_stop_signal_to_the_batch_step_alone_is_not_told_as_a_pause(
    hpc: servers.HpcServer,
) -> None:
    location, job_id, ticks = _counting(hpc)
    native_id = _stop(hpc, job_id, "--batch")

    def listed() -> str:
        return str(site.as_user("squeue", "-h", "-o", "%T", "-j", native_id).strip())

    servers.wait_for(lambda: listed() == "STOPPED", "Slurm calls it stopped")
    said = "received a stop signal"
    servers.wait_for(lambda: said in str(_row(hpc, job_id)["message"]), "the table knows of it")
    before = ticks.stat().st_size
    time.sleep(COUNTS)
    runs_on = ticks.stat().st_size > before
    assert _row(hpc, job_id)["state"] == "running"
    assert client.state_of(client.get(location).content) == "ProcessStarted"
    assert runs_on, "the signal reached the process, too: this proves nothing"
    # A pause stops all of it, and a resumption lets all of it go on.
    hpc.cli("pause", job_id)
    servers.wait_for(lambda: _row(hpc, job_id)["state"] == "paused", "the table says paused")

    def stands_still() -> bool:
        size = ticks.stat().st_size
        time.sleep(COUNTS)
        return ticks.stat().st_size == size

    servers.wait_for(stands_still, "it counts no longer")
    hpc.cli("resume", job_id)
    servers.wait_for(lambda: not stands_still(), "it counts again")
    servers.wait_for(lambda: _row(hpc, job_id)["state"] == "running", "the table says running")
    site.release(hpc, job_id)
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)


def test_resumption_reaches_a_job_that_somebody_else_stopped(hpc: servers.HpcServer) -> None:
    location, job_id, _ = _counting(hpc)
    _stop(hpc, job_id, "--full")
    said = "received a stop signal"
    servers.wait_for(lambda: said in str(_row(hpc, job_id)["message"]), "the table knows of it")
    hpc.cli("resume", job_id)
    servers.wait_for(lambda: not _row(hpc, job_id)["message"], "it is over")
    site.release(hpc, job_id)
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
