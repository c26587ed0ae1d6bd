"""The results of a job: ``wps:Result`` (OGC 14-065, clause 7.4 and table 21), or raw data."""

from __future__ import annotations

import base64
import logging
from typing import Any

from lxml import etree
from pywps.exceptions import NoApplicableCode
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from joblauncher.shared.status_xml import utc, writable
from pywps_hpc.jobs import results
from pywps_hpc.jobs.output import Output
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.kinds import is_xml
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs
from pywps_hpc.web.context import Context
from pywps_hpc.web.handover import handed_over
from pywps_hpc.web.requests.formats import media_type
from pywps_hpc.web.wps2.documents import XLINK, add, response, root
from pywps_hpc.web.wps2.exceptions import OWS, Refused
from pywps_hpc.web.wps2.execute_document import WPS

LOGGER = logging.getLogger(__name__)

#: Bytes of all values in one document; what is larger is given by reference.
MOST_INSIDE = 16 << 20
#: Marks of structure in an XML value that is parsed; beyond, it is given as text.
_MARKS = 500_000
_GONE = "The job succeeded, but its result is no longer there."
_XML_SCHEMA = "http://www.w3.org/2001/XMLSchema#"


def answer(service: Context, view: JobView, job: JobDir, request: Request) -> Response:
    """The results of a job that has ended, as its request wanted them.

    Raises:
        NoApplicableCode: there are none; the message says why.
    """
    if view.state is PublicState.DISMISSED:
        raise Refused("NoApplicableCode", f"The job was dismissed: {view.reason}", code=410)
    if view.state is not PublicState.SUCCEEDED:
        raise NoApplicableCode(view.reason or "The job failed.", code=500)
    form = results.form_of(job)
    try:
        found = results.wanted(form, view.outputs)
        if not found:
            raise KeyError
        if form.raw:
            return _raw(service, view, job, request, *found[0])
        return response(_document(view, job, found), view.expires)
    except (KeyError, OSError) as error:
        LOGGER.error("%s: its result cannot be given: %s", job.job_id, type(error).__name__)
        raise NoApplicableCode(_GONE, code=500) from None


def _document(
    view: JobView, job: JobDir, found: list[tuple[results.Asked, Output]]
) -> etree._Element:
    made = root("Result")
    add(made, "JobID", view.access)
    if view.expires is not None:
        add(made, "ExpirationDate", utc(view.expires))
    left = MOST_INSIDE
    for asked, output in found:
        element = add(made, "Output")
        element.set("id", output.identifier)
        if not output.location:
            _add_value(element, output)
            continue
        content = None
        if asked.transmission == "value":
            content = _content(job, output, left)
        if content is None:
            reference = add(element, "Reference")
            reference.set(f"{{{XLINK}}}href", output.location)
            _set_format(reference, output)
        else:
            left -= len(content)
            _add_content(element, output, asked, content)
    return made


def _content(job: JobDir, output: Output, most: int) -> bytes | None:
    """The bytes of an output's file; ``None`` if it is elsewhere, or has more than these."""
    file = results.open_file(job, output)
    if file is None:
        return None
    with file:
        content = file.read(most + 1)
    return content if len(content) <= most else None


def _add_content(
    parent: etree._Element, output: Output, asked: results.Asked, content: bytes
) -> None:
    data = add(parent, "Data")
    _set_format(data, output)
    encoding = (asked.encoding or output.encoding).lower()
    if encoding != "base64":
        element = _parsed(content) if is_xml(output.mime_type) else None
        if element is not None:
            data.append(element)
            return
        text = _text(content)
        if text is not None:
            data.text = text
            return
    data.set("encoding", "base64")
    data.text = base64.b64encode(content).decode()


def _parsed(content: bytes) -> etree._Element | None:
    """The root element of a document, which stays inside its bounds; ``None`` if it is none."""
    if content.count(b"<") + content.count(b"=") > _MARKS or b"<!DOCTYPE" in content:
        return None
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=True, remove_pis=True
    )
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        return None


def _text(content: bytes) -> str | None:
    """Bytes as a text that XML can hold unchanged; ``None`` if they are none."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if writable(text) == text and "\r" not in text else None


def _set_format(element: etree._Element, output: Output) -> None:
    for name, value in (
        ("mimeType", output.mime_type),
        ("encoding", output.encoding),
        ("schema", output.schema),
    ):
        if value:
            element.set(name, writable(value))


def _add_value(parent: etree._Element, output: Output) -> None:
    data = add(parent, "Data")
    data.set("mimeType", "text/xml")
    data.append(_value(output))


def _value(output: Output) -> etree._Element:
    """A literal value or a bounding box as an element.

    Raises:
        KeyError: the job's report does not have it.
    """
    if output.value is None:
        raise KeyError(output.identifier)
    if output.kind == "bbox":
        return _box(output)
    element = etree.Element(f"{{{WPS}}}LiteralValue", nsmap={"wps": WPS})
    if output.data_type:
        element.set("dataType", _XML_SCHEMA + writable(output.data_type))
    if output.unit:
        element.set("uom", writable(output.unit))
    element.text = writable(results.literal(output))
    return element


def _box(output: Output) -> etree._Element:
    numbers: Any = output.value
    if not isinstance(numbers, list) or len(numbers) % 2:
        raise KeyError(output.identifier)
    half = len(numbers) // 2
    element = etree.Element(f"{{{OWS}}}BoundingBox", nsmap={"ows": OWS})
    if output.crs:
        element.set("crs", writable(output.crs))
    element.set("dimensions", str(half))
    for name, corner in (("LowerCorner", numbers[:half]), ("UpperCorner", numbers[half:])):
        etree.SubElement(element, f"{{{OWS}}}{name}").text = " ".join(map(str, corner))
    return element


def _raw(
    service: Context,
    view: JobView,
    job: JobDir,
    request: Request,
    asked: results.Asked,
    output: Output,
) -> Response:
    """One output as it is: its file, or its value. A literal value is XML unless it is asked for
    as plain text."""
    headers = {"Cache-Control": "no-store"} | outputs.sunset(view.expires)
    if output.location:
        file = results.open_file(job, output)
        if file is None:
            return redirect(output.location, 303)
        path = results.path_of(job, output)
        by_nginx = handed_over(service, request, path, file, headers)
        made = by_nginx or outputs.streamed(file, request.environ, headers)
        made.headers["Content-Type"] = output.mime_type or "application/octet-stream"
        return made
    if (media_type(asked.mime_type) or ("",))[0] == "text/plain" and output.kind != "bbox":
        _value(output)
        return Response(results.literal(output), mimetype="text/plain", headers=headers)
    content = etree.tostring(_value(output), xml_declaration=True, encoding="UTF-8")
    return Response(content, mimetype="text/xml", headers=headers)
