"""OGC API - Processes 1.0, as a client sees it: every answer is valid, and each requirement of
Annex A of OGC 18-062r2, as far as the OGC's own suite asks for it and beyond."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import iris_sample_data
import lxml.html
import pytest
import requests
from jsonschema import Draft4Validator, FormatChecker
from owslib.ogcapi.processes import Processes

import ogc_schemas
import wps_client
from ogcapi_schemas import assert_valid
from places import ROOT, SERVICES
from servers import HTTP, HpcServer, wait_for

REL = "http://www.opengis.net/def/rel/ogc/1.0/"
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
ADMINISTRATOR = {"X-User": "root"}
SECTIONS = {
    "hpc": {
        "cors": "*",
        "user_header": "X-User",
        "trusted_proxies": "127.0.0.1",
        "administrators": "root",
        "sync_timeout": 60,
    },
    "hpc.process.echo": {"modes": "async, sync"},
    "hpc.container": {"python_path": f"\n    {SERVICES}\n    {ROOT}"},
    "hpc.inputs": {"allowed_networks": "127.0.0.0/8"},
}
A1B = Path(iris_sample_data.__file__).parent / "sample_data" / "A1B_north_america.nc"
PROCESSES = ["echo", "fail", "climate_anomaly"]
GEOJSON = {"type": "Point", "coordinates": [1.5, 2]}
TIFF = b"II*\x00\xff\xfe"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp("ogcapi")
    environment = {"PYTHONPATH": str(ROOT)}
    with HpcServer(
        folder, application="echo:service", sections=SECTIONS, environment=environment
    ) as started:
        shutil.copy(A1B, folder / "inputs")
        (folder / "inputs" / "a.txt").write_text("from a file\n", encoding="utf-8")
        yield started


def get(server: HpcServer, path: str, schema: str = "", **headers: str) -> Any:
    answer = HTTP.get(
        server.base + path, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/")
    found = answer.json()
    if schema:
        assert_valid(schema, found)
    return found


def execute(server: HpcServer, process: str = "echo", prefer: str = "", **body: Any) -> Any:
    headers = {"Prefer": prefer} if prefer else {}
    url = f"{server.base}/processes/{process}/execution"
    return HTTP.post(url, json=body, headers=headers)


def assert_problem(answer: requests.Response, status: int, kind: str = "") -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    found = answer.json()
    assert_valid("exception", found)
    assert found["status"] == status
    assert found["type"] == (kind or found["type"])
    assert "/work/" not in found["detail"]
    assert "/spool" not in found["detail"]
    return found


def ended(location: str, **headers: str) -> Any:
    """The status of a job when it is over."""

    def look() -> Any:
        answer = HTTP.get(location, headers=headers)
        assert answer.status_code == 200, answer.text
        assert_valid("statusInfo", answer.json())
        over = answer.json()["status"] in ("successful", "failed", "dismissed")
        return answer.json() if over else None

    return wait_for(look, "the job ends")


def link_of(document: Any, rel: str) -> str:
    [href] = {link["href"] for link in document["links"] if link["rel"] == rel}
    return str(href)


def parts_of(answer: requests.Response) -> dict[str, Any]:
    """The parts of a multipart message by their ids."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    return {part["Content-ID"].strip("<>"): part for part in message.iter_parts()}  # type: ignore[attr-defined]


# The landing page, conformance, the API's definition (clauses 7.2 to 7.5)


def test_the_landing_page_leads_to_all_else(server: HpcServer) -> None:
    page = get(server, "/", "landingPage")
    assert page["title"]
    for rel in ("service-desc", "conformance", f"{REL}conformance", "processes", f"{REL}processes"):
        answer = HTTP.get(link_of(page, rel))
        assert answer.status_code == 200
        answer.json()
    assert_valid("jobList", HTTP.get(link_of(page, f"{REL}job-list")).json())


def test_every_answer_is_there_to_be_read_with_all_its_links(server: HpcServer) -> None:
    job = execute(server, prefer="respond-async", inputs={"text": "<b>"}, response="document")
    place = job.headers["Location"]
    ended(place)
    for path in (
        *(f"{server.base}{one}" for one in ("/", "/conformance", "/api", "/processes", "/jobs")),
        *(f"{server.base}/processes/echo", place, f"{place}/results", f"{place}/usage"),
    ):
        found = HTTP.get(path).json()
        answer = HTTP.get(f"{path}?f=html")
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            200,
            "text/html; charset=utf-8",
        )
        assert HTTP.get(f"{path}?f=json").headers["Content-Type"] != "text/html; charset=utf-8"
        page = lxml.html.document_fromstring(answer.text)
        shown = [{"href": str(a.get("href"))} for a in page.iter("a")]
        assert set(hrefs(shown)) == set(hrefs(found)), path
        told = "".join(page.itertext())
        said = [text for text in texts(found) if not text.startswith(("This page", "Its other"))]
        assert [text for text in said if text not in told] == [], path
    # Where there are no pages of their own, browsers are answered so.
    answer = HTTP.get(f"{server.base}/conformance", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert HTTP.get(link_of(get(server, "/"), "service-doc")).text.startswith("<!DOCTYPE html>")


def hrefs(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(value.get("href"), str):
        yield re.sub("[?]f=(html|json)$", "", value["href"])  # of its two forms either
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, dict | list):
            yield from hrefs(one)


def texts(value: Any) -> Iterator[str]:
    """All that a document says, but for the addresses of its links."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from (() if name == "href" else texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def test_conformance_tells_each_class_that_is_met(server: HpcServer) -> None:
    found = get(server, "/conformance", "confClasses")["conformsTo"]
    start = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
    for name in (
        *("core", "ogc-process-description", "json", "html", "oas30", "job-list", "dismiss"),
    ):
        assert f"{start}{name}" in found
    assert "urn:pywps-hpc:conf:pause" in found


def test_the_definition_is_made_from_the_service(server: HpcServer) -> None:
    found = get(server, "/api")
    assert found["openapi"].startswith("3.0.")
    assert found["servers"] == [{"url": server.base}]
    body = found["paths"]["/processes/echo/execution"]["post"]["requestBody"]
    inputs = body["content"]["application/json"]["schema"]["properties"]["inputs"]["properties"]
    assert set(inputs) == {"text", "numbers", "document", "image", "box", "pause"}
    names = set(found["components"]["schemas"])
    references = {
        part.split('"')[0] for part in json.dumps(found).split("#/components/schemas/")[1:]
    }
    assert references <= names


@pytest.mark.parametrize(
    "path", ["/processes/none", "/processes/echo/more", "/jobs/none", "/conformance/more"]
)
def test_what_is_not_there_is_told_by_a_problem(server: HpcServer, path: str) -> None:
    found = assert_problem(HTTP.get(server.base + path), 404)
    if path == "/processes/none":
        assert found["type"] == f"{EXCEPTIONS}no-such-process"
    if path.startswith("/jobs"):
        assert found["type"] == f"{EXCEPTIONS}no-such-job"
    asked = HTTP.get(server.base + path, headers={"Accept": "application/problem+json"})
    assert asked.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/conformance", "/processes", "/processes/echo", "/jobs"])
def test_a_method_that_a_resource_does_not_take_is_told_by_a_problem(
    server: HpcServer, path: str
) -> None:
    answer = HTTP.delete(server.base + path)
    assert_problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_an_empty_post_to_the_landing_page_is_no_request_of_wps(server: HpcServer) -> None:
    assert_problem(HTTP.post(f"{server.base}/"), 405)
    assert b"ExceptionReport" in HTTP.post(f"{server.base}/", data=b"<a/>").content


def test_a_parameter_that_is_not_known_is_refused(server: HpcServer) -> None:
    for path in ("/processes?other=1", "/jobs?processid=echo", "/conformance?x=", "/?x=1"):
        assert_problem(HTTP.get(server.base + path), 400)
    get(server, "/processes?f=json", "processList")


def test_the_endpoint_of_wps_stays_where_it_is(server: HpcServer) -> None:
    for path in ("/wps", "/"):
        answer = HTTP.get(f"{server.base}{path}?service=WPS&request=GetCapabilities")
        assert b"Capabilities" in answer.content
        assert ogc_schemas.faults(answer.content) == []


# Processes (clauses 7.9, 7.10, 8)


def test_the_list_of_processes_has_pages(server: HpcServer) -> None:
    first = get(server, "/processes?limit=1", "processList")
    assert [process["id"] for process in first["processes"]] == ["echo"]
    second = HTTP.get(link_of(first, "next")).json()
    assert [process["id"] for process in second["processes"]] == ["fail"]
    last = HTTP.get(link_of(second, "next")).json()
    assert "next" not in {link["rel"] for link in last["links"]}
    assert HTTP.get(link_of(second, "prev")).json()["processes"] == first["processes"]
    everything = get(server, "/processes?limit=100000", "processList")
    assert len(everything["processes"]) == 3
    for wrong in ("0", "-1", "x", "1.5", ""):
        assert_problem(HTTP.get(f"{server.base}/processes?limit={wrong}"), 400)


@pytest.mark.parametrize("path", ["/processes?limit=1", "/jobs?limit=1"])
def test_lists_lead_to_themselves_and_to_their_other_form(server: HpcServer, path: str) -> None:
    found = get(server, path)
    assert link_of(found, "self") == f"{server.base}{path}"
    [other] = [link for link in found["links"] if link["rel"] == "alternate"]
    page = HTTP.get(other["href"])
    assert page.headers["Content-Type"].startswith(other["type"])
    assert 'href="' + link_of(found, "self") in page.text


def test_a_description_has_a_schema_for_each_input_and_output(server: HpcServer) -> None:
    found = get(server, "/processes/echo", "process")
    assert found["jobControlOptions"] == ["sync-execute", "async-execute", "dismiss"]
    assert found["outputTransmission"] == ["value", "reference"]
    assert list(found["inputs"]) == list(found["outputs"])
    schemas = {name: told["schema"] for name, told in found["inputs"].items()}
    assert schemas["text"] == {"type": "string"}
    assert schemas["numbers"]["items"] == {"type": "integer"}
    assert {branch["contentMediaType"] for branch in schemas["document"]["oneOf"]} == {
        "text/plain", "application/xml", "application/geo+json",
    }  # fmt: skip
    assert schemas["image"]["contentEncoding"] == "base64"
    assert schemas["box"]["allOf"][0]["format"] == "ogc-bbox"
    other = get(server, "/processes/fail", "process")
    assert other["jobControlOptions"] == ["async-execute", "dismiss"]
    assert other["inputs"]["how"]["schema"] == {"type": "string", "enum": ["raise", "kill"]}


# Execution (clause 7.11)

INPUTS = {
    "text": "a <b> & ü",
    "numbers": [1, 2],
    "document": {"value": GEOJSON, "mediaType": "application/geo+json"},
    "image": {"value": base64.b64encode(TIFF).decode(), "encoding": "base64"},
    "box": {"bbox": [51.9, 7, 52, 7.1]},
}


def test_a_document_has_every_kind_of_value(server: HpcServer) -> None:
    answer = execute(server, inputs=INPUTS, response="document")
    assert answer.status_code == 200, answer.text
    assert "Link" not in answer.headers
    assert_valid("results", answer.json())
    assert answer.json() == {
        "text": "a <b> & ü",
        "numbers": {"value": [1, 2], "mediaType": "application/json"},
        "document": {"value": GEOJSON, "mediaType": "application/geo+json"},
        "image": {
            "value": base64.b64encode(TIFF).decode(),
            "mediaType": "image/tiff; application=geotiff",
            "encoding": "base64",
        },
        "box": {
            "bbox": [51.9, 7.0, 52.0, 7.1],
            "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        },
        "pause": 0.0,
    }


def test_several_raw_outputs_are_one_message(server: HpcServer) -> None:
    outputs = {name: {"transmissionMode": "value"} for name in INPUTS}
    outputs["numbers"] = {"transmissionMode": "reference"}
    answer = execute(server, inputs=INPUTS, outputs=outputs)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("multipart/related")
    assert "Link" not in answer.headers
    parts = parts_of(answer)
    assert list(parts) == list(INPUTS)
    assert parts["text"].get_content_type() == "text/plain"
    assert parts["text"].get_payload(decode=True) == "a <b> & ü".encode()
    assert parts["image"].get_payload(decode=True) == TIFF
    assert json.loads(parts["document"].get_payload(decode=True)) == GEOJSON
    assert parts["numbers"].get_payload(decode=True) == b""
    assert HTTP.get(parts["numbers"]["Content-Location"]).json() == [1, 2]


def test_without_outputs_all_are_given_raw(server: HpcServer) -> None:
    parts = parts_of(execute(server, inputs={"text": "x"}))
    assert list(parts) == ["text", "numbers", "document", "image", "box", "pause"]


def test_one_raw_output_is_the_body(server: HpcServer) -> None:
    for name, kind, content in (
        ("text", "text/plain; charset=utf-8", "a <b> & ü".encode()),
        ("image", "image/tiff; application=geotiff", TIFF),
        ("numbers", "application/json", b"[1, 2]"),
    ):
        answer = execute(server, inputs=INPUTS, outputs={name: {}})
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["Content-Type"] == kind
        assert "Link" not in answer.headers


def test_a_raw_output_by_reference_is_a_link(server: HpcServer) -> None:
    asked = {"text": {"transmissionMode": "reference"}, "pause": {"transmissionMode": "reference"}}
    answer = execute(server, inputs=INPUTS, outputs=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    links = requests.utils.parse_header_links(answer.headers["Link"])
    assert [HTTP.get(link["url"]).text for link in links] == ["a <b> & ü", "0.0"]
    answer = execute(server, inputs=INPUTS, outputs=asked, response="document")
    assert_valid("results", answer.json())
    assert HTTP.get(answer.json()["text"]["href"]).text == "a <b> & ü"


def test_a_format_is_chosen_for_an_output(server: HpcServer) -> None:
    given = {"document": {"value": "<a/>", "mediaType": "application/xml"}}
    asked = {"document": {"format": {"mediaType": "application/xml"}}}
    answer = execute(server, inputs=given, outputs=asked)
    assert (answer.headers["Content-Type"], answer.text) == ("application/xml", "<a/>")
    asked = {"document": {"format": {"mediaType": "image/png"}}}
    assert_problem(execute(server, inputs=given, outputs=asked), 400)


def test_values_of_other_clients_are_understood(server: HpcServer) -> None:
    for given, name, expected in (
        # A format in a member of its own, as drafts of the standard had it.
        (
            {"value": base64.b64encode(TIFF).decode(), "format": {"encoding": "base64"}},
            "image",
            TIFF,
        ),
        (base64.b64encode(TIFF).decode(), "image", TIFF),
        ({"value": "a text"}, "document", b"a text"),
        (GEOJSON, "document", json.dumps(GEOJSON).encode()),
        (7, "numbers", b"[7]"),
        ({"value": 7}, "numbers", b"[7]"),
    ):
        answer = execute(server, inputs={name: given}, outputs={name: {}})
        assert (answer.status_code, answer.content) == (200, expected), given


@pytest.mark.parametrize("name", ["document", "text"])
def test_an_input_by_reference_is_fetched(server: HpcServer, name: str) -> None:
    url = (server.folder / "inputs" / "a.txt").as_uri()
    given = {name: {"href": url, "type": "text/plain"}}
    answer = execute(server, inputs=given, outputs={name: {}})
    assert (answer.status_code, answer.text.strip()) == (200, "from a file")
    for href in ("http://169.254.169.254/", "gopher://a/", "file:///etc/passwd", "", "x", 7):
        given = {name: {"href": href}}
        url = f"{server.base}/processes/echo/execution"
        assert_problem(HTTP.post(url, json={"inputs": given}), 400)


def test_a_box_has_the_order_of_axes_of_its_reference_system(server: HpcServer) -> None:
    for crs, numbers, expected in (
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", [7, 51, 8, 52], [7, 51, 8, 52]),
        ("urn:ogc:def:crs:EPSG:6.6:4326", [51, 7, 52, 8], [7, 51, 8, 52]),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", [51, 7, 52, 8], [7, 51, 8, 52]),
        ("urn:ogc:def:crs:EPSG:6.6:4326", [345345345] * 4, [345345345] * 4),
    ):
        body = {"inputs": {"box": {"bbox": numbers, "crs": crs}}, "outputs": {"box": {}}}
        answer = HTTP.post(f"{server.base}/processes/echo/execution", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["bbox"] == expected


REFUSED: list[Any] = [
    {"inputs": {"text": None}},
    {"inputs": {"text": {"value": "a", "format": None}}},
    {"inputs": {"box": {"bbox": [0, 0, 1, 1], "crs": None}}},
    {"inputs": {"text": False}},
    {"inputs": {"text": 7}},
    {"inputs": {"text": {"value": False}}},
    {"inputs": {"numbers": [True]}},
    {"inputs": {"text": ["a", "b"]}},
    {"inputs": {"text": {"value": "a", "mediaType": "image/png"}}},
    {"inputs": {"text": {"value": "a", "other": 1}}},
    {"inputs": {"numbers": ["x"]}},
    {"inputs": {"numbers": [1.5]}},
    {"inputs": {"numbers": list(range(11))}},
    {"inputs": {"document": {"value": "a", "mediaType": "image/png"}}},
    {"inputs": {"document": 7}},
    {"inputs": {"image": "no base64!"}},
    {"inputs": {"image": {"value": {"a": 1}}}},
    {"inputs": {"box": [1, 2, 3, 4]}},
    {"inputs": {"box": {"bbox": [1, 2, 3]}}},
    {"inputs": {"box": {"bbox": [1, 2, 3, 4, 5, 6]}}},
    {"inputs": {"box": {"bbox": [1, 2, 3, "4"]}}},
    {"inputs": {"box": {"bbox": [1, 2, 3, 4], "crs": "EPSG:3035"}}},
    {"inputs": {"none": 1}},
    {"inputs": []},
    {"outputs": {"none": {}}},
    {"outputs": {"text": {"transmissionMode": "post"}}},
    {"outputs": {"text": {"other": 1}}},
    {"outputs": {"text": {"format": {"mediaType": "image/png"}}}},
    {"outputs": {"image": {"format": {"mediaType": "image/png"}}}},
    {"outputs": ["text"]},
    {"response": "xml"},
    {"mode": "sync"},
    {"id": "fail"},
    {"subscriber": {"successUri": "ftp://host/"}},
    {"subscriber": {"failedUri": "http://host/"}},
    {"subscriber": None},
    {"inputs": {"text": {"href": "http://host/", "rel": 1}}},
    {"inputs": {"box": {"href": "http://host/"}}},
    {"inputs": {"image": {"href": "http://host/", "type": "image/png"}}},
    {"inputs": {"text": {"href": "http://host/", "type": "image/png"}}},
    [],
    "text",
]


@pytest.mark.parametrize("body", REFUSED, ids=repr)
def test_what_is_not_understood_is_refused(server: HpcServer, body: Any) -> None:
    before = len(server.rows())
    answer = HTTP.post(f"{server.base}/processes/echo/execution", json=body)
    assert_problem(answer, 400)
    assert len(server.rows()) == before


ACCEPTED: list[Any] = [
    {},
    {"inputs": INPUTS, "response": "document"},
    {"inputs": {"numbers": 7, "text": {"value": "a"}, "image": {"href": "http://host/a"}}},
    {"inputs": {"text": {"href": "https://host/a", "type": "text/plain"}}},
    {"inputs": {"numbers": [{"value": 7}, 8], "document": GEOJSON}},
    {"inputs": {"document": {"value": "<a/>", "mediaType": "application/xml"}}},
    {"outputs": {"text": {"transmissionMode": "reference"}, "image": {"format": {}}}},
]


def is_base64(value: Any) -> bool:
    return not isinstance(value, str) or base64.b64decode(value, validate=True) is not None


def test_the_definition_allows_what_is_accepted_and_nothing_else(server: HpcServer) -> None:
    definition = get(server, "/api")
    path = definition["paths"]["/processes/echo/execution"]["post"]
    schema = path["requestBody"]["content"]["application/json"]["schema"]
    formats = FormatChecker(formats=())
    formats.checks("byte", ValueError)(is_base64)
    # OpenAPI 3.0 has the schemas of JSON Schema's draft 4, and the formats of its own.
    validator = Draft4Validator(
        schema | {"components": definition["components"]}, format_checker=formats
    )
    assert [body for body in ACCEPTED if not validator.is_valid(body)] == []
    assert [body for body in REFUSED if validator.is_valid(body)] == []


def test_a_body_that_is_no_json_is_refused(server: HpcServer) -> None:
    url, as_json = f"{server.base}/processes/echo/execution", {"Content-Type": "application/json"}
    for content in (
        b"",
        b"{",
        b'{"inputs": {"pause": NaN}}',
        b"\xff",
        b"[" * 200,
        b'{"a":1,"a":2}',
    ):
        assert_problem(HTTP.post(url, data=content, headers=as_json), 400)
    large = b'{"inputs": {"text": "' + b"x" * (21 << 20) + b'"}}'
    assert_problem(HTTP.post(url, data=large, headers=as_json), 413)
    for kind in ("text/xml", "", "application/x-www-form-urlencoded"):
        assert_problem(HTTP.post(url, data=b"{}", headers={"Content-Type": kind}), 415)
    answer = HTTP.post(f"{server.base}/processes/none/execution", json={})
    assert_problem(answer, 404, f"{EXCEPTIONS}no-such-process")
    assert_problem(HTTP.post(f"{server.base}/processes/fail/execution", json={}), 400)


def test_a_large_text_comes_back_whole(server: HpcServer) -> None:
    text = "ü\n" * (1 << 20)
    answer = execute(server, inputs={"text": text}, outputs={"text": {}})
    assert answer.content == text.encode()
    answer = execute(server, inputs={"text": text}, outputs={"text": {}}, response="document")
    assert answer.json() == {"text": text}


# Modes (requirements 25 to 28; RFC 7240)


@pytest.mark.parametrize("prefer", ["respond-async", "respond-async ", "x=1; y, Respond-Async,"])
def test_a_client_that_prefers_it_is_told_where_its_job_is(server: HpcServer, prefer: str) -> None:
    answer = execute(server, prefer=prefer, inputs={"text": "x"}, outputs={"text": {}})
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert_valid("statusInfo", answer.json())
    location = answer.headers["Location"]
    assert location == link_of(answer.json(), "monitor")
    found = ended(location)
    assert found["jobID"] == found["id"]
    assert found["type"] == found["processingEntityType"] == "process"
    assert found["progress"] == 100
    assert found["created"] <= found["started"] <= found["finished"]
    results = link_of(found, f"{REL}results")
    assert HTTP.get(results).text == "x"


def test_a_process_with_one_mode_is_executed_in_that_one(server: HpcServer) -> None:
    answer = execute(server, "fail", inputs={"how": "raise"})
    assert answer.status_code == 201
    assert "Preference-Applied" not in answer.headers
    answer = execute(server, "fail", prefer="respond-sync", inputs={"how": "raise"})
    assert answer.status_code == 201


def test_a_client_may_wait_for_a_while(server: HpcServer) -> None:
    asked = {"inputs": {"text": "x"}, "outputs": {"text": {}}}
    answer = execute(server, prefer="respond-async, wait=50", **asked)
    assert (answer.status_code, answer.text) == (200, "x")
    assert answer.headers["Preference-Applied"] == "wait=50"
    start = time.monotonic()
    answer = execute(server, prefer="respond-async, wait=1", inputs={"pause": 20})
    assert answer.status_code == 201
    assert time.monotonic() - start < 15
    assert HTTP.delete(answer.headers["Location"]).json()["status"] == "dismissed"


# Jobs and results (clauses 7.12, 7.13, 10, 11)


def test_results_that_are_not_there_yet_are_told_so(server: HpcServer) -> None:
    location = execute(server, prefer="respond-async", inputs={"pause": 60}).headers["Location"]
    for path in ("/results", "/results/text"):
        assert_problem(HTTP.get(location + path), 404, f"{EXCEPTIONS}result-not-ready")
    answer = HTTP.delete(location)
    assert_valid("statusInfo", answer.json())
    assert (answer.status_code, answer.json()["status"]) == (200, "dismissed")
    assert HTTP.get(location).json()["status"] == "dismissed"
    assert HTTP.get(f"{location}/results").status_code in (404, 410)


def test_results_are_given_in_the_form_that_was_asked_for(server: HpcServer) -> None:
    asked = {"text": {"transmissionMode": "reference"}, "pause": {}}
    job = execute(
        server, prefer="respond-async", inputs=INPUTS, outputs=asked, response="document"
    ).headers["Location"]
    ended(job)
    found = HTTP.get(f"{job}/results").json()
    assert_valid("results", found)
    assert found["pause"] == 0.0
    assert HTTP.get(found["text"]["href"]).text == "a <b> & ü"
    answer = HTTP.get(f"{job}/results/text", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.text) == (206, "a ")
    assert_problem(HTTP.get(f"{job}/results/none"), 404)
    log = HTTP.get(f"{job}/log")
    assert log.headers["Content-Type"].startswith("text/plain")
    assert "succeeded" in log.text
    assert get(server, job.removeprefix(server.base) + "/usage")["elapsedSeconds"] > 0
    assert HTTP.delete(job).status_code == 200
    assert_problem(HTTP.get(job), 404, f"{EXCEPTIONS}no-such-job")


def test_raw_results_of_a_job_have_each_form(server: HpcServer) -> None:
    value, link = {"transmissionMode": "value"}, {"transmissionMode": "reference"}
    jobs = [
        execute(server, prefer="respond-async", inputs=INPUTS, outputs=asked).headers["Location"]
        for asked in (
            {"text": value, "image": value},
            {"text": link, "pause": link},
            {"text": value, "numbers": link},
        )
    ]
    for job in jobs:
        assert ended(job)["status"] == "successful"
    several, links, mixed = (HTTP.get(f"{job}/results") for job in jobs)
    parts = parts_of(several)
    assert parts["text"].get_payload(decode=True) == "a <b> & ü".encode()
    assert parts["image"].get_payload(decode=True) == TIFF
    assert (links.status_code, links.content) == (204, b"")
    found = requests.utils.parse_header_links(links.headers["Link"])
    assert [HTTP.get(one["url"]).text for one in found] == ["a <b> & ü", "0.0"]
    parts = parts_of(mixed)
    assert parts["text"].get_payload(decode=True) == "a <b> & ü".encode()
    assert HTTP.get(parts["numbers"]["Content-Location"]).json() == [1, 2]


def test_results_after_the_answer_are_those_of_the_answer(server: HpcServer) -> None:
    before = {row["access"] for row in server.rows()}
    answer = execute(server, inputs=INPUTS, response="document")
    [job] = {row["access"] for row in server.rows()} - before
    assert HTTP.get(f"{server.base}/jobs/{job}/results").json() == answer.json()


def test_a_dismissed_job_can_be_removed(server: HpcServer) -> None:
    job = execute(server, prefer="respond-async", inputs={"pause": 60}).headers["Location"]
    assert HTTP.delete(job).json()["status"] == "dismissed"
    assert HTTP.get(job).json()["status"] == "dismissed"
    # As long as the dispatcher carries it out, the same answer; then it is gone.
    wait_for(lambda: HTTP.delete(job).status_code == 404, "it is removed")
    assert_problem(HTTP.get(job), 404, f"{EXCEPTIONS}no-such-job")


@pytest.mark.parametrize(("how", "kind"), [("raise", "process"), ("kill", "system")])
def test_a_failure_is_told_by_its_cause(server: HpcServer, how: str, kind: str) -> None:
    job = execute(server, "fail", inputs={"how": how}).headers["Location"]
    found = ended(job)
    assert found["status"] == "failed"
    assert "progress" not in found
    answer = HTTP.get(link_of(found, f"{REL}exceptions"))
    problem = assert_problem(answer, 500, f"urn:pywps-hpc:problem:{kind}")
    assert problem["detail"] == found["message"]
    assert ("the job's log" in problem["detail"]) == (how == "raise")


def test_a_subscriber_is_refused_where_nobody_is_called_back(server: HpcServer) -> None:
    before = len(server.rows())
    answer = execute(server, subscriber={"successUri": "http://127.0.0.1/"})
    problem = assert_problem(answer, 501)
    assert problem["detail"] == "subscriber: this service does not call back."
    assert len(server.rows()) == before
    conforms = HTTP.get(f"{server.base}/conformance").json()["conformsTo"]
    assert not [one for one in conforms if one.endswith("/callback")]


def test_a_failure_for_an_input_that_cannot_be_had_blames_the_input(server: HpcServer) -> None:
    """Where the job fetches it."""
    given = {"document": {"href": f"{server.base}/outputs/none", "type": "text/plain"}}
    job = execute(server, inputs=given, prefer="respond-async").headers["Location"]
    assert ended(job)["status"] == "failed"
    problem = assert_problem(HTTP.get(f"{job}/results"), 400, "urn:pywps-hpc:problem:input")
    assert "input document: " in problem["detail"]


def test_a_job_is_paused_and_goes_on(server: HpcServer) -> None:
    job = execute(server, prefer="respond-async", inputs={"pause": 3}).headers["Location"]
    wait_for(lambda: HTTP.get(job).json()["status"] == "running", "it runs")

    def put(status: str) -> requests.Response:
        return HTTP.put(f"{job}/status", json={"status": status})

    assert put("paused").status_code == 200
    found = wait_for(
        lambda: (told := HTTP.get(job).json())["message"] == "Paused" and told, "it is paused"
    )
    assert found["status"] == "running"
    assert_valid("statusInfo", found)
    assert put("running").status_code == 200
    assert ended(job)["status"] == "successful"
    assert_problem(put("paused"), 409)
    for wrong in ({"status": "ended"}, {}, [], {"status": "paused", "x": 1}, {"status": []}):
        assert_problem(HTTP.put(f"{job}/status", json=wrong), 400)
    assert_problem(HTTP.put(f"{job}/status", json={"status": "x" * 9999}), 413)
    assert_problem(HTTP.put(f"{job}/status", data="paused"), 415)


def test_the_list_of_jobs_has_filters_and_pages(server: HpcServer) -> None:
    mine = {"X-User": "anna"}
    url = f"{server.base}/processes/echo/execution"
    for _ in range(3):
        body = {"inputs": {}, "outputs": {"pause": {}}}
        assert HTTP.post(url, json=body, headers=mine).status_code == 200

    def listed(query: str, headers: dict[str, str] = mine) -> list[Any]:
        answer = HTTP.get(f"{server.base}/jobs?{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        assert_valid("jobList", answer.json())
        return list(answer.json()["jobs"])

    everything = listed("")
    assert len(everything) == 3
    created = [job["created"] for job in everything]
    assert created == sorted(created, reverse=True)
    first = HTTP.get(f"{server.base}/jobs?limit=2", headers=mine).json()
    second = HTTP.get(link_of(first, "next"), headers=mine).json()
    ids = [job["jobID"] for page in (first, second) for job in page["jobs"]]
    assert ids == [job["jobID"] for job in everything]
    assert "next" not in {link["rel"] for link in second["links"]}
    assert len(listed("type=process&processID=echo,other&status=successful,failed")) == 3
    assert listed("processID=other") == listed("status=running") == []
    assert len(listed(f"datetime={created[1]}")) == 1
    assert len(listed(f"datetime={created[1]}/..")) == 2
    assert len(listed(f"datetime=../{created[1]}")) == 2
    assert listed("datetime=2001-02-03/2001-02-04T00:00:00Z") == []
    assert listed(f"datetime={created[0]}/{created[2]}") == []  # no time is in there
    assert len(listed("minDuration=0&maxDuration=600")) == 3
    assert listed("minDuration=600") == []
    assert listed("", {"X-User": "ben"}) == listed("", {}) == []
    assert len(listed("limit=1000", ADMINISTRATOR)) > 3
    for wrong in (
        *("status=paused", "type=wps", "datetime=..", "datetime=yesterday", "datetime="),
        *("datetime=2001-02-29", "datetime=2001-02-03T24:00:00Z", "datetime=../..", "limit=0"),
        *("minDuration=-1", "after=x", "status=failed&x=1"),
    ):
        for headers in (mine, {}):
            assert_problem(HTTP.get(f"{server.base}/jobs?{wrong}", headers=headers), 400)


def test_a_job_of_somebody_else_is_none(server: HpcServer) -> None:
    url = f"{server.base}/processes/echo/execution"
    headers = {"X-User": "anna", "Prefer": "respond-async"}
    job = HTTP.post(url, json={"inputs": {}}, headers=headers).headers["Location"]
    unknown = f"{server.base}/jobs/00000000-0000-4000-8000-000000000000"
    for path in ("", "/results", "/results/text", "/log", "/usage"):
        for other in ({}, {"X-User": "ben"}):
            strange, none = (HTTP.get(at + path, headers=other) for at in (job, unknown))
            assert (strange.status_code, strange.content) == (404, none.content)
    for call in (HTTP.delete, lambda at: HTTP.put(f"{at}/status", json={"status": "paused"})):
        assert call(job).content == call(unknown).content
    assert ended(job, **{"X-User": "anna"})["status"] == "successful"
    assert HTTP.get(job, headers=ADMINISTRATOR).status_code == 200


def test_scripts_of_other_hosts_may_use_it(server: HpcServer) -> None:
    origin = {"Origin": "https://else.where"}
    url = f"{server.base}/processes/echo/execution"
    asked = origin | {"Access-Control-Request-Method": "POST"}
    answer = HTTP.options(url, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    for word in ("Content-Type", "Prefer"):
        assert word in answer.headers["Access-Control-Allow-Headers"]
    for answer in (
        HTTP.get(f"{server.base}/jobs/none", headers=origin),
        HTTP.post(url, json=[], headers=origin),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Origin" not in HTTP.get(f"{server.base}/jobs/none").headers


# Clients


def test_owslib_executes_a_process(server: HpcServer) -> None:
    client = Processes(f"{server.base}/")
    assert [process["id"] for process in client.processes()] == PROCESSES
    assert client.process("echo")["version"] == "1.0"
    found = client.execute("echo", {"text": "x", "numbers": [1]}, {"text": {}, "numbers": {}})
    assert found == {"text": "x", "numbers": {"value": [1], "mediaType": "application/json"}}
    job = client.execute("echo", {"text": "x"}, async_=True)
    assert job["status"] == "accepted"
    assert ended(client.response_headers["Location"])["status"] == "successful"


def test_curl_executes_a_process(server: HpcServer) -> None:
    body = '{"inputs": {"text": "x"}, "outputs": {"text": {}}}'
    command = ["curl", "-sS", "--noproxy", "*", "--json", body]
    url = f"{server.base}/processes/echo/execution"
    found = subprocess.run([*command, url], capture_output=True, text=True, timeout=120)
    assert found.stdout == "x", found.stderr


def test_a_job_of_wps_has_its_results_here_too(server: HpcServer) -> None:
    answer = wps_client.send(
        server.url, wps_client.execute_document("echo", [("text", "x")], asynchronous=True)
    )
    job = f"{server.base}/jobs/{wps_client.job_id_of(wps_client.location_of(answer))}"
    assert ended(job)["status"] == "successful"
    found = HTTP.get(f"{job}/results").json()
    assert_valid("results", found)
    assert (found["text"], found["pause"]) == ("x", 0.0)
    assert found["numbers"] == {"value": [], "mediaType": "application/json"}
    # What stands in its own document alone is there.
    assert (
        HTTP.get(found["image"]["href"]).content == HTTP.get(wps_client.location_of(answer)).content
    )


def test_the_climate_process_has_the_result_that_it_has_by_wps(server: HpcServer) -> None:
    url = (server.folder / "inputs" / A1B.name).as_uri()
    inputs = {"dataset": {"href": url, "type": "application/x-netcdf"}, "reference_start": 1971}
    answer = execute(server, "climate_anomaly", inputs=inputs, response="document")
    assert answer.status_code == 201
    by_wps = wps_client.execute_async(
        server.url,
        "climate_anomaly",
        [
            ("dataset", wps_client.Reference(url, "application/x-netcdf")),
            ("reference_start", "1971"),
        ],
    )
    job = answer.headers["Location"]
    assert ended(job)["status"] == "successful"
    found = HTTP.get(f"{job}/results").json()
    assert_valid("results", found)
    expected = wps_client.outputs_of(by_wps)
    assert found["summary"]["value"] == json.loads(str(expected["summary"].content))
    plot = base64.b64decode(found["plot"]["value"])
    assert plot == HTTP.get(f"{job}/results/plot").content == expected["plot"].content
    assert plot.startswith(b"\x89PNG")
