"""The shared file system is full, read-only, or late with what the other side wrote."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import broken_mounts
import cluster_site as site
import failpoint_orders
import invariants
import servers
import wps_client as client
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

GRACE = 30.0
#: Seconds for which the service sees a job's folder as it was, though Slurm says that it is over.
STALE = 4.0


def _server(root: Path, spool: Path) -> servers.HpcServer:
    site.code(root)
    sections = {
        "hpc": {
            "spool": spool,
            "database": f"sqlite:///{root}/hpc/jobs.sqlite",  # a local disk's, not the shared one's
            "command_timeout": "20",
            "grace": f"{GRACE:g}",
            "retry_after": "7",
        },
        "hpc.resources": {"memory": "300M"},
    }
    return site.slurm_server(root, "faulty:service", sections=sections, workers=1)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with broken_mounts.small_disk(site.folder("full") / "disk", 8) as made:
        yield made


@pytest.fixture(scope="module")
def full(disk: Path) -> Iterator[servers.HpcServer]:
    """A service whose spool is a file system of 8 MB."""
    with _server(disk.parent, disk) as server:
        yield server


@pytest.fixture(scope="module")
def apart() -> Iterator[servers.HpcServer]:
    """A service that sees mounts which its jobs do not see."""
    root = site.folder("apart")
    spool = root / "spool"
    spool.mkdir(mode=0o700)
    subprocess.run(["chown", f"{site.user()}:", str(spool)], check=True)
    server = _server(root, spool)
    server.prefix = broken_mounts.APART
    with server:
        pid = server.part("dispatcher").pid
        broken_mounts.inside(pid, "mount", "--bind", str(spool), str(spool))
        yield server


def _state(location: str) -> str:
    return client.state_of(client.get(location).content)


def _started(server: servers.HpcServer, process: str) -> str:
    """A job that runs; the address of its document."""
    location = client.submit(server.url, process)
    servers.wait_for(lambda: _state(location) == "ProcessStarted", "it runs")
    return location


def _refused(server: servers.HpcServer, words: str) -> tuple[str, float]:
    """A request while the storage is in trouble: a clear answer, and nothing is left of it."""
    before = set(server.spool.job_ids())
    document = client.execute_document("partial", [("text", "x")], asynchronous=True)
    begun = time.monotonic()
    answer = client.send(server.url, document)
    seconds = time.monotonic() - begun
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "7"
    said = client.exception_of(answer.content)
    assert said == f"Jobs cannot be accepted now: {words}."
    assert b"ServerBusy" in answer.content
    assert set(server.spool.job_ids()) == before
    return f"HTTP 503: {said}", seconds


def _ended(server: servers.HpcServer, location: str) -> None:
    job_id = client.job_id_of(location)
    servers.wait_for(lambda: (row := server.row(job_id)) and row["finished"], "the row's end", 90)


@pytest.mark.parametrize(
    ("process", "state", "words"),
    [
        ("filler", "ProcessFailed", "Process failed: the storage is full"),
        ("unmoved_filler", "ProcessSucceeded", "PyWPS Process unmoved_filler finished"),
    ],
)
def test_a_job_that_fills_the_storage_says_so(
    full: servers.HpcServer, process: str, state: str, words: str, witness: Witness
) -> None:
    begun = time.monotonic()
    location = client.submit(full.url, process)
    document = client.await_end(location)
    seconds = time.monotonic() - begun
    assert client.state_of(document) == state, client.message_of(document)
    assert client.message_of(document) == words
    _ended(full, location)
    moral = "fails by it" if process == "filler" else "ends well"
    witness(f"a job fills the storage and {moral}", "8 MB tmpfs", words, seconds, "Slurm")


def test_while_the_storage_is_full_jobs_wait_and_requests_are_turned_away(
    full: servers.HpcServer, disk: Path, witness: Witness
) -> None:
    quiet = client.submit(full.url, "waits")
    talker = client.submit(full.url, "talker", [("seconds", "60")])
    jobs = {quiet: "ends", talker: "prints into its log"}
    for job in jobs:
        servers.wait_for(lambda job=job: _state(job) == "ProcessStarted", "it runs")
    for job in jobs:  # a job that could give up its compile cache would have room for its result
        for cache in full.job(client.job_id_of(job)).path.rglob(".cache"):
            shutil.rmtree(cache)
    # By another name, since a full disk may have no room for a new one.
    go = full.job(client.job_id_of(quiet)).path / "go"
    go.with_name("going").touch()
    with failpoint_orders.held(full):
        waiting = client.submit(full.url, "partial", [("text", "x")])
        ballast = broken_mounts.fill(disk)
    go.with_name("going").rename(go)
    begun = time.monotonic()
    try:
        refused, at_once = _refused(full, "the storage is full")
        assert _state(waiting) == "ProcessAccepted"
        words = "no script can be written: the storage is full"
        servers.wait_for(lambda: words in full.read_log(), "the dispatcher says why it waits")
        row = full.row(client.job_id_of(talker))
        ids = row["native_id"] if row else ""

        def gone() -> bool:
            line = ["squeue", "--noheader", "--array", "-t", "running", "--jobs", ids]
            return not site.as_user(*line).strip()

        servers.wait_for(gone, "the one that failed is over for Slurm")
        for job in jobs:
            assert _state(job) == "ProcessStarted"  # nobody could write what came of it
        assert full.read_log().count(words) == 1
    finally:
        ballast.unlink()
    freed = time.monotonic()
    how = "8 MB tmpfs filled by somebody else, later freed"
    for job, what in jobs.items():
        document = client.await_end(job)
        told = client.message_of(document)
        if job == quiet:  # its result has waited for room
            assert client.state_of(document) == "ProcessSucceeded", told
        else:
            assert client.state_of(document) == "ProcessFailed"
            trouble = "the shared file system was full or read-only"
            assert told == f"the job could not write its result: {trouble}"
        witness(f"storage full while a job {what}", how, told, time.monotonic() - begun, "Slurm")
    assert client.state_of(client.await_end(waiting)) == "ProcessSucceeded"
    late = client.await_end(client.submit(full.url, "partial", [("text", "x")]))
    assert client.state_of(late) == "ProcessSucceeded"
    witness("storage full while a request comes", how, refused, at_once, "Slurm")
    fault = "storage full while the dispatcher writes a script"
    seconds = time.monotonic() - freed
    witness(fault, how, f"waits; then: {client.message_of(late)}", seconds, "Slurm")
    invariants.check_server(full, [*jobs, waiting])


def _container(job_id: str) -> psutil.Process:
    """A process that sees what the job's container sees."""

    def find() -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if line[1:4] == ["-I", "-m", "joblauncher"] and any(job_id in part for part in line):
                return process
        return None

    return servers.wait_for(find, "the launcher runs")


def test_a_job_outlives_a_storage_that_is_read_only_for_a_while(
    apart: servers.HpcServer, witness: Witness
) -> None:
    location = _started(apart, "waits")
    job = apart.job(client.job_id_of(location))
    with broken_mounts.read_only(_container(job.job_id).pid, job.path):
        site.release(apart, job.job_id)
        time.sleep(3)  # the launcher tries to leave its last word for 10 s
        assert _state(location) == "ProcessStarted"
    begun = time.monotonic()
    document = client.await_end(location)
    words = client.message_of(document)
    assert client.state_of(document) == "ProcessSucceeded", words
    _ended(apart, location)
    how = "mount -o remount,ro in the job's container for 3 s, while it ends"
    witness("storage read-only for a job", how, words, time.monotonic() - begun, "Slurm")


def test_while_the_storage_is_read_only_for_the_service_it_waits(
    apart: servers.HpcServer, witness: Witness
) -> None:
    location = _started(apart, "killed_when_told")
    job_id = apart.id_of(location)
    with broken_mounts.read_only(apart.part("dispatcher").pid, apart.spool.root):
        site.release(apart, job_id)
        refused, at_once = _refused(apart, "the storage is read-only")
        said = f"{job_id}: cannot be handled now"
        servers.wait_for(lambda: said in apart.read_log(), "its document cannot be written")
        row = apart.row(job_id)
        assert row is not None
        assert not row["finished"]
    begun = time.monotonic()
    document = client.await_end(location)
    words = client.message_of(document)
    assert words == "the process was killed by signal 9 (SIGKILL: killed)"
    seconds = time.monotonic() - begun
    again = client.await_end(client.submit(apart.url, "partial", [("text", "x")]))
    assert client.state_of(again) == "ProcessSucceeded"
    how = "mount -o remount,ro for web server and dispatcher, later rw"
    witness("storage read-only while a request comes", how, refused, at_once, "Slurm")
    witness("storage read-only while a job is to be ended", how, words, seconds, "Slurm")


def test_a_job_whose_end_shows_late_is_not_judged_before(
    apart: servers.HpcServer, witness: Witness
) -> None:
    location = _started(apart, "waits")
    job = apart.job(client.job_id_of(location))
    stale = apart.spool.root.parent / "stale"
    subprocess.run(["cp", "-a", str(job.path), str(stale)], check=True)
    pid = apart.part("dispatcher").pid
    broken_mounts.inside(pid, "mount", "--bind", str(stale), str(job.path))
    try:
        site.release(apart, job.job_id)  # where the node sees it
        row = apart.row(job.job_id)
        assert row is not None

        def over() -> bool:
            return site.accounted(row["native_id"]) == "COMPLETED"

        servers.wait_for(over, "Slurm says that it is over")
        begun = time.monotonic()
        servers.wait_for(
            lambda: (apart.row(job.job_id) or {})["missing_since"], "the dispatcher knows"
        )
        time.sleep(STALE)
        assert _state(location) == "ProcessStarted"
        assert not (apart.row(job.job_id) or {})["finished"]
    finally:
        broken_mounts.inside(pid, "umount", str(job.path))
    document = client.await_end(location)
    words = client.message_of(document)
    assert client.state_of(document) == "ProcessSucceeded", words
    how = f"the service sees the job's folder as it was, until {STALE:g} s after its end"
    witness("storage shows files late", how, words, time.monotonic() - begun, "Slurm")
    invariants.check_server(apart, [location])
