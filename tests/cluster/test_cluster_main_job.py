"""The main job, whole: real clients, real Slurm, real Apptainer, real data, a plain user."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from birdy import WPSClient
from owslib.wps import ASYNC, ComplexDataInput, WebProcessingService, monitorExecution

import cluster_site as site
import servers
import wps_client as client

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
NETCDF = "application/x-netcdf"


@pytest.fixture(scope="module")
def root() -> Path:
    made = site.folder("main-job")
    site.code(made)
    return made


@pytest.fixture(scope="module")
def hpc(root: Path) -> Iterator[servers.HpcServer]:
    with site.slurm_server(root, "examples.service:service", inputs=site.sample_data()) as server:
        yield server


@pytest.fixture(scope="module")
def default(root: Path) -> Iterator[servers.DefaultServer]:
    with site.default_server(root, "examples.service:service", inputs=site.sample_data()) as server:
        yield server


@pytest.fixture(scope="module")
def dataset() -> str:
    return (site.sample_data() / "A1B_north_america.nc").as_uri()


@pytest.fixture(scope="module")
def expected(default: servers.DefaultServer, dataset: str) -> dict[str, client.Found]:
    document = client.execute_async(
        default.url,
        "climate_anomaly",
        [("dataset", client.Reference(dataset, NETCDF))],
        tolerant=True,  # default mode shows cut documents now and then
    )
    return client.outputs_of(document)


def test_owslib_gets_the_climate_result_of_default_mode(
    hpc: servers.HpcServer, dataset: str, expected: dict[str, client.Found], tmp_path: Path
) -> None:
    wps = WebProcessingService(hpc.url)
    assert "climate_anomaly" in [process.identifier for process in wps.processes]
    description = wps.describeprocess("climate_anomaly")
    assert {"anomaly", "summary", "plot"} == {out.identifier for out in description.processOutputs}

    execution = wps.execute(
        "climate_anomaly",
        [("dataset", ComplexDataInput(dataset, mimeType=NETCDF))],
        output=[("anomaly", True), ("summary", True), ("plot", True)],
        mode=ASYNC,
    )
    monitorExecution(execution, sleepSecs=1)
    assert execution.isSucceded(), [error.text for error in execution.errors]
    assert execution.percentCompleted == 100
    for output in execution.processOutputs:
        target = tmp_path / output.identifier
        target.write_bytes(client.get(output.reference).content)
    assert (tmp_path / "anomaly").read_bytes() == expected["anomaly"].content
    assert (tmp_path / "plot").read_bytes() == expected["plot"].content
    summary = expected["summary"].content
    assert json.loads((tmp_path / "summary").read_text()) == json.loads(summary)


def test_birdy_gets_the_climate_result_of_default_mode(
    hpc: servers.HpcServer, dataset: str, expected: dict[str, client.Found]
) -> None:
    wps = WPSClient(hpc.url, progress=False)
    # birdy takes a bounding box's CRS for its default value and then stumbles over it.
    execution = wps.climate_anomaly(dataset=dataset, bbox=None)
    anomaly, summary, plot = execution.get(asobj=False)
    assert client.get(anomaly).content == expected["anomaly"].content
    assert client.get(plot).content == expected["plot"].content
    assert json.loads(client.get(summary).content) == json.loads(expected["summary"].content)


def test_the_queue_shows_the_job_under_its_name(hpc: servers.HpcServer) -> None:
    location = client.submit(hpc.url, "countdown", [("steps", "3000"), ("seconds", "0.2")])
    job_id = hpc.id_of(location)
    name = servers.wait_for(lambda: hpc.row(job_id), "a row")["name"]

    def runs() -> str:
        line = site.as_user("squeue", "--noheader", "--me", f"--name={name}", "-o", "%T|%u|%k")
        return line if "RUNNING" in line else ""

    line = servers.wait_for(runs, "the job runs").strip()
    assert line == f"RUNNING|{site.user()}|{job_id}"
    assert name == "w" + job_id.replace("-", "")[:14]
    hpc.cli("cancel", job_id).check_returncode()
    assert "dismissed" in client.message_of(client.await_end(location))


def test_progress_is_the_process_s_own(hpc: servers.HpcServer) -> None:
    location = client.submit(hpc.url, "countdown", [("steps", "30"), ("seconds", "0.5")])
    seen: list[int] = []

    def over() -> bool:
        document = client.get(location).content
        seen.append(_percent(document))
        return client.state_of(document) == "ProcessSucceeded"

    servers.wait_for(over, "the end")
    assert seen == sorted(seen)
    assert len({percent for percent in seen if 0 < percent < 100}) >= 4, seen


def test_a_job_is_shut_in(hpc: servers.HpcServer) -> None:
    # A running neighbour, whose folder must not be visible.
    neighbour = client.submit(hpc.url, "countdown", [("steps", "60"), ("seconds", "0.2")])
    address = f"127.0.0.1:{hpc.port}"
    document = client.execute_async(hpc.url, "whereami", [("connect", address)])
    report = json.loads(client.outputs_of(document)["report"].content)
    job_id = hpc.id_of(etree_location(document))

    uid = int(site.as_user("id", "-u"))
    assert report["uid"] == uid != 0
    assert report["host"]
    assert int(report["capabilities"], 16) == 0
    assert [name for name in report["network_interfaces"] if name != "lo"] == []
    assert report["connect"]["connected"] is False
    assert report["scheduler_commands"] == []
    assert report["above_that"] == [job_id]
    assert hpc.id_of(neighbour) != job_id
    # Nothing of the server's environment, of which the mark is a part.
    assert servers.MARK not in report["environment"]
    inside = {"HOME", "LANG", "PATH", "PWD", "TMPDIR", "OMP_NUM_THREADS"}
    server = set()
    for process in hpc.processes():
        with contextlib.suppress(psutil.Error):  # some live for a moment only
            server |= process.environ().keys()
    assert servers.MARK in server
    assert {name for name in report["environment"] if name in server} <= inside
    client.await_end(neighbour)


def test_an_operator_sees_the_job(hpc: servers.HpcServer) -> None:
    location = client.submit(hpc.url, "countdown", [("steps", "3"), ("seconds", "0.1")])
    client.await_end(location)
    job_id = hpc.id_of(location)
    shown = servers.wait_for(
        lambda: "succeeded" in (text := hpc.cli("show", job_id).stdout) and text, "its end"
    )
    assert "peak memory mib" in shown
    assert "joblauncher: succeeded" in hpc.cli("log", job_id).stdout


def _percent(document: bytes) -> int:
    """How far the job is. WPS 1.0.0 gives a percentage only between its begin and its end."""
    root = client.etree.fromstring(document)
    status = root.find("wps:Status", client.NS)
    assert status is not None
    outside = {"ProcessAccepted": 0, "ProcessSucceeded": 100}
    state = client.state_of(document)
    return outside[state] if state in outside else int(status[0].attrib["percentCompleted"])


def etree_location(document: bytes) -> str:
    """The statusLocation of a document."""
    return str(client.etree.fromstring(document).get("statusLocation"))


def test_slurm_and_the_job_table_agree(hpc: servers.HpcServer) -> None:
    location = client.submit(hpc.url, "countdown", [("steps", "1"), ("seconds", "0.1")])
    client.await_end(location)
    job_id = hpc.id_of(location)
    row = servers.wait_for(
        lambda: (row := hpc.row(job_id)) and row["state"] == "succeeded" and row, "its end"
    )
    told = f"COMPLETED|0:0|{row['name']}"
    servers.wait_for(
        lambda: site.accounted(row["native_id"], "State,ExitCode,JobName") == told,
        "accounting says the same",
    )
