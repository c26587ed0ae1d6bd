"""The same process by every face, on a real cluster: the same results, and every document valid."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lxml import etree

import cluster_site as site
import ogc_schemas
import servers
import wps2_client as wps2
import wps_client as client
from ogcapi_schemas import assert_valid
from servers import HTTP
from wps2_client import XLINK
from wps_client import NS

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm"), pytest.mark.timeout(1200)]
NETCDF, XML = "application/x-netcdf", "text/xml"
CLIMATE, ECHO = "climate_anomaly", "org.n52.javaps.test.EchoProcess"
TEXT, DOCUMENT = "a <b> & ü", "<river><name>Ems &amp; Aa</name></river>"
CRS, BOX = "urn:ogc:def:crs:OGC:1.3:CRS84", (7.0, 51.5, 8.25, 52.0)
FILES = ("anomaly", "summary", "plot")
LIMIT = 300.0
#: Results by output: bytes of a file, the text of a literal value, the corners of a box.
Results = dict[str, object]


@pytest.fixture(scope="module")
def server() -> Iterator[servers.HpcServer]:
    root = site.folder("faces")
    site.code(root)
    both = {"modes": "async, sync"}
    sections = {
        "hpc": {"sync_timeout": int(LIMIT)},
        **{f"hpc.process.{process}": both for process in (CLIMATE, ECHO)},
    }
    data = site.sample_data()
    with site.slurm_server(root, "second:service", inputs=data, sections=sections) as started:
        yield started


@pytest.fixture(scope="module")
def dataset() -> str:
    return (site.sample_data() / "E1_north_america.nc").as_uri()


# --- WPS 1.0.0


def _inputs1(process: str, dataset: str) -> client.Inputs:
    if process == CLIMATE:
        return [("dataset", client.Reference(dataset, NETCDF))]
    return [
        ("literalInput", TEXT),
        ("complexInput", client.Complex(DOCUMENT, XML)),
        ("boundingboxInput", client.Box(BOX, CRS)),
    ]


def _valid1(document: bytes) -> bytes:
    assert ogc_schemas.faults(document) == [], document
    return document


def _results1(document: bytes) -> Results:
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    found: Results = {}
    for name, value in client.outputs_of(document).items():
        found[name] = _box(value.content) if value.kind == "BoundingBoxData" else value.content
    for output in etree.fromstring(document).iterfind(".//wps:ProcessOutputs/wps:Output", NS):
        for inside in output.iterfind("wps:Data/wps:ComplexData/*", NS):
            name = str(output.findtext("ows:Identifier", namespaces=NS))
            found[name] = etree.tostring(inside, with_tail=False)
    return found


def wps1(server: servers.HpcServer, process: str, dataset: str, asynchronous: bool) -> Results:
    outputs = [client.Output(name, as_reference=True) for name in FILES if process == CLIMATE]
    inputs = _inputs1(process, dataset)
    sent = client.execute_document(process, inputs, outputs, asynchronous=asynchronous)
    answer = client.send(server.url, sent)
    assert answer.status == 200
    document = _valid1(answer.content)
    if asynchronous:
        location = client.location_of(answer)

        def ended() -> bytes:
            told = _valid1(client.get(location).content)
            return told if client.state_of(told) in ("ProcessSucceeded", "ProcessFailed") else b""

        document = servers.wait_for(ended, "it ends", LIMIT)
    return _results1(document)


# --- WPS 2.0


def _asked2(process: str, dataset: str) -> tuple[list[str], list[str]]:
    if process == CLIMATE:
        given = [wps2.reference("dataset", dataset, f"mimeType='{NETCDF}'")]
        return given, [wps2.output(name, "transmission='reference'") for name in FILES]
    box = (
        f"<ows:BoundingBox crs='{CRS}'><ows:LowerCorner>{BOX[0]} {BOX[1]}</ows:LowerCorner>"
        f"<ows:UpperCorner>{BOX[2]} {BOX[3]}</ows:UpperCorner></ows:BoundingBox>"
    )
    given = [
        wps2.literal("literalInput", TEXT),
        wps2.data("complexInput", DOCUMENT, f"mimeType='{XML}'"),
        wps2.data("boundingboxInput", box),
    ]
    names = ("literalOutput", "complexOutput", "boundingboxOutput")
    return given, [wps2.output(name, "transmission='value'") for name in names]


def _result2(element: etree._Element) -> object:
    if etree.QName(element).localname == "Reference":
        return client.get(str(element.get(f"{{{XLINK}}}href"))).content
    [inside] = element
    kind = etree.QName(inside).localname
    text = [str(part) for part in element.itertext()]
    if kind == "BoundingBox":
        return _box(" ".join(text))
    return "".join(text) if kind == "LiteralValue" else etree.tostring(inside, with_tail=False)


def wps_2(server: servers.HpcServer, process: str, dataset: str, asynchronous: bool) -> Results:
    mode = "async" if asynchronous else "sync"
    answer = wps2.execute(server.url, process, *_asked2(process, dataset), mode=mode)
    if asynchronous:
        job = wps2.job_of(answer)
        assert wps2.state_of(wps2.await_state(server.url, job, limit=LIMIT)) == "Succeeded"
        answer = wps2.query(server.url, "GetResult", jobid=job)
    return {name: _result2(element) for name, element in wps2.outputs_of(answer).items()}


# --- OGC API - Processes


def _body(process: str, dataset: str) -> dict[str, Any]:
    if process == CLIMATE:
        outputs = {name: {"transmissionMode": "reference"} for name in FILES}
        inputs: dict[str, Any] = {"dataset": {"href": dataset, "type": NETCDF}}
        return {"inputs": inputs, "outputs": outputs, "response": "document"}
    inputs = {
        "literalInput": TEXT,
        "complexInput": {"value": DOCUMENT, "mediaType": XML},
        "boundingboxInput": {"bbox": BOX, "crs": CRS},
    }
    return {"inputs": inputs, "response": "document"}


def _result_of_api(value: Any) -> object:
    if isinstance(value, dict) and "href" in value:
        return HTTP.get(value["href"]).content
    if isinstance(value, dict) and "bbox" in value:
        return tuple(value["bbox"])
    if isinstance(value, dict):
        told = value["value"]
        if value.get("encoding") == "base64":
            return base64.b64decode(told)
        return told if isinstance(told, str) else json.dumps(told)
    return value


def api(server: servers.HpcServer, process: str, dataset: str, asynchronous: bool) -> Results:
    answer = HTTP.post(
        f"{server.base}/processes/{process}/execution",
        json=_body(process, dataset),
        headers={"Prefer": "respond-async"} if asynchronous else {},
        timeout=LIMIT,
    )
    if asynchronous:
        assert answer.status_code == 201, answer.text
        assert_valid("statusInfo", answer.json())
        location = answer.headers["Location"]

        def ended() -> Any:
            told = HTTP.get(location).json()
            assert_valid("statusInfo", told)
            return told if told["status"] in ("successful", "failed", "dismissed") else None

        assert servers.wait_for(ended, "it ends", LIMIT)["status"] == "successful"
        answer = HTTP.get(f"{location}/results")
    assert answer.status_code == 200, answer.text
    assert_valid("results", answer.json())
    return {name: _result_of_api(value) for name, value in answer.json().items()}


# --- all of them

WAYS: dict[str, tuple[Callable[..., Results], bool]] = {
    "WPS 1.0.0, asynchronous": (wps1, True),
    "WPS 1.0.0, synchronous": (wps1, False),
    "WPS 2.0, asynchronous": (wps_2, True),
    "WPS 2.0, synchronous": (wps_2, False),
    "OGC API, asynchronous": (api, True),
    "OGC API, synchronous": (api, False),
}


def _box(text: str | bytes) -> tuple[float, ...]:
    return tuple(map(float, str(text).split()))


def _canonical(value: object) -> object:
    """XML without what may differ between two ways to write the same."""
    text = value.encode() if isinstance(value, str) else value
    if isinstance(text, bytes) and re.match(rb"\s*<", text):
        parser = etree.XMLParser(remove_blank_text=True)
        tree = etree.fromstring(text, parser)
        etree.cleanup_namespaces(tree)
        return etree.tostring(tree, method="c14n")
    return text


@pytest.mark.parametrize("process", [CLIMATE, ECHO])
def test_a_process_gives_the_same_by_every_face(
    server: servers.HpcServer, dataset: str, process: str
) -> None:
    def run(way: tuple[Callable[..., Results], bool]) -> Results:
        execute, asynchronous = way
        return execute(server, process, dataset, asynchronous)

    with ThreadPoolExecutor(len(WAYS)) as pool:
        found = dict(zip(WAYS, pool.map(run, WAYS.values()), strict=True))
    expected = {name: _canonical(value) for name, value in found["WPS 1.0.0, asynchronous"].items()}
    assert len(expected) == 3
    assert all(expected.values())
    for way, results in found.items():
        assert {name: _canonical(value) for name, value in results.items()} == expected, way
    if process == CLIMATE:
        assert bytes(found["OGC API, synchronous"]["plot"]).startswith(b"\x89PNG")  # type: ignore[call-overload]
        assert json.loads(found["OGC API, synchronous"]["summary"])  # type: ignore[arg-type]
    else:
        assert expected["literalOutput"] == TEXT.encode()
        assert expected["boundingboxOutput"] == BOX
    states = {row["state"] for row in server.rows()}
    assert states == {"succeeded"}
    assert all(row["native_id"] for row in server.rows())


def test_the_faces_describe_the_same_processes(server: servers.HpcServer) -> None:
    first = _valid1(client.get(server.url, "service=WPS&request=GetCapabilities").content)
    names = {e.text for e in etree.fromstring(first).iterfind(".//wps:Process/ows:Identifier", NS)}
    second = wps2.valid(wps2.query(server.url, "GetCapabilities"))
    summaries = second.iterfind(".//wps:ProcessSummary/ows:Identifier", wps2.NS)
    listed = HTTP.get(f"{server.base}/processes").json()
    assert_valid("processList", listed)
    assert {e.text for e in summaries} == {one["id"] for one in listed["processes"]} == names
    for name in (CLIMATE, ECHO):
        query = f"service=WPS&version=1.0.0&request=DescribeProcess&identifier={name}"
        _valid1(client.get(server.url, query).content)
        wps2.valid(wps2.query(server.url, "DescribeProcess", identifier=name))
        assert_valid("process", HTTP.get(f"{server.base}/processes/{name}").json())
