"""Clients that others write, and the climate process by each: whatever face they speak to, it has
one result."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import iris_sample_data
import pytest
from birdy import WPSClient
from lxml import etree
from ogc_api_processes_client import Configuration
from ogc_api_processes_client.api_client_wrapper import ApiClientWrapper
from owslib.ogcapi.processes import Processes
from owslib.wps import ASYNC, ComplexDataInput, WebProcessingService

import wps2_client as wps2
from places import ROOT, SERVICES
from servers import HTTP, HpcServer, wait_for

A1B = Path(iris_sample_data.__file__).parent / "sample_data" / "A1B_north_america.nc"
NETCDF, PROCESS = "application/x-netcdf", "climate_anomaly"
SECTIONS = {"hpc.container": {"python_path": f"\n    {SERVICES}\n    {ROOT}"}}

#: The summary and the bytes of the figure.
Result = tuple[Any, bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp("clients")
    with HpcServer(folder, application="echo:service", sections=SECTIONS) as started:
        shutil.copy(A1B, folder / "inputs")
        yield started


def by_owslib(server: HpcServer, data: str) -> Result:
    service = WebProcessingService(server.url)
    inputs = [("dataset", ComplexDataInput(data, mimeType=NETCDF)), ("reference_start", "1971")]
    outputs = [("summary", False), ("plot", True)]
    execution = service.execute(PROCESS, inputs, output=outputs, mode=ASYNC)
    wait_for(lambda: execution.checkStatus(sleepSecs=0) or execution.isComplete(), "it ends")
    assert execution.isSucceded(), execution.errors
    found = {output.identifier: output for output in execution.processOutputs}
    return json.loads(found["summary"].data[0]), found["plot"].retrieveData()


def by_birdy(server: HpcServer, data: str) -> Result:
    client = WPSClient(server.url, progress=False)
    # birdy takes a bounding box's CRS for its default value and then stumbles over it.
    execution = client.climate_anomaly(dataset=data, bbox=None, reference_start=1971)
    _, summary, plot = execution.get(asobj=False)
    return HTTP.get(summary).json(), HTTP.get(plot).content


def by_the_other_owslib(server: HpcServer, data: str) -> Result:
    client = Processes(f"{server.base}/")
    inputs = {"dataset": {"href": data, "type": NETCDF}, "reference_start": 1971}
    client.execute(PROCESS, inputs, response="document", async_=True)
    return of_document(HTTP.get(f"{ended(client.response_headers['Location'])}/results").json())


def by_the_generated_client(server: HpcServer, data: str) -> Result:
    client = ApiClientWrapper(Configuration(host=server.base))
    # Its classes take neither a number nor a text as an input: each fits two of their types.
    body = {
        "inputs": {"dataset": {"href": data, "type": NETCDF}, "reference_start": 1971},
        "outputs": {name: {"transmissionMode": "reference"} for name in ("summary", "plot")},
        "response": "document",
    }
    job = client.execute_simple(PROCESS, body, _headers={"Content-Type": "application/json"})
    wait_for(lambda: client.get_status(job.job_id).progress == 100, "it ends")
    links = {name: one.actual_instance.href for name, one in client.get_result(job.job_id).items()}
    return HTTP.get(links["summary"]).json(), HTTP.get(links["plot"]).content


def by_curl(server: HpcServer, data: str) -> Result:
    inputs = {"dataset": {"href": data, "type": NETCDF}, "reference_start": 1971}
    asked = {"inputs": inputs, "response": "document"}
    address = f"{server.base}/processes/{PROCESS}/execution"
    job = json.loads(curl("--json", json.dumps(asked), address))
    [monitor] = {link["href"] for link in job["links"] if link["rel"] == "monitor"}
    return of_document(json.loads(curl(f"{ended(monitor)}/results")))


def by_curl_and_wps2(server: HpcServer, data: str) -> Result:
    given = [
        wps2.reference("dataset", data, f"mimeType='{NETCDF}'"),
        wps2.literal("reference_start", "1971"),
    ]
    asked = [wps2.output("summary"), wps2.output("plot", "transmission='value'")]
    request = wps2.execute_document(PROCESS, given, asked, mode="async").decode()
    told = etree.fromstring(curl("-H", "Content-Type: text/xml", "-d", request, server.url))
    job = told.findtext("wps:JobID", "", wps2.NS)
    wps2.await_state(server.url, job, "Succeeded")
    query = f"service=WPS&version=2.0.0&request=GetResult&jobid={job}"
    result = etree.fromstring(curl(f"{server.url}?{query}"))
    found = {str(one.get("id")): one[0].text or "" for one in result.iterfind("*[@id]")}
    return json.loads(found["summary"]), base64.b64decode(found["plot"])


CLIENTS: dict[str, Callable[[HpcServer, str], Result]] = {
    "OWSLib, WPS 1.0.0": by_owslib,
    "birdy": by_birdy,
    "OWSLib, OGC API - Processes": by_the_other_owslib,
    "ogc-api-processes-client": by_the_generated_client,
    "curl, OGC API - Processes": by_curl,
    "curl, WPS 2.0": by_curl_and_wps2,
}


def test_the_climate_process_has_one_result_whatever_the_client(server: HpcServer) -> None:
    data = (server.folder / "inputs" / A1B.name).as_uri()
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        asked = {name: pool.submit(ask, server, data) for name, ask in CLIENTS.items()}
        found = {name: future.result() for name, future in asked.items()}
    summary, plot = found["OWSLib, WPS 1.0.0"]
    assert summary["reference"]["start"] == 1971
    assert plot.startswith(b"\x89PNG")
    assert {name for name, result in found.items() if result != (summary, plot)} == set()


def test_the_generated_client_understands_every_document(server: HpcServer) -> None:
    client = ApiClientWrapper(Configuration(host=server.base))
    assert client.get_landing_page().links
    assert client.get_conformance_classes().conforms_to
    processes = [process.id for process in client.get_processes().processes]
    assert processes == ["echo", "fail", PROCESS]
    for process in processes:
        assert client.get_process_description(process).inputs
    assert client.get_jobs().jobs == []  # nobody has logged in
    body = {"inputs": {"pause": 60}}
    job = client.execute_simple("echo", body, _headers={"Content-Type": "application/json"})
    assert client.get_status(job.job_id).status.value in ("accepted", "running")
    assert client.dismiss(job.job_id).status.value == "dismissed"


def curl(*arguments: str) -> bytes:
    """The body of an answer."""
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def ended(job: str) -> str:
    """The address of a job that has ended well."""
    wait_for(lambda: HTTP.get(job).json()["status"] in ("successful", "failed"), "it ends", 300)
    assert HTTP.get(job).json()["status"] == "successful", HTTP.get(job).text
    return job


def of_document(results: Any) -> Result:
    return results["summary"]["value"], base64.b64decode(results["plot"]["value"])
