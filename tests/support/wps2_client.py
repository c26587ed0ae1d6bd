"""A small WPS 2.0 client for tests, which shows exactly what was answered (OGC 14-065)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

import ogc_schemas
import wps_client as client
from wps_client import Answer

WPS, OWS = "http://www.opengis.net/wps/2.0", "http://www.opengis.net/ows/2.0"
XLINK = "http://www.w3.org/1999/xlink"
CONTROL = "urn:x-pywps-hpc:wps:2.0:job-control"
NS = {"wps": WPS, "ows": OWS, "xlink": XLINK}
OVER = ("Succeeded", "Failed", "Dismissed")


def document(name: str, inside: str = "", attributes: str = "", *, prefix: str = "wps") -> bytes:
    """A request; what is inside is XML."""
    spaces = " ".join(f"xmlns:{name}='{uri}'" for name, uri in {**NS, "hpc": CONTROL}.items())
    whole = f"<{prefix}:{name} {spaces} service='WPS' version='2.0.0' {attributes}>{inside}"
    return f"{whole}</{prefix}:{name}>".encode()


def literal(name: str, value: str, attributes: str = "") -> str:
    """An input with a literal value."""
    inside = (
        f"<wps:Data><wps:LiteralValue {attributes}>{escape(value)}</wps:LiteralValue></wps:Data>"
    )
    return f"<wps:Input id={quoteattr(name)}>{inside}</wps:Input>"


def data(name: str, content: str, attributes: str = "") -> str:
    """An input with any content."""
    inside = f"<wps:Data {attributes}>{content}</wps:Data>"
    return f"<wps:Input id={quoteattr(name)}>{inside}</wps:Input>"


def reference(name: str, href: str, attributes: str = "", inside: str = "") -> str:
    """An input by reference."""
    element = f"<wps:Reference xlink:href={quoteattr(href)} {attributes}>{inside}</wps:Reference>"
    return f"<wps:Input id={quoteattr(name)}>{element}</wps:Input>"


def output(name: str, attributes: str = "") -> str:
    """An output that is asked for."""
    return f"<wps:Output id={quoteattr(name)} {attributes}/>"


def execute_document(
    process: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    mode: str = "sync",
    response: str = "document",
) -> bytes:
    """An Execute."""
    inside = f"<ows:Identifier>{process}</ows:Identifier>{''.join(inputs)}{''.join(outputs)}"
    return document("Execute", inside, f"mode='{mode}' response='{response}'")


def execute(url: str, *arguments: Any, **named: Any) -> Answer:
    """Send an Execute."""
    return client.send(url, execute_document(*arguments, **named))


def query(url: str, operation: str, **parameters: str) -> Answer:
    """Send a request as key-value pairs."""
    pairs = {"service": "WPS", "version": "2.0.0", "request": operation, **parameters}
    return client.get(url, "&".join(f"{name}={value}" for name, value in pairs.items() if value))


def on_job(url: str, operation: str, job: str) -> Answer:
    """Send a request that concerns a job, as a document."""
    prefix = "hpc" if operation in ("Pause", "Resume") else "wps"
    inside = f"<wps:JobID>{job}</wps:JobID>"
    return client.send(url, document(operation, inside, prefix=prefix))


def valid(answer: Answer, status: int = 200) -> etree._Element:
    """The root of an answer's document, which is valid."""
    assert answer.status == status, (answer.status, answer.content)
    assert answer.content_type.startswith("text/xml"), answer.content_type
    faults = ogc_schemas.faults(answer.content, "2.0")
    assert not faults, (faults, answer.content.decode())
    return etree.fromstring(answer.content)


def refusal(answer: Answer, status: int = 400) -> tuple[str, str, str]:
    """Code, locator and words of an exception report, which is valid."""
    [exception] = valid(answer, status).iter(f"{{{OWS}}}Exception")
    text = exception.findtext("ows:ExceptionText", "", NS)
    return str(exception.get("exceptionCode")), str(exception.get("locator") or ""), text


def job_of(answer: Answer) -> str:
    """The JobID in a StatusInfo."""
    root = valid(answer)
    assert etree.QName(root).localname == "StatusInfo", answer.content
    return root.findtext("wps:JobID", "", NS)


def state_of(answer: Answer) -> str:
    """The Status in a StatusInfo."""
    return valid(answer).findtext("wps:Status", "", NS)


def await_state(url: str, job: str, *states: str, limit: float = client.LIMIT) -> Answer:
    """Poll a job until it is in one of these states, by default over."""
    deadline = time.monotonic() + limit
    while True:
        late = time.monotonic() >= deadline
        answer = query(url, "GetStatus", jobid=job)
        if state_of(answer) in (states or OVER):
            return answer
        assert not late, answer.content
        time.sleep(0.1)


def outputs_of(answer: Answer) -> dict[str, etree._Element]:
    """The one element in each output of a Result."""
    root = valid(answer)
    assert etree.QName(root).localname == "Result", answer.content
    return {str(e.get("id")): e[0] for e in root.iterfind("wps:Output", NS)}
