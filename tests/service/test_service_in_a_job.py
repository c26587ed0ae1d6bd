"""What PyWPS promises a process holds in a job, whichever way the service was loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pywps import Process, Service

import wps_client as client
from joblauncher import service
from joblauncher.shared import dump
from pywps_hpc.web import packed_service
from servers import HTTP, SERVICES, HpcServer, wait_for
from wps_client import Output


@pytest.fixture(scope="module", params=["module", "script"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HpcServer:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "module":
        server = HpcServer(folder, "promises:service", workers=1)
    else:
        script = [sys.executable, str(SERVICES / "wsgi_script.py"), "{port}"]
        server = HpcServer(folder, web=[*script, str(SERVICES / "promises.py")])
        server.environment = {"PYWPS_CFG": str(server.config)}
    return server


@pytest.fixture(scope="module")
def hpc(served: HpcServer) -> Iterator[HpcServer]:
    with served:
        yield served


def test_a_process_finds_its_service_and_its_status_document(hpc: HpcServer) -> None:
    location = client.submit(hpc.url, "asking")
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessSucceeded", hpc.cli(
        "log", client.job_id_of(location)
    )
    told = json.loads(str(client.outputs_of(document)["result"].content))
    assert told == {
        "processes": sorted(
            ["asking", "sibling", "tidy", "unset_literal", "unset_box", "unset_complex", "gone"]
        ),
        "kind": ["Region", True],
        "lookup": "ford in the north",
        "same": ["north", True, "north"],
        "status": location,
        "counted": [1, 2, "Sibling"],
        "module": 0,
    }
    assert HTTP.get(told["status"]).content == document


@pytest.mark.parametrize(("end", "state"), [("", "ProcessSucceeded"), ("fail", "ProcessFailed")])
@pytest.mark.parametrize("synchronous", [False, True])
def test_clean_is_called_once_and_changes_no_result(
    hpc: HpcServer, tmp_path: Path, end: str, state: str, synchronous: bool
) -> None:
    scratch = tmp_path / "scratch"
    inputs = [("scratch", str(scratch)), ("end", end or "well")]
    if synchronous:
        document = client.execute_sync(hpc.url, "tidy", inputs).content
    else:
        document = client.execute_async(hpc.url, "tidy", inputs)
    assert client.state_of(document) == state
    cleaned = scratch.with_suffix(".cleaned")
    wait_for(lambda: cleaned.exists() and not scratch.exists(), "it is tidied up")
    assert cleaned.read_text() == "once "


@pytest.mark.parametrize("by_reference", [False, True])
@pytest.mark.parametrize(
    ("process", "words"),
    [
        ("unset_literal", "Process failed: output result: it was not set"),
        ("unset_box", "Process failed: output result: it was not set"),
        ("unset_complex", "Process failed: output result: it was not set"),
        ("gone", "Process failed: output result: its file does not exist"),
    ],
)
def test_an_output_that_is_not_there_is_told_in_words(
    hpc: HpcServer, process: str, words: str, by_reference: bool
) -> None:
    document = client.execute_async(
        hpc.url, process, (), [Output("result", as_reference=by_reference)]
    )
    assert (client.state_of(document), client.message_of(document)) == ("ProcessFailed", words)


def test_the_service_adds_little_to_a_dump(hpc: HpcServer) -> None:
    location = client.submit(hpc.url, "sibling")
    data = hpc.job(client.job_id_of(location)).dump.read_bytes()
    assert len(data) < 12_000
    assert dump.unpack_header(data)[0].process == "sibling"
    assert client.state_of(client.await_end(location)) == "ProcessSucceeded"


def test_a_service_of_many_processes_stays_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no importable module holds, so that its processes travel: as many as there is
    room for."""

    def named(number: int) -> Process:
        return Process(lambda _request, _response: None, f"process_{number}", "One of many")

    many = Service([named(number) for number in range(600)])
    monkeypatch.setattr(packed_service, "MOST", 100_000)
    packed = packed_service.pack(many, many.processes["process_0"])
    assert len(packed) < 40_000
    found = service.fill(service.placeholder(), packed)
    assert list(found.processes) == list(many.processes)
    assert found.processes["process_7"].title == "One of many"
    with pytest.raises(dump.PayloadError, match="'process_599' was not sent"):
        found.processes["process_599"]
