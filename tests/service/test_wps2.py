"""WPS 2.0 (OGC 14-065) against the running service: what its abstract test suite (Annex A) asks,
what the OGC's own test suite sends, and what the standard says besides. Every document is valid."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lxml import etree

import wps2_client as wps2
import wps_client as client
from places import ROOT, SERVICES
from servers import HpcServer, wait_for
from wps2_client import NS, OWS, WPS, XLINK, literal, output

ECHO = "org.n52.javaps.test.EchoProcess"
LITERAL = [literal("literalInput", "hello_literal")], [output("literalOutput")]
COMPLEX = (
    [wps2.data("complexInput", "<testElement>hello_complex</testElement>")],
    [output("complexOutput")],
)
SECTIONS = {
    "hpc": {"young": 240, "poll_backoff": 0.2},
    "hpc.container": {"python_path": f"{SERVICES}\n    {ROOT}"},
    "hpc.inputs": {"allowed_networks": "127.0.0.0/8"},
    "hpc.process.queued": {"modes": "async"},
    "hpc.retention": {"age": "1d"},
}
MISTYPED = (
    "xmlns:xsi='http://www.aw3.org/2001/XMLSchema-instance' xsi:schemaLocation='a ../wps.xsd'"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp("second")
    with HpcServer(folder, application="second:service", sections=SECTIONS) as started:
        (folder / "inputs" / "vehicle.txt").write_text("a lorry\n", encoding="utf-8")
        yield started


@pytest.fixture(scope="module")
def url(server: HpcServer) -> str:
    return server.url


@pytest.fixture(scope="module")
def finished(url: str) -> str:
    """The JobID of an echo that has ended."""
    job = wps2.job_of(wps2.execute(url, ECHO, *LITERAL, mode="async"))
    assert wps2.state_of(wps2.await_state(url, job)) == "Succeeded"
    return job


# --- Version negotiation


def capabilities(inside: str) -> bytes:
    spaces = f"xmlns:wps='{WPS}' xmlns:ows='{OWS}'"
    return f"<wps:GetCapabilities {spaces} service='WPS'>{inside}</wps:GetCapabilities>".encode()


@pytest.mark.parametrize(
    "query",
    [
        "service=WPS&request=GetCapabilities&acceptversions=2.0.0",
        "service=WPS&request=GetCapabilities&acceptversions=2.0.0,1.0.0",
        "Service=WPS&Request=GetCapabilities&AcceptVersions=3.0.0,2.0.0",
        "Service=WPS&Version=2.0.0&Request=GetCapabilities",
        "SERVICE=WPS&VERSION=2.0.0&REQUEST=GetCapabilities",
    ],
)
def test_capabilities_are_given_in_the_version_that_is_preferred(url: str, query: str) -> None:
    root = wps2.valid(client.get(url, query))
    assert (root.tag, root.get("version")) == (f"{{{WPS}}}Capabilities", "2.0.0")


@pytest.mark.parametrize(
    "query",
    [
        "service=WPS&request=GetCapabilities",
        "service=WPS&request=GetCapabilities&acceptversions=1.0.0,2.0.0",
        "service=WPS&request=GetCapabilities&version=1.0.0",
        "service=WPS&request=DescribeProcess&version=1.0.0&identifier=wait",
        "service=WPS&request=DescribeProcess&identifier=wait",
    ],
)
def test_without_a_word_about_it_the_version_is_the_first(url: str, query: str) -> None:
    answer = client.get(url, query)
    root = etree.fromstring(answer.content)
    assert answer.status == 200
    assert root.get("version") == "1.0.0"
    assert [e.text for e in root.iter("{*}ServiceTypeVersion")] in (["1.0.0"], [])


@pytest.mark.parametrize(
    "query",
    [
        "service=WMS&request=GetCapabilities&version=2.0.0",
        "service=WPS&request=GetCapabilities&version=3.0.0",
    ],
)
def test_another_service_or_version_is_refused(url: str, query: str) -> None:
    assert client.get(url, query).status == 400


@pytest.mark.parametrize(
    "inside", ["", "<ows:AcceptVersions><ows:Version>2.0.0</ows:Version></ows:AcceptVersions>"]
)
def test_a_capabilities_document_is_answered_in_the_version_of_its_namespace(
    url: str, inside: str
) -> None:
    root = wps2.valid(client.send(url, capabilities(inside)))
    assert root.get("version") == "2.0.0"


def test_a_document_may_prefer_the_other_version(url: str) -> None:
    inside = "<ows:AcceptVersions><ows:Version>1.0.0</ows:Version></ows:AcceptVersions>"
    answer = client.send(url, capabilities(inside))
    root = etree.fromstring(answer.content)
    assert (etree.QName(root).localname, root.get("version")) == ("Capabilities", "1.0.0")


# --- Descriptions


def test_describe_process_tells_of_data_of_each_kind(url: str) -> None:
    root = wps2.valid(wps2.query(url, "DescribeProcess", identifier=ECHO))
    assert root.tag == f"{{{WPS}}}ProcessOfferings"
    for kind in ("LiteralData", "ComplexData", "BoundingBoxData"):
        assert len(root.findall(f".//wps:{kind}", NS)) == 2
    assert {e.get("minOccurs") for e in root.iterfind(".//wps:Input", NS)} == {"0"}


def test_describe_process_all_tells_of_each_process_once(url: str) -> None:
    root = wps2.valid(wps2.query(url, "DescribeProcess", identifier="ALL"))
    names = [e.findtext("ows:Identifier", "", NS) for e in root.iterfind(".//wps:Process", NS)]
    summaries = wps2.valid(wps2.query(url, "GetCapabilities")).iterfind(".//wps:ProcessSummary", NS)
    assert names == [e.findtext("ows:Identifier", "", NS) for e in summaries]
    assert len(set(names)) == len(names) == 9


def test_describe_process_is_answered_to_a_document(url: str) -> None:
    inside = f"<ows:Identifier>{ECHO}</ows:Identifier>"
    root = wps2.valid(client.send(url, wps2.document("DescribeProcess", inside)))
    assert root.tag == f"{{{WPS}}}ProcessOfferings"
    assert [e.findtext("ows:Identifier", "", NS) for e in root.iterfind(".//wps:Process", NS)] == [
        ECHO
    ]


def test_capabilities_tell_of_each_operation_and_of_the_modes_of_each_process(url: str) -> None:
    root = wps2.valid(wps2.query(url, "GetCapabilities"))
    operations = {e.get("name"): e for e in root.iterfind("ows:OperationsMetadata/*[@name]", NS)}
    expected = {"GetCapabilities", "DescribeProcess", "Execute", "GetStatus", "GetResult"}
    assert expected | {"Dismiss"} <= set(operations)
    for name, operation in operations.items():
        bindings = {etree.QName(e).localname for e in operation.iterfind("ows:DCP/ows:HTTP/*", NS)}
        assert bindings == ({"Post"} if name == "Execute" else {"Get", "Post"}), name
    options = [e.get("jobControlOptions") for e in root.iterfind(".//wps:ProcessSummary", NS)]
    assert all("async-execute" in str(told) and "dismiss" in str(told) for told in options)
    assert any("sync-execute" in str(told).split() for told in options)


@pytest.mark.parametrize("name", ["service", "version"])
def test_each_request_for_another_service_or_version_is_refused(
    url: str, finished: str, name: str
) -> None:
    queries = [
        {"request": "GetCapabilities"},
        {"request": "DescribeProcess", "identifier": ECHO},
        *({"request": one, "jobid": finished} for one in ("GetStatus", "GetResult", "Dismiss")),
    ]
    right = {"service": "WPS", "version": "2.0.0"}
    wrong = right | {name: {"service": "WMS", "version": "3.0.0"}[name]}
    for query in queries:
        pairs = "&".join(f"{key}={value}" for key, value in (wrong | query).items())
        assert client.get(url, pairs).status == 400, pairs
    document = wps2.execute_document(ECHO, *LITERAL).decode()
    for told in (f"{name}='{right[name]}'", f'{name}="{right[name]}"'):
        document = document.replace(told, f"{name}='{wrong[name]}'")
    assert wrong[name] in document
    assert client.send(url, document.encode()).status == 400
    # None of these has dismissed it.
    assert wps2.state_of(wps2.query(url, "GetStatus", jobid=finished)) == "Succeeded"


@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
def test_names_of_parameters_are_read_in_any_case(url: str, case) -> None:  # type: ignore[no-untyped-def]
    query = "&".join(
        f"{case(name)}={value}"
        for name, value in (
            ("service", "WPS"),
            ("version", "2.0.0"),
            ("request", "DescribeProcess"),
            ("identifier", ECHO),
        )
    )
    wps2.valid(client.get(url, query))


def test_offerings_tell_how_a_process_is_executed_and_its_outputs_transmitted(url: str) -> None:
    root = wps2.valid(wps2.query(url, "DescribeProcess", identifier="wait,queued,shut"))
    found = {
        e[0].findtext("ows:Identifier", "", NS): e for e in root.iterfind("wps:ProcessOffering", NS)
    }
    control = {name: str(e.get("jobControlOptions")).split() for name, e in found.items()}
    assert control["wait"][:3] == ["async-execute", "sync-execute", "dismiss"]
    assert "sync-execute" not in control["queued"]
    assert {"dismiss", "pause", "resume"} <= set(control["queued"])
    assert found["wait"].get("outputTransmission") == "value reference"
    assert found["shut"].get("outputTransmission") == "value"


def test_a_description_tells_what_the_process_says_of_itself(url: str) -> None:
    root = wps2.valid(wps2.query(url, "DescribeProcess", identifier="tell"))

    def one(name: str, path: str) -> str | None:
        [found] = root.xpath(f"//wps:Input[ows:Identifier='{name}']", namespaces=NS)
        return found.findtext(path, namespaces=NS)

    assert one("boolean", ".//ows:DefaultValue") == "true"
    assert one("colour", ".//ows:AllowedValues/ows:Value") == "red"
    assert one("range", ".//ows:Range/ows:MaximumValue") == "9"
    assert one("box", ".//wps:SupportedCRS") == "EPSG:4326"
    [length] = root.xpath("//wps:Input[ows:Identifier='length']", namespaces=NS)
    assert [e.text for e in length.iterfind(".//ows:UOM", NS)] == ["metre", "feet"]
    assert [e.get("default") for e in length.iterfind(".//LiteralDataDomain")] == ["true", None]
    assert [e.text for e in root.iterfind("*/wps:Process/ows:Keywords/*", NS)] == [
        "a keyword",
        "b & c",
    ]
    assert root[0].get("processVersion") == "1.2.3"


def test_a_description_is_given_in_another_language(url: str) -> None:
    root = wps2.valid(wps2.query(url, "DescribeProcess", identifier="tell", language="fr-CA"))
    assert "Titre" in [element.text for element in root.iterfind(".//ows:Title", NS)]


# --- Execute


@pytest.mark.parametrize("mode", ["sync", "auto"])
@pytest.mark.parametrize("response", ["document", "raw"])
def test_each_way_of_executing_is_answered_with_exactly_200(
    url: str, mode: str, response: str
) -> None:
    answer = wps2.execute(url, ECHO, *LITERAL, mode=mode, response=response)
    root = wps2.valid(answer)
    assert root.tag == {
        ("sync", "document"): f"{{{WPS}}}Result",
        ("sync", "raw"): f"{{{WPS}}}LiteralValue",
    }.get((mode, response), f"{{{WPS}}}StatusInfo")


def test_a_literal_value_comes_back_in_a_document(url: str) -> None:
    found = wps2.outputs_of(wps2.execute(url, ECHO, *LITERAL))
    assert list(found) == ["literalOutput"]  # no other was asked for
    assert found["literalOutput"].tag == f"{{{WPS}}}Data"
    assert found["literalOutput"].findtext("wps:LiteralValue", "", NS) == "hello_literal"


def test_a_literal_value_comes_back_as_it_is(url: str) -> None:
    answer = wps2.execute(url, ECHO, *LITERAL, response="raw")
    assert etree.fromstring(answer.content).text == "hello_literal"
    plain = [output("literalOutput", "mimeType='text/plain'")]
    answer = wps2.execute(url, ECHO, LITERAL[0], plain, response="raw")
    assert (answer.content, answer.status) == (b"hello_literal", 200)
    assert answer.content_type.startswith("text/plain")


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_document_comes_back_as_an_element(url: str, wrapped: bool) -> None:
    inside = "<testElement>hello_complex</testElement>"
    content = f"<wps:ComplexData>{inside}</wps:ComplexData>" if wrapped else inside
    given = [wps2.data("complexInput", content, "" if wrapped else "mimeType='text/xml'")]
    answer = wps2.execute(url, ECHO, given, [output("complexOutput")], response="raw")
    assert answer.status == 200
    assert etree.fromstring(answer.content).tag == "testElement"
    found = wps2.outputs_of(wps2.execute(url, ECHO, given, [output("complexOutput")]))
    assert found["complexOutput"].get("mimeType") == "text/xml"
    assert found["complexOutput"].findtext("testElement") == "hello_complex"


def test_a_box_comes_back(url: str) -> None:
    box = (
        "<ows:BoundingBox crs='urn:ogc:def:crs:OGC:1.3:CRS84' dimensions='2'>"
        "<ows:LowerCorner>49 7.5</ows:LowerCorner><ows:UpperCorner>50 8</ows:UpperCorner>"
        "</ows:BoundingBox>"
    )
    given, asked = [wps2.data("boundingboxInput", box)], [output("boundingboxOutput")]
    [found] = wps2.outputs_of(wps2.execute(url, ECHO, given, asked)).values()
    [box_] = found
    assert box_.tag == f"{{{OWS}}}BoundingBox"
    assert [float(n) for e in box_ for n in (e.text or "").split()] == [49, 7.5, 50, 8]
    raw = wps2.execute(url, ECHO, given, asked, response="raw")
    assert etree.fromstring(raw.content).tag == f"{{{OWS}}}BoundingBox"


@pytest.mark.parametrize(
    ("data", "expected"),
    [("a <![CDATA[<b> & c]]>", "a <b> & c"), ("", ""), ("<!-- no content -->a b ", "a b ")],
)
def test_a_literal_value_may_stand_in_data_as_plain_text(
    url: str, data: str, expected: str
) -> None:
    given = [wps2.data("literalInput", data, "mimeType='text/plain'")]
    answer = wps2.execute(
        url, ECHO, given, [output("literalOutput", "mimeType='text/plain'")], response="raw"
    )
    assert answer.content.decode() == expected


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_outputs_are_given_by_reference(url: str, mode: str) -> None:
    asked = [
        output(name, "transmission='reference'")
        for name in ("literalOutput", "complexOutput", "boundingboxOutput")
    ]
    answer = wps2.execute(url, ECHO, LITERAL[0], asked, mode=mode)
    if mode == "async":
        answer = wps2.query(url, "GetResult", jobid=wps2.job_of(answer))
    found = wps2.outputs_of(answer)
    assert [element.tag for element in found.values()] == [f"{{{WPS}}}Reference"] * 3
    assert client.get(_href(found["literalOutput"])).content == b"hello_literal"
    assert client.get(_href(found["complexOutput"])).content == b"<empty/>"
    assert b"LowerCorner" in client.get(_href(found["boundingboxOutput"])).content


def _href(reference: etree._Element) -> str:
    return str(reference.get(f"{{{XLINK}}}href"))


def test_each_output_keeps_its_bytes_and_is_told_in_the_encoding_that_is_asked_for(
    url: str,
) -> None:
    asked = [
        output("bytes", "transmission='value'"),
        output("text", "encoding='base64'"),
        output("literal"),
    ]
    found = wps2.outputs_of(wps2.execute(url, "write", [literal("size", "7")], asked))
    assert list(found) == ["bytes", "text", "literal"]  # in the order in which they were asked for
    assert found["bytes"].get("encoding") == found["text"].get("encoding") == "base64"
    assert base64.b64decode(found["bytes"].text or "") == b"\x00\xff\r\n" * 4
    assert base64.b64decode(found["text"].text or "") == "<é>&\nxxxxxxx".encode()
    assert found["literal"][0].text == "a <b> & \u2603"
    [text] = wps2.outputs_of(wps2.execute(url, "write", [], [output("text")])).values()
    assert text.text == "<é>&\nxxx"
    raw = wps2.execute(url, "write", [], [output("bytes")], response="raw")
    assert raw.content == b"\x00\xff\r\n" * 4
    assert raw.content_type == "application/octet-stream"


def test_a_value_that_is_too_large_for_a_document_is_given_by_reference(url: str) -> None:
    given = [literal("size", str(17 << 20))]
    [found] = wps2.outputs_of(wps2.execute(url, "write", given, [output("text")])).values()
    assert found.tag == f"{{{WPS}}}Reference"
    assert len(client.get(_href(found)).content) == (17 << 20) + len("<é>&\n".encode())


def test_a_large_input_reaches_the_process_as_it_is(url: str) -> None:
    text = "é&<" + "x" * (2 << 20)
    answer = wps2.execute(
        url,
        ECHO,
        [literal("literalInput", text)],
        [output("literalOutput", "transmission='reference'")],
    )
    [found] = wps2.outputs_of(answer).values()
    assert client.get(_href(found)).content.decode() == text
    many = "<list>" + "<i>x</i>" * 200_000 + "</list>"
    for content in (many, f"<wps:ComplexData>{many}</wps:ComplexData>"):
        given = [wps2.data("complexInput", content)]
        answer = wps2.execute(url, ECHO, given, [output("complexOutput")], response="raw")
        assert answer.status == 200, answer.content
        assert (
            etree.tostring(etree.fromstring(answer.content), method="c14n", exclusive=True).decode()
            == many
        )


def test_the_climate_process_gives_what_it_gives_by_the_first_version(
    server: HpcServer, url: str
) -> None:
    import iris_sample_data

    source = Path(iris_sample_data.path) / "A1B_north_america.nc"
    file = server.folder / "inputs" / source.name
    file.write_bytes(source.read_bytes())
    mime = "mimeType='application/x-netcdf'"
    given = [wps2.reference("dataset", file.as_uri(), mime)]
    asked = [output("summary"), output("plot"), output("anomaly", "transmission='value'")]
    job = wps2.job_of(wps2.execute(url, "climate_anomaly", given, asked, mode="async"))
    assert wps2.state_of(wps2.await_state(url, job)) == "Succeeded"
    second = wps2.outputs_of(wps2.query(url, "GetResult", jobid=job))
    first = client.outputs_of(
        client.execute_async(
            url,
            "climate_anomaly",
            [("dataset", client.Reference(file.as_uri(), "application/x-netcdf"))],
        )
    )
    assert second["summary"].text == first["summary"].content
    assert second["plot"].tag == f"{{{WPS}}}Reference"  # as its process would have it
    assert client.get(_href(second["plot"])).content == first["plot"].content
    assert len(base64.b64decode(second["anomaly"].text or "")) == len(first["anomaly"].content)


@pytest.mark.parametrize("transmission", ["value", "reference"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_literal_value_is_taken_by_reference(
    server: HpcServer, url: str, transmission: str, declared: bool
) -> None:
    file = server.folder / "inputs" / "vehicle.txt"
    mime = "mimeType='text/plain'" if declared else ""
    given = [wps2.reference("literalInput", file.as_uri(), mime)]
    [found] = wps2.outputs_of(
        wps2.execute(url, ECHO, given, [output("literalOutput", f"transmission='{transmission}'")])
    ).values()
    if transmission == "value":
        assert (found[0].text or "").strip() == "a lorry"
    else:
        assert client.get(_href(found)).content.strip() == b"a lorry"


# --- Jobs


def test_each_job_has_an_id_of_its_own(url: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: wps2.execute(url, ECHO, *LITERAL, mode="async"), range(10))
        )
    assert len({wps2.job_of(answer) for answer in answers}) == 10


@pytest.mark.parametrize("response", ["document", "raw"])
def test_a_result_that_is_asked_for_at_once_is_waited_for(url: str, response: str) -> None:
    job = wps2.job_of(wps2.execute(url, ECHO, *LITERAL, mode="async", response=response))
    root = wps2.valid(wps2.on_job(url, "GetResult", job))
    assert b"LiteralValue" in etree.tostring(root)
    assert (root.tag == f"{{{WPS}}}LiteralValue") == (response == "raw")


def test_the_first_status_of_a_short_job_tells_its_end(url: str) -> None:
    job = wps2.job_of(wps2.execute(url, ECHO, *LITERAL, mode="async"))
    assert wps2.state_of(wps2.query(url, "GetStatus", jobid=job)) == "Succeeded"


def test_status_and_result_are_told_to_documents_and_to_queries_in_any_case(
    url: str, finished: str
) -> None:
    assert wps2.state_of(wps2.on_job(url, "GetStatus", finished)) == "Succeeded"
    for case in (str.upper, str.lower):
        query = "&".join(
            f"{case(n)}={v}"
            for n, v in (
                ("service", "WPS"),
                ("version", "2.0.0"),
                ("request", "GetStatus"),
                ("jobid", finished),
            )
        )
        assert wps2.state_of(client.get(url, query)) == "Succeeded"
        query = query.replace("GetStatus", "GetResult")
        assert "literalOutput" in wps2.outputs_of(client.get(url, query))


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[HpcServer]:
    """A server that waits for no job for longer than a second."""
    sections = {**SECTIONS, "hpc": {"young": 1}}
    with HpcServer(tmp_path, application="second:service", sections=sections) as started:
        yield started


def test_a_status_tells_how_far_the_job_is_and_when_to_ask_again(
    impatient: HpcServer,
) -> None:
    url = impatient.url
    begun = time.time()
    job = wps2.job_of(
        wps2.execute(url, "wait", [literal("seconds", "300")], [output("done")], mode="async")
    )
    # A young job is waited for in vain.
    wps2.await_state(url, job, "Running")
    assert time.time() - begun >= 1

    def told_of() -> dict[str, str]:
        root = wps2.valid(wps2.query(url, "GetStatus", jobid=job))
        return {str(etree.QName(e).localname): str(e.text) for e in root}

    told = wait_for(
        lambda: found if (found := told_of())["PercentCompleted"] == "40" else None, "its progress"
    )
    assert told["Status"] == "Running"
    assert "ExpirationDate" not in told
    for name in ("NextPoll", "EstimatedCompletion"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told[name])
    assert wps2.refusal(wps2.query(url, "GetResult", jobid=job))[:2] == ("ResultNotReady", "JobID")
    assert wps2.state_of(wps2.on_job(url, "Pause", job)) in ("Running", "Paused")
    wps2.await_state(url, job, "Paused")
    assert wps2.state_of(wps2.query(url, "Resume", jobid=job)) in ("Running", "Paused")
    wps2.await_state(url, job, "Running")
    assert wps2.state_of(wps2.on_job(url, "Dismiss", job)) == "Dismissed"
    assert wps2.state_of(wps2.query(url, "GetStatus", jobid=job)) == "Dismissed"
    code, _, words = wps2.refusal(wps2.query(url, "GetResult", jobid=job), 410)
    assert code == "NoApplicableCode"
    assert "dismissed" in words


def test_an_ended_job_tells_when_it_goes_and_is_removed_by_a_dismissal(url: str) -> None:
    job = wps2.job_of(wps2.execute(url, ECHO, *LITERAL, mode="async"))
    told = {etree.QName(e).localname for e in wps2.valid(wps2.await_state(url, job))}
    assert told == {"JobID", "Status", "ExpirationDate", "PercentCompleted"}
    assert wps2.state_of(wps2.query(url, "Dismiss", jobid=job)) == "Dismissed"
    for operation in ("GetStatus", "GetResult", "Dismiss"):
        assert wps2.refusal(wps2.query(url, operation, jobid=job), 404)[0] == "NoSuchJob"


@pytest.mark.parametrize("how", ["document", "UPPER", "lower"])
def test_a_dismissal_is_taken_from_documents_and_from_queries_in_any_case(
    url: str, how: str
) -> None:
    given, asked = [literal("seconds", "300")], [output("done")]
    job = wps2.job_of(wps2.execute(url, "queued", given, asked, mode="async"))
    if how == "document":
        answer = wps2.on_job(url, "Dismiss", job)
    else:
        case = str.upper if how == "UPPER" else str.lower
        pairs = {"service": "WPS", "version": "2.0.0", "request": "Dismiss", "jobid": job}
        answer = client.get(url, "&".join(f"{case(n)}={value}" for n, value in pairs.items()))
    assert wps2.state_of(answer) == "Dismissed"
    assert wps2.state_of(wps2.query(url, "GetStatus", jobid=job)) == "Dismissed"


def test_the_reason_of_a_failure_is_told_by_get_result(url: str) -> None:
    job = wps2.job_of(wps2.execute(url, "refuse", [], [output("none")], mode="async"))
    root = wps2.valid(wps2.await_state(url, job))
    assert [etree.QName(e).localname for e in root] == ["JobID", "Status", "ExpirationDate"]
    assert root.findtext("wps:Status", "", NS) == "Failed"
    code, _, words = wps2.refusal(wps2.on_job(url, "GetResult", job), 500)
    assert code == "NoApplicableCode"
    assert "the river is dry" in words
    for response in ("document", "raw"):
        answer = wps2.execute(url, "refuse", [], [output("none")], response=response)
        assert "the river is dry" in wps2.refusal(answer, 500)[2]


def test_a_job_of_the_first_version_is_shown_by_the_second(url: str) -> None:
    location = client.submit(url, "write", [("size", "5")])
    client.await_end(location)
    job = client.job_id_of(location)
    assert wps2.state_of(wps2.query(url, "GetStatus", jobid=job)) == "Succeeded"
    assert list(wps2.outputs_of(wps2.query(url, "GetResult", jobid=job))) == [
        "text",
        "bytes",
        "literal",
    ]


# --- What is refused

WAIT = "<ows:Identifier>wait</ows:Identifier>"
DONE = "<wps:Output id='done'/>"
MODE = "mode='async' response='document'"
EXECUTES = [
    (WAIT + DONE, "response='raw'", "MissingParameterValue", "mode"),
    (WAIT + DONE, "mode='async'", "MissingParameterValue", "response"),
    (WAIT + DONE, "mode='later' response='raw'", "InvalidParameterValue", "mode"),
    (WAIT + DONE, "mode='sync' response='pretty'", "InvalidParameterValue", "response"),
    (WAIT, MODE, "MissingParameterValue", "Output"),
    (DONE, MODE, "MissingParameterValue", "Identifier"),
    (WAIT + DONE + "<wps:Output id='other'/>", MODE, "NoSuchOutput", "other"),
    (WAIT + DONE + DONE, MODE, "TooManyOutputs", "done"),
    ("<ows:Identifier>unknown</ows:Identifier>" + DONE, MODE, "NoSuchProcess", "unknown"),
    (
        "<ows:Identifier>queued</ows:Identifier>" + DONE,
        "mode='sync' response='raw'",
        "NoSuchMode",
        "sync",
    ),
    (WAIT + literal("minutes", "1") + DONE, MODE, "NoSuchInput", "minutes"),
    (WAIT + literal("seconds", "1") * 2 + DONE, MODE, "TooManyInputs", "seconds"),
    (WAIT + literal("seconds", "soon") + DONE, MODE, "InvalidParameterValue", "seconds"),
    (WAIT + "<wps:Input id='seconds'/>" + DONE, MODE, "MissingParameterValue", "seconds"),
    (
        WAIT + f"<wps:Input id='seconds'>{literal('a', '1')}</wps:Input>" + DONE,
        MODE,
        "NoSuchInput",
        "seconds",
    ),
    (
        WAIT + wps2.data("seconds", "1", "mimeType='image/png'") + DONE,
        MODE,
        "InvalidParameterValue",
        "seconds",
    ),
    (WAIT + wps2.data("seconds", "<a/>") + DONE, MODE, "InvalidParameterValue", "seconds"),
    (
        WAIT + "<wps:Output id='done' transmission='mail'/>",
        MODE,
        "InvalidParameterValue",
        "transmission",
    ),
    (
        WAIT + "<wps:Output id='done' mimeType='image/png'/>",
        MODE,
        "InvalidParameterValue",
        "mimeType",
    ),
    (
        WAIT + "<wps:Output id='done'><wps:Output id='a'/></wps:Output>",
        MODE,
        "NoSuchOutput",
        "done",
    ),
    (
        "<wps:Extension><a/></wps:Extension>" + WAIT + DONE,
        MODE,
        "InvalidParameterValue",
        "Extension",
    ),
    (WAIT + DONE, MODE + " lineage='true'", "InvalidParameterValue", "lineage"),
    (
        "<ows:Identifier>shut</ows:Identifier><wps:Output id='seen' transmission='reference'/>",
        MODE,
        "InvalidParameterValue",
        "transmission",
    ),
    (
        "<ows:Identifier>tell</ows:Identifier><wps:Output id='seen'/><wps:Output id='doc'/>",
        "mode='sync' response='raw'",
        "TooManyOutputs",
        "doc",
    ),
    (
        WAIT + wps2.reference("seconds", "ftp://a.example/x") + DONE,
        MODE,
        "DataNotAccessible",
        "seconds",
    ),
    (
        WAIT + wps2.reference("seconds", "file:///etc/passwd") + DONE,
        MODE,
        "DataNotAccessible",
        "seconds",
    ),
]


@pytest.mark.parametrize(("inside", "attributes", "code", "locator"), EXECUTES)
def test_an_execute_that_cannot_be_carried_out_is_refused(
    url: str, inside: str, attributes: str, code: str, locator: str
) -> None:
    answer = client.send(url, wps2.document("Execute", inside, attributes))
    assert wps2.refusal(answer)[:2] == (code, locator), answer.content


@pytest.mark.parametrize(
    ("query", "status", "code", "locator"),
    [
        ("request=DescribeProcess", 400, "MissingParameterValue", "Identifier"),
        ("request=DescribeProcess&identifier=nothing", 400, "NoSuchProcess", "nothing"),
        ("request=GetStatus", 400, "MissingParameterValue", "JobID"),
        ("request=GetStatus&jobid=nothing", 404, "NoSuchJob", ""),
        ("request=GetResult&jobid=d07d7c3e-4a4b-4a4e-8a35-5a4a5f4f4a4a", 404, "NoSuchJob", ""),
        ("request=Dismiss&jobid=d07d7c3e-4a4b-4a4e-8a35-5a4a5f4f4a4a", 404, "NoSuchJob", ""),
        ("request=Pause&jobid=d07d7c3e-4a4b-4a4e-8a35-5a4a5f4f4a4a", 404, "NoSuchJob", ""),
        ("request=Execute&identifier=wait", 501, "OperationNotSupported", "Execute"),
        ("request=Dance", 501, "OperationNotSupported", "Dance"),
        ("", 400, "MissingParameterValue", "request"),
        ("request=GetCapabilities&language=xx", 400, "InvalidParameterValue", "language"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(
    url: str, query: str, status: int, code: str, locator: str
) -> None:
    answer = client.get(url, f"service=WPS&version=2.0.0&{query}")
    assert wps2.refusal(answer, status)[:2] == (code, locator)


@pytest.mark.parametrize("version", ["", "2.0.1", "2.1.0", "1.0.0"])
def test_operations_on_jobs_are_of_the_second_version_alone(url: str, version: str) -> None:
    answer = client.get(url, f"service=WPS&request=GetStatus&jobid=x&version={version}")
    code = "InvalidParameterValue" if version else "MissingParameterValue"
    assert wps2.refusal(answer)[:2] == (code, "version")


def test_a_document_of_another_kind_is_refused(url: str) -> None:
    answer = client.send(url, wps2.document("Dance"))
    assert wps2.refusal(answer, 501)[0] == "OperationNotSupported"
    doctype = b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + wps2.execute_document(ECHO, *LITERAL)
    assert client.send(url, doctype).status == 400


def test_a_mistyped_namespace_of_the_schema_location_is_no_fault(url: str) -> None:
    document = wps2.execute_document(ECHO, *LITERAL).replace(
        b"service=", f"{MISTYPED} service=".encode(), 1
    )
    assert "literalOutput" in wps2.outputs_of(client.send(url, document))
