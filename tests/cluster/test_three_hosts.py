"""A cluster on the other side of SSH: login, c1 and c2 of tests/infra/three-hosts.

Each has its own files, processes and network. The service's host reaches nothing but login's SSH
server, with a key that may run the service's own commands only; one folder is shared.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import batch_paths
import cluster_site
import wps_client as client
from places import INFRA
from pywps_hpc.dispatch.channels.local import ChannelUnavailable
from pywps_hpc.dispatch.channels.ssh import SshChannel
from pywps_hpc.dispatch.schedulers.base import (
    Outcome,
    Phase,
    Scheduler,
    SchedulerUnavailable,
    SubmissionPostponed,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.settings import Ssh
from scheduler_contract import Remembering, SlurmContract
from servers import HpcServer, wait_for

# The first test waits for the hosts, and once for their root file system.
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.batch_system("three_hosts"),
    pytest.mark.timeout(900),
]

SCRIPTS = INFRA / "three-hosts"
SITE = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc")) / "three-hosts"
SHARED = SITE / "shared"
USER = os.environ.get("PYWPS_HPC_TEST_USER", "wps")
LOGIN = Ssh(
    host="127.0.0.1",
    port=26822,
    user=USER,
    key=SITE / "ssh/id_service",
    known_hosts=SITE / "ssh/known_hosts",
    timeout=10.0,
)
PATH = {"PATH": "/usr/bin:/bin"}


def script(name: str, *arguments: str) -> str:
    """What one of the cluster's scripts prints."""
    done = subprocess.run([SCRIPTS / name, *arguments], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def hosts() -> Iterator[None]:
    """The three hosts; left as they were found."""
    status = [SCRIPTS / "host.sh", "status", "login"]
    was_up = subprocess.run(status, capture_output=True).returncode == 0
    script("up.sh")
    yield
    if not was_up:
        script("down.sh")


@pytest.fixture
def logs() -> Path:
    folder = SHARED / f"contract-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


class _OverSsh(Remembering, CommandScheduler):
    """Slurm's commands on the login host."""


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    mine = _OverSsh(SlurmDialect(), SshChannel(LOGIN, PATH))
    yield mine
    mine.clean_up()


class TestSlurmOverSsh(SlurmContract):
    def test_log_that_cannot_be_written_is_no_success(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        # Slurm 24.11 makes folders that are missing.
        (logs / "sealed").mkdir(mode=0o555)
        job = self.submit(scheduler, logs / "sealed", "true")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert status.outcome is Outcome.COULD_NOT_START

    def test_suspended_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        # Slurm 24.11 calls a job running before its script is, and loses a signal sent meanwhile.
        job = self.job(scheduler, logs, "echo ready; sleep 600")
        (number,) = scheduler.submit(job)
        wait_for(lambda: Path(job.log).exists() and Path(job.log).read_text(), "the script starts")
        scheduler.pause([number])
        self.until(scheduler, number, Phase.SUSPENDED)
        scheduler.cancel([number])
        assert self.until(scheduler, number, Phase.FINISHED).outcome is Outcome.CANCELLED

    def test_job_runs_on_a_node_that_has_none_of_our_files(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.job(scheduler, logs, f"hostname; ls {SCRIPTS} 2>&1")
        (number,) = scheduler.submit(job)
        assert self.until(scheduler, number, Phase.FINISHED).exit_code == 2
        host, listing = Path(job.log).read_text().splitlines()
        assert host in ("c1", "c2")
        assert listing.endswith("No such file or directory")


def test_the_services_key_is_no_login() -> None:
    channel = SshChannel(LOGIN, PATH)
    for refused in (["id"], ["sbatch", "--parsable", "--wrap=id"], ["sbatch", "/etc/passwd"]):
        with pytest.raises(ChannelUnavailable, match="refused by this key's forced command"):
            channel.run(refused, timeout=20)
    channel.close()
    plain = SshChannel(replace(LOGIN, key=SITE / "ssh/id"), PATH)
    assert plain.run(["hostname"], timeout=20).stdout == "login\n"
    plain.close()


def test_power_failure_of_the_login_host_loses_no_job(scheduler: Scheduler, logs: Path) -> None:
    contract = TestSlurmOverSsh()
    job = contract.started(scheduler, logs, f"until [ -e {logs}/go ]; do sleep 0.2; done; exit 5")
    # slurmctld writes its state down every five seconds, and forgets what came after: seen with a
    # job that had been running for one.
    time.sleep(15)
    script("host.sh", "stop", "login")
    try:
        started = time.monotonic()
        with pytest.raises(SchedulerUnavailable, match="cannot connect"):
            scheduler.poll([job])
        late = contract.job(scheduler, logs, "true")
        with pytest.raises(SubmissionPostponed):
            scheduler.submit(late)
        assert time.monotonic() - started < 30
    finally:
        script("host.sh", "start", "login")
    (logs / "go").touch()
    status = contract.until(scheduler, job, Phase.FINISHED, 240)
    assert (status.outcome, status.exit_code) == (Outcome.EXITED, 5)
    assert scheduler.find(late.name) == []
    script("up.sh")


def test_power_failure_of_a_node_is_named(scheduler: Scheduler, logs: Path) -> None:
    contract = TestSlurmOverSsh()
    job = contract.job(scheduler, logs, "hostname; sleep 600")
    (number,) = scheduler.submit(job)
    log = Path(job.log)
    node = wait_for(lambda: log.exists() and log.read_text().strip(), "the job starts")
    script("host.sh", "stop", node)
    try:
        status = contract.until(scheduler, number, Phase.FINISHED, 240)
        assert status.outcome is Outcome.NODE_FAILURE
    finally:
        script("up.sh")


@contextmanager
def serve(application: str) -> Iterator[HpcServer]:
    """The whole service as a plain user of this machine, which knows the shared folder under a path
    that no other host has."""
    own = secrets.token_hex(4)
    there = SHARED / f"service-{own}"
    there.mkdir(mode=0o755)
    here = SITE / f"elsewhere-{own}"
    here.symlink_to(there)
    image = SHARED / "service.sif"
    image.unlink(missing_ok=True)
    os.link(os.environ["PYWPS_HPC_TEST_IMAGE"], image)
    code = cluster_site.code(here)
    (here / "hpc").mkdir()
    server = HpcServer(
        here / "hpc",
        application,
        code=code,
        python=cluster_site.python(),
        user=USER,
        sections={
            "hpc": {"scheduler": "slurm", "channel": "ssh"},
            "hpc.ssh": {
                "host": LOGIN.host,
                "port": LOGIN.port,
                "user": LOGIN.user,
                "key": LOGIN.key,
                "known_hosts": LOGIN.known_hosts,
                "path_map": f"{here}={there}",
            },
            "hpc.container": {"runtime": "apptainer", "image": image, "python_path": code},
        },
    )
    with server:
        yield server
    here.unlink()


@pytest.fixture(scope="module")
def service() -> Iterator[HpcServer]:
    with serve("odd:service") as server:
        yield server


def test_a_process_runs_in_a_container_on_a_node_with_other_paths(service: HpcServer) -> None:
    given = service.folder / "inputs/input.txt"
    given.write_text("read on the node\n")
    location = client.submit(
        service.url,
        "files",
        [("file", client.Reference(given.as_uri())), ("file", client.Complex("inline"))],
    )
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    assert client.outputs_of(document)["result"].content == "17 b'read on the node\\n'|6 b'inline'"
    log = service.cli("show", client.job_id_of(location)).stdout
    assert "c1" in log or "c2" in log


def test_output_files_come_back_from_a_node_with_other_paths(service: HpcServer) -> None:
    document = client.execute_async(
        service.url, "picture", outputs=[client.Output("note", as_reference=True)]
    )
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    assert client.outputs_of(document)["note"].content == b"one pixel\n"


def test_a_dismissed_job_ends_on_its_node(service: HpcServer) -> None:
    location = client.submit(service.url, "sleeper", [("seconds", "300")])
    job = client.job_id_of(location)
    wait_for(lambda: b"slept" in client.get(location).content, "the process runs")
    assert "will be dismissed" in service.cli("cancel", job).stdout
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessFailed"
    row = service.row(job)
    assert row is not None
    wait_for(
        lambda: "CANCELLED" in script("on", "login", "sacct", "-X", "-n", "-j", row["native_id"]),
        "the batch system ends the job",
    )


def test_the_climate_request_gives_the_same_as_everywhere() -> None:
    _, expected = batch_paths.run("local")
    with serve("examples.service:service") as server:
        given = server.folder / "inputs/E1_north_america.nc"
        shutil.copy(cluster_site.sample_data() / given.name, given)
        dataset = client.Reference(given.as_uri(), batch_paths.NETCDF)
        location = client.submit(server.url, "climate_anomaly", [("dataset", dataset)])
        document = client.await_end(location, limit=180)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        outputs = client.outputs_of(document)
        shown = server.cli("show", client.job_id_of(location)).stdout
    assert "c1" in shown or "c2" in shown
    assert outputs.keys() == expected.keys() == {"anomaly", "summary", "plot"}
    for name, found in outputs.items():
        assert found.content == expected[name].content, name
