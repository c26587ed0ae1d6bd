"""Jobs that were accepted before the service was upgraded, and images of another version."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version

import pytest

import cluster_site as site
import failpoint_orders
import invariants
import servers
import wps_client as client
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

HAVE = {
    "python": ("3.99.1", platform.python_version()),
    "dill": ("9.9.9", version("dill")),
    "pywps": ("5.0.0", version("pywps")),
}


@pytest.fixture(scope="module")
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("versions")
    site.code(root)
    sections = {"hpc": {"command_timeout": "5"}, "hpc.resources": {"memory": "300M"}}
    with site.slurm_server(root, "odd:service", sections=sections, workers=1) as server:
        yield server


def _result(document: bytes) -> str:
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    return str(client.outputs_of(document)["result"].content)


def _upgrade(server: servers.HpcServer, application: str) -> None:
    server.stop()
    server.application = application
    server.start()


def test_a_job_that_waits_runs_as_it_was_accepted(hpc: servers.HpcServer, witness: Witness) -> None:
    with failpoint_orders.held(hpc):
        location = client.submit(hpc.url, "closure", [("text", "before")])
        by_name = client.submit(hpc.url, "joined", [("text", "before")])
        hpc.kill9_all()
    module = hpc.code / "odd_shapes.py"
    text = module.read_text(encoding="utf-8")
    assert text.count('" (closed)"') == 1
    text = text.replace('" (closed)"', '" (version 2)"').replace("Joiner", "Joined")
    module.write_text(text, encoding="utf-8")
    begun = time.monotonic()
    hpc.start()
    old = client.await_end(location)
    seconds = time.monotonic() - begun
    assert _result(old) == "EROFEB (closed)"
    late = client.await_end(client.submit(hpc.url, "closure", [("text", "after")]))
    assert _result(late) == "RETFA (version 2)"
    # What a module holds travels by its name, and is what the module holds when the job runs.
    lost = client.await_end(by_name)
    assert client.state_of(lost) == "ProcessFailed"
    told = client.message_of(lost)
    assert told == (
        "the module 'odd_shapes' in the compute environment has no 'Joiner': the job was "
        "accepted with another version of it"
    )
    again = client.await_end(client.submit(hpc.url, "joined", [("text", "a"), ("text", "b")]))
    assert _result(again) == "a-b"
    witness(
        "service upgraded while a job waits",
        "kill -9 of all, the process's code changed, started again",
        f"{client.message_of(old)} (with the code that it was accepted with)",
        seconds,
        "Slurm",
    )
    how = "kill -9 of all, the class renamed in its module, started again"
    witness("process's class gone while a job waits", how, told, seconds, "Slurm")


def test_a_dump_of_another_format_is_refused_in_words(
    hpc: servers.HpcServer, witness: Witness
) -> None:
    _upgrade(hpc, "newer_format:service")
    begun = time.monotonic()
    document = client.await_end(client.submit(hpc.url, "closure", [("text", "x")]))
    words = client.message_of(document)
    assert client.state_of(document) == "ProcessFailed"
    assert words == "the job's dump has a format that this launcher does not support"
    how = "a service that writes another format, the same image"
    witness("image older than the service", how, words, time.monotonic() - begun, "Slurm")


def test_an_image_with_other_packages_is_told_in_words(
    hpc: servers.HpcServer, witness: Witness
) -> None:
    _upgrade(hpc, "other_versions:service")
    begun = time.monotonic()
    locations = [client.submit(hpc.url, "closure", [("text", "x")]) for _ in HAVE]
    for (name, (service, image)), location in zip(HAVE.items(), locations, strict=True):
        document = client.await_end(location)
        words = client.message_of(document)
        assert client.state_of(document) == "ProcessFailed"
        assert words == (
            f"environment mismatch: the service runs {name} {service}, the compute environment has "
            f"{name} {image}; the image must be built with the service's versions"
        )
        how = f"a service that says it runs {name} {service}, the same image"
        fault = f"image with another {name}"
        witness(fault, how, words, time.monotonic() - begun, "Slurm")
    invariants.check_server(hpc, [row["id"] for row in hpc.rows()])
