"""Ways to die in a container on a node: told in words, the web untouched, the log readable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_site as site
import servers
import wps_client as client
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

WORDS = {
    "segfault": "the process was killed by signal 11 (SIGSEGV: segmentation fault)",
    "os_exit": "the process ended with exit code 3 without reporting a result",
    "sigkill": "the process was killed by signal 9 (SIGKILL: killed)",
    "sys_exit": "the process called sys.exit(4)",
}


@pytest.fixture(scope="module")
def root() -> Path:
    made = site.folder("deaths")
    site.code(made)
    return made


@pytest.fixture(scope="module")
def hpc(root: Path) -> Iterator[servers.HpcServer]:
    with site.slurm_server(root, "odd:service") as server:
        yield server


@pytest.mark.parametrize("process", WORDS)
def test_a_death_is_told_in_words(hpc: servers.HpcServer, process: str) -> None:
    workers = hpc.worker_pids()
    location = client.submit(hpc.url, process)
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessFailed"
    assert client.message_of(document) == WORDS[process]
    assert hpc.worker_pids() == workers
    assert hpc.answers()
    job_id = hpc.id_of(location)
    assert "about to" in hpc.cli("log", job_id).stdout
    row = servers.wait_for(
        lambda: (row := hpc.row(job_id)) and row["state"] == "failed" and row, "the row's end"
    )
    servers.wait_for(lambda: site.accounted(row["native_id"]) == "FAILED", "accounting says so")


def test_an_image_without_the_module_is_told_in_words(root: Path) -> None:
    # The service's own modules are neither in the image nor shown from the shared file system.
    other = site.folder("no-module")
    site.code(other)
    sections = {"hpc.container": {"python_path": other / "code" / "examples"}}
    with site.slurm_server(other, "odd:service", sections=sections) as server:
        location = client.submit(server.url, "segfault")
        document = client.await_end(location)
    assert client.state_of(document) == "ProcessFailed"
    words = client.message_of(document)
    assert words.startswith("the compute environment lacks the Python module 'odd")


def test_a_launcher_that_is_killed_is_told_in_words(
    hpc: servers.HpcServer, witness: Witness
) -> None:
    location = client.submit(hpc.url, "sleeper", [("seconds", "100")])
    job_id = hpc.id_of(location)

    def running() -> bool:
        return client.state_of(client.get(location).content) == "ProcessStarted"

    servers.wait_for(running, "the process runs")
    begun = time.monotonic()
    # The launcher, its child and the container around them.
    servers.shoot(site.processes_of(job_id))
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessFailed"
    assert "signal 9" in client.message_of(document), client.message_of(document)
    seconds = time.monotonic() - begun
    assert seconds < 30
    how = "SIGKILL to launcher, process and container"
    witness(
        "launcher killed while the process runs", how, client.message_of(document), seconds, "Slurm"
    )
