"""Every document that the service writes is valid against the OGC's schemas of WPS 1.0.0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

import ogc_schemas
import wps_client as client
from joblauncher.shared import status_xml
from servers import HpcServer
from wps_client import NS, WPS, Box, Complex, Literal, Output, Reference

SECTIONS = {"hpc.inputs": {"allowed_networks": "127.0.0.0/8"}}
#: An input of each kind, some more than once.
INPUTS: client.Inputs = (
    ("length", Literal("2.5", "feet")),
    ("strings", "a <b> & ]]> c"),
    ("strings", ""),
    ("booleans", "1"),
    ("dateTimes", "2012-12-31T06:30:00Z"),
    ("anyURIs", " http://example.org/a?b=c&d=e "),
    ("doc", Complex("one\n]]> & <two>", "text/plain")),
    ("doc", Complex(b"\x00\xff", "image/tiff")),
    ("doc", Complex("<?xml version='1.0'?><a b='c'>x</a>", "application/xml")),
    ("doc", Reference("{file}")),
    ("box", Box((2.5e6, 1.4e6, 7.4e6, 5.5e6), "urn:ogc:def:crs:EPSG::3035")),
)
BY_REFERENCE = [Output(name, as_reference=True) for name in ("seen", "length", "box")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp("typed")
    with HpcServer(folder, application="typed:service", sections=SECTIONS) as started:
        (folder / "inputs" / "a b.txt").write_text("from a file\n", encoding="utf-8")
        yield started


def inputs_of(server: HpcServer) -> client.Inputs:
    file = (server.folder / "inputs" / "a b.txt").as_uri()
    return [(n, Reference(file) if isinstance(v, Reference) else v) for n, v in INPUTS]


def assert_valid(document: bytes) -> etree._Element:
    assert ogc_schemas.faults(document) == [], document.decode()
    return etree.fromstring(document)


def test_the_schemas_find_what_is_wrong() -> None:
    wrong = f'<wps:ExecuteResponse xmlns:wps="{WPS}" service="WPS"/>'.encode()
    assert len(ogc_schemas.faults(wrong)) >= 3


@pytest.mark.parametrize("language", ["en-US", "fr-CA"])
@pytest.mark.parametrize(
    "query", ["request=GetCapabilities", "request=DescribeProcess&version=1.0.0&identifier=all"]
)
def test_descriptions_are_valid(server: HpcServer, query: str, language: str) -> None:
    answer = client.get(server.url, f"service=WPS&{query}&language={language}")
    assert answer.status == 200
    root = assert_valid(answer.content)
    titles = [element.text for element in root.iterfind(".//ows:Title", NS)]
    assert ("Titre" in titles) == (language == "fr-CA")


def test_a_description_tells_what_the_process_says_of_itself(server: HpcServer) -> None:
    query = "service=WPS&version=1.0.0&request=DescribeProcess&identifier=tell"
    root = assert_valid(client.get(server.url, query).content)

    def one(name: str, path: str) -> str | None:
        [found] = root.xpath(f"//Input[ows:Identifier='{name}']", namespaces=NS)
        return found.findtext(path, namespaces=NS)

    assert one("anyURI", "LiteralData/DefaultValue") == "http://example.org/a?b=c&d"
    assert one("boolean", "LiteralData/DefaultValue") == "true"
    assert one("dateTime", "LiteralData/DefaultValue") == "2012-12-31T06:30:00+00:00"
    assert one("string", "LiteralData/DefaultValue") == "a <b> & c"
    assert one("range", ".//ows:Range/ows:MaximumValue") == "9"
    assert one("length", "LiteralData/UOMs/Default/ows:UOM") == "metre"
    [profile, other] = root.iterfind("ProcessDescription/wps:Profile", NS)
    assert (profile.text, other.text) == ("http://example.org/profile", "urn:other")
    schemas_ = [e.text for e in root.iterfind(".//ComplexData/Supported/Format/Schema")]
    assert schemas_ == ["http://schemas.example/gml", "http://schemas.example/kml"]


def test_capabilities_list_the_version_that_is_served(server: HpcServer) -> None:
    root = assert_valid(client.get(server.url, "service=WPS&request=GetCapabilities").content)
    assert root.get("version") == "1.0.0"
    versions = [e.text for e in root.iterfind(".//ows:ServiceTypeVersion", NS)]
    assert versions == ["1.0.0"]


@pytest.mark.parametrize("process", ["tell", "fail"])
@pytest.mark.parametrize("outputs", [(), BY_REFERENCE], ids=["inside", "by-reference"])
def test_documents_of_a_job_are_valid_with_all_its_lineage(
    server: HpcServer, process: str, outputs: Any
) -> None:
    given = inputs_of(server)
    request = client.execute_document(process, given, outputs, asynchronous=True, lineage=True)
    accepted = client.send(server.url, request)
    root = assert_valid(accepted.content)
    [status] = root.iterfind("wps:Status/wps:ProcessAccepted", NS)
    assert not status.attrib
    ended = client.await_end(client.location_of(accepted))
    root = assert_valid(ended)
    assert client.state_of(ended) == ("ProcessSucceeded" if process == "tell" else "ProcessFailed")
    names = [
        str(e.findtext("ows:Identifier", namespaces=NS))
        for e in root.iterfind("wps:DataInputs/wps:Input", NS)
    ]
    told = [name for name, _ in given]
    assert sorted(name for name in names if name in told) == sorted(told)
    [href] = [
        e.get(f"{{{client.XLINK}}}href")
        for e in root.iterfind(".//wps:DataInputs//wps:Reference", NS)
    ]
    assert str(href).endswith("/a%20b.txt")
    data = [e.text or "" for e in root.iterfind(".//wps:DataInputs//wps:ComplexData", NS)]
    assert data[0] == "one\n]]> & <two>"
    [lower] = root.iterfind(".//wps:DataInputs//ows:LowerCorner", NS)
    assert lower.text == "2500000.0 1400000.0"
    asked = {e.get("asReference") for e in root.iterfind("wps:OutputDefinitions/wps:Output", NS)}
    assert asked == ({"true", "false"} if outputs else {"false"})


def test_values_are_stored_when_they_are_asked_for_by_reference(server: HpcServer) -> None:
    ended = client.execute_async(server.url, "tell", [("length", "1")], BY_REFERENCE)
    found = client.outputs_of(ended)
    assert {name: one.kind for name, one in found.items()} == {
        "seen": "Reference", "length": "Reference", "box": "Reference", "doc": "ComplexData",
    }  # fmt: skip
    assert found["length"].content == b"2.5"
    assert b"<ows:LowerCorner>1.0 2.0</ows:LowerCorner>" in found["box"].content  # type: ignore[operator]


def test_a_document_that_is_stored_but_not_updated_leads_to_itself(server: HpcServer) -> None:
    request = client.execute_document("tell", [("length", "1")], asynchronous=True)
    request = re.sub(b'status="true"', b'status="false"', request)
    answer = client.send(server.url, request)
    assert client.state_of(answer.content) == "ProcessSucceeded"
    again = client.get(client.location_of(answer))
    assert again.content == answer.content
    assert_valid(again.content)


@pytest.mark.parametrize("state", ["accepted", "started", "paused", "succeeded", "failed"])
def test_a_document_in_another_state_is_valid(server: HpcServer, state: str) -> None:
    request = client.execute_document("tell", asynchronous=True, lineage=True)
    accepted = client.send(server.url, request).content
    assert_valid(status_xml.replace(accepted, status_xml.Status(state, 100, "so \u0000 it is")))


@pytest.mark.parametrize(
    "query",
    [
        "service=WPS&request=Dance",
        "service=WPS&request=DescribeProcess&version=1.0.0&identifier=%3Cb%3E",
        "service=WPS&request=GetCapabilities&acceptversions=3.0.0",
        "service=WPS&version=1.0.0&request=Execute&identifier=tell&DataInputs=x=1",
        "",
    ],
)
def test_an_exception_report_is_valid(server: HpcServer, query: str) -> None:
    answer = client.get(server.url, query)
    assert answer.status in (400, 501)
    assert_valid(answer.content)
