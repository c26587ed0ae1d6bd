"""A small WPS 1.0.0 client for tests, which shows exactly what was answered.

Requests are written by hand (OGC 05-007r7, clause 10.2) as XML, as a GET query and as JSON, so that
no client library smooths anything over.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from lxml import etree

from servers import HTTP

WPS, OWS = "http://www.opengis.net/wps/1.0.0", "http://www.opengis.net/ows/1.1"
XLINK = "http://www.w3.org/1999/xlink"
NS = {"wps": WPS, "ows": OWS, "xlink": XLINK}
#: Seconds of patience with a busy host.
LIMIT = 240.0


@dataclass(frozen=True)
class Literal:
    """A literal value with a unit."""

    value: str
    uom: str = ""


@dataclass(frozen=True)
class Complex:
    """Text or bytes inside the request."""

    data: str | bytes
    mimetype: str = "text/plain"


@dataclass(frozen=True)
class Reference:
    """An input that the service is to fetch."""

    href: str
    mimetype: str = "text/plain"


@dataclass(frozen=True)
class Box:
    """A bounding box: minx, miny, maxx, maxy."""

    corners: tuple[float, float, float, float]
    crs: str = "urn:ogc:def:crs:EPSG::4326"


@dataclass(frozen=True)
class Output:
    """An output that is asked for."""

    identifier: str
    mimetype: str = ""
    as_reference: bool = False


Value = str | Literal | Complex | Reference | Box
Inputs = Sequence[tuple[str, Value]]


@dataclass(frozen=True)
class Answer:
    """What a server answered, byte by byte."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def content_type(self) -> str:
        """The media type with its parameters."""
        return self.headers.get("Content-Type", "")


@dataclass(frozen=True)
class Found:
    """An output in a response document, its reference followed.

    Attributes:
        kind: ``LiteralData``, ``ComplexData``, ``BoundingBoxData`` or ``Reference``.
        attributes: of that element, without the location and without empty ones.
        content: the text, the box's corners, or the bytes behind the reference.
    """

    kind: str
    attributes: Mapping[str, str]
    content: str | bytes


def execute_document(
    identifier: str,
    inputs: Inputs = (),
    outputs: Sequence[Output] = (),
    *,
    asynchronous: bool = False,
    raw: bool = False,
    lineage: bool = False,
    language: str = "",
) -> bytes:
    """An Execute request in XML."""
    root = etree.Element(f"{{{WPS}}}Execute", nsmap=NS, service="WPS", version="1.0.0")
    if language:
        root.set("language", language)
    _add(root, OWS, "Identifier", identifier)
    holder = _add(root, WPS, "DataInputs")
    for name, value in inputs:
        item = _add(holder, WPS, "Input")
        _add(item, OWS, "Identifier", name)
        _add_value(item, value)
    form = _add(root, WPS, "ResponseForm")
    if raw:
        _add_output(form, "RawDataOutput", outputs[0])
    else:
        flag = str(asynchronous).lower()
        response = _add(form, WPS, "ResponseDocument")
        response.set("storeExecuteResponse", flag)
        response.set("status", flag)
        response.set("lineage", str(lineage).lower())
        for output in outputs:
            _add_output(response, "Output", output)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def execute_query(
    identifier: str,
    inputs: Inputs = (),
    outputs: Sequence[Output] = (),
    *,
    asynchronous: bool = False,
    raw: bool = False,
    lineage: bool = False,
    language: str = "",
) -> str:
    """An Execute request as a GET query (OGC 05-007r7, clause 10.2.2)."""
    flag = str(asynchronous).lower()
    # PyWPS reads attributes of an output only after "identifier=".
    named = [
        output.identifier
        + ("=" if output.mimetype or output.as_reference else "")
        + (f"@mimetype={output.mimetype}" if output.mimetype else "")
        + ("@asReference=true" if output.as_reference else "")
        for output in outputs
    ]
    query = {
        "service": "WPS",
        "version": "1.0.0",
        "request": "Execute",
        "identifier": identifier,
        "DataInputs": ";".join(_query_input(name, value) for name, value in inputs),
        "RawDataOutput" if raw else "ResponseDocument": ";".join(named),
        "storeExecuteResponse": flag,
        "status": flag,
        "lineage": str(lineage).lower(),
        "language": language,
    }
    # A reserved character inside a value is quoted twice: once for itself, once for the URL.
    return "&".join(f"{key}={quote(text)}" for key, text in query.items() if text)


def send(url: str, document: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Post an XML document."""
    sent = {"Content-Type": "text/xml"} | dict(headers or {})
    return _answer(HTTP.post(url, data=document, headers=sent, timeout=LIMIT))


def send_json(url: str, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Post JSON."""
    return _answer(HTTP.post(url, json=content, headers=dict(headers or {}), timeout=LIMIT))


def get(url: str, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """GET a URL."""
    whole = f"{url}?{query}" if query else url
    return _answer(HTTP.get(whole, headers=dict(headers or {}), timeout=LIMIT))


def execute_async(
    url: str,
    identifier: str,
    inputs: Inputs = (),
    outputs: Sequence[Output] = (),
    *,
    lineage: bool = False,
    language: str = "",
    headers: Mapping[str, str] | None = None,
    by_query: bool = False,
    limit: float = LIMIT,
    tolerant: bool = False,
) -> bytes:
    """Run a process asynchronously to its end; the last status document.

    Args:
        tolerant: pass over status documents that are cut (PyWPS's own are, now and then).
    """
    location = submit(
        url,
        identifier,
        inputs,
        outputs,
        lineage=lineage,
        language=language,
        headers=headers,
        by_query=by_query,
    )
    return await_end(location, limit=limit, tolerant=tolerant)


def submit(
    url: str,
    identifier: str,
    inputs: Inputs = (),
    outputs: Sequence[Output] = (),
    *,
    lineage: bool = False,
    language: str = "",
    headers: Mapping[str, str] | None = None,
    by_query: bool = False,
) -> str:
    """Start a process asynchronously; its statusLocation.

    Raises:
        AssertionError: it was not accepted.
    """
    if by_query:
        query = execute_query(
            identifier, inputs, outputs, asynchronous=True, lineage=lineage, language=language
        )
        answer = get(url, query, headers)
    else:
        document = execute_document(
            identifier, inputs, outputs, asynchronous=True, lineage=lineage, language=language
        )
        answer = send(url, document, headers)
    return location_of(answer)


def location_of(answer: Answer) -> str:
    """The statusLocation of a job that was accepted.

    Raises:
        AssertionError: it was not.
    """
    assert answer.status == 200, (answer.status, answer.content)
    location = etree.fromstring(answer.content).get("statusLocation")
    assert location, answer.content
    return str(location)


def await_end(location: str, *, limit: float = LIMIT, tolerant: bool = False) -> bytes:
    """Poll a status document until the process succeeded or failed.

    Raises:
        AssertionError: it did not end in time, or a document was not whole.
    """
    deadline = time.monotonic() + limit
    last: object = None
    while True:
        late = time.monotonic() >= deadline  # whoever stood still asks once more
        try:
            answer = get(location)
            last = answer.content
            assert answer.status == 200, (answer.status, last)
            if state_of(answer.content) in ("ProcessSucceeded", "ProcessFailed"):
                return answer.content
        except (etree.XMLSyntaxError, AssertionError, requests.RequestException):
            if not tolerant:
                raise
        assert not late, f"no end after {limit:g} s: {last!r}"
        time.sleep(0.1)


def execute_sync(
    url: str,
    identifier: str,
    inputs: Inputs = (),
    outputs: Sequence[Output] = (),
    *,
    raw: bool = False,
    lineage: bool = False,
    language: str = "",
    headers: Mapping[str, str] | None = None,
    by_query: bool = False,
) -> Answer:
    """Run a process while waiting on the connection."""
    if by_query:
        query = execute_query(
            identifier, inputs, outputs, raw=raw, lineage=lineage, language=language
        )
        return get(url, query, headers)
    document = execute_document(
        identifier, inputs, outputs, raw=raw, lineage=lineage, language=language
    )
    return send(url, document, headers)


def execute_raw(
    url: str,
    identifier: str,
    inputs: Inputs,
    output: Output,
    *,
    headers: Mapping[str, str] | None = None,
    by_query: bool = False,
) -> Answer:
    """Run a process for one of its outputs, as it is."""
    return execute_sync(
        url, identifier, inputs, [output], raw=True, headers=headers, by_query=by_query
    )


def state_of(document: bytes) -> str:
    """``ProcessAccepted``, ``ProcessStarted``, ``ProcessSucceeded`` …"""
    root = etree.fromstring(document)
    status = root.find("wps:Status", NS)
    assert status is not None, document
    return str(etree.QName(status[0]).localname)


def message_of(document: bytes) -> str:
    """The words in the status, of the exception if it failed."""
    status = etree.fromstring(document).find("wps:Status", NS)
    assert status is not None, document
    return " ".join("".join(str(part) for part in status.itertext()).split())


def exception_of(document: bytes) -> str:
    """The words of an exception report."""
    root = etree.fromstring(document)
    return " ".join("".join(str(text) for text in root.itertext()).split())


def refusal_of(answer: Answer) -> tuple[str, str, str]:
    """Code, locator and words of an exception report."""
    assert answer.status == 400, (answer.status, answer.content)
    [exception] = etree.fromstring(answer.content).iter(f"{{{OWS}}}Exception")
    text = "".join(str(part) for part in exception.itertext()).strip()
    return str(exception.get("exceptionCode")), str(exception.get("locator")), text


def job_id_of(location: str) -> str:
    """The job id in a statusLocation."""
    found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", location)
    assert found, location
    return found[0]


def outputs_of(document: bytes) -> dict[str, Found]:
    """The outputs in a response document, references downloaded."""
    found = {}
    for output in etree.fromstring(document).iterfind(".//wps:ProcessOutputs/wps:Output", NS):
        holder = output.find("wps:Data", NS)
        element = output.find("wps:Reference", NS) if holder is None else holder[0]
        assert element is not None, document
        kind = str(etree.QName(element).localname)
        attributes = {str(k): str(v) for k, v in element.attrib.items() if k != "href" and v}
        content: str | bytes = "".join(str(part) for part in element.itertext())
        if kind == "Reference":
            answer = get(str(element.get("href")))
            assert answer.status == 200, (element.get("href"), answer.status)
            content = answer.content
        elif kind == "BoundingBoxData":
            content = " ".join(str(content).split())
        found[str(output.findtext("ows:Identifier", namespaces=NS))] = Found(
            kind, attributes, content
        )
    return found


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHANGES = (
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://HOST"),
    (_UUID, "JOB"),
    (re.compile(r'statusLocation="http://HOST/[^"]+"'), 'statusLocation="STATUS"'),
    (re.compile(r'creationTime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"'), 'creationTime="TIME"'),
    (re.compile(r'("time": )"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"'), r'\1"TIME"'),
    (re.compile(r"<published>[^<]+</published>"), "<published>TIME</published>"),
    # Files that a process puts behind a Metalink: a random folder, here inside the job's own.
    (re.compile(r"/outputs/JOB/JOB/"), "/outputs/JOB/"),
)


def normalise(document: bytes) -> str:
    """A document without what must differ between two runs on two servers.

    Replaced are job ids, times, host and port, and the status location; all else stays as it is,
    white space included.
    """
    text = document.decode("utf-8")
    for pattern, replacement in _CHANGES:
        text = pattern.sub(replacement, text)
    return text


def _answer(reply: requests.Response) -> Answer:
    return Answer(reply.status_code, reply.headers, reply.content)


def _add(parent: Any, namespace: str, name: str, text: str = "") -> Any:
    child = etree.SubElement(parent, f"{{{namespace}}}{name}")
    child.text = text or None
    return child


def _add_output(parent: Any, name: str, output: Output) -> None:
    element = _add(parent, WPS, name)
    if output.mimetype:
        element.set("mimeType", output.mimetype)
    if name == "Output":
        element.set("asReference", str(output.as_reference).lower())
    _add(element, OWS, "Identifier", output.identifier)


def _add_value(item: Any, value: Value) -> None:
    if isinstance(value, Reference):
        element = _add(item, WPS, "Reference")
        element.set(f"{{{XLINK}}}href", value.href)
        element.set("mimeType", value.mimetype)
        return
    data = _add(item, WPS, "Data")
    if isinstance(value, Box):
        element = _add(data, WPS, "BoundingBoxData")
        element.set("crs", value.crs)
        element.set("dimensions", "2")
        _add(element, OWS, "LowerCorner", "{} {}".format(*value.corners[:2]))
        _add(element, OWS, "UpperCorner", "{} {}".format(*value.corners[2:]))
    elif isinstance(value, Complex):
        element = _add(data, WPS, "ComplexData")
        element.set("mimeType", value.mimetype)
        if isinstance(value.data, bytes):
            element.set("encoding", "base64")
            element.text = base64.b64encode(value.data).decode()
        else:
            element.text = value.data
    else:
        literal = value if isinstance(value, Literal) else Literal(value)
        element = _add(data, WPS, "LiteralData", literal.value)
        if literal.uom:
            element.set("uom", literal.uom)


def _query_input(name: str, value: Value) -> str:
    if isinstance(value, Reference):
        return f"{name}=@xlink:href={quote(value.href, safe='')}@mimeType={value.mimetype}"
    if isinstance(value, Box):
        corners = ",".join(str(number) for number in value.corners)
        return f"{name}={quote(f'{corners},{value.crs}', safe='')}"
    if isinstance(value, Complex):
        assert isinstance(value.data, str), "bytes do not fit into a query"
        return f"{name}={quote(value.data, safe='')}@mimeType={value.mimetype}"
    literal = value if isinstance(value, Literal) else Literal(value)
    unit = f"@uom={literal.uom}" if literal.uom else ""
    return f"{name}={quote(literal.value, safe='')}{unit}"
