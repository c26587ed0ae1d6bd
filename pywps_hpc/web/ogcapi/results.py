"""The results of a job (OGC 18-062r2, clauses 7.11.4 and 7.13): one as it is, several in one
message, or all in a document."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

from werkzeug.wrappers import Request, Response

from joblauncher.shared.files import amount
from joblauncher.shared.lineage import text
from pywps_hpc.jobs.view import JobView, Output, PublicState
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs as files
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import problems, schemas
from pywps_hpc.web.ogcapi.answers import answer
from pywps_hpc.web.ogcapi.problems import Problem
from pywps_hpc.web.requests import boxes
from pywps_hpc.web.requests.kinds import is_json, is_text
from pywps_hpc.web.results import Asked, Form, open_file, wanted

#: Bytes of files that a document takes in; a further one is given by reference.
INLINE = 16 << 20
_BLOCK = 1 << 20
_TEXT, _BOX = "text/plain; charset=utf-8", "application/ogc-bbox+json"
#: By authority and code, the reference systems that the standard names.
_SYSTEMS = {
    ("OGC", "CRS84"): schemas.CRS84,
    ("EPSG", "4326"): schemas.CRS84,
    ("OGC", "CRS84H"): schemas.CRS84H,
    ("EPSG", "4979"): schemas.CRS84H,
}


@dataclass(frozen=True)
class Content:
    """What an output is.

    Attributes:
        kind: its media type.
        data: its bytes, if it is small.
        file: an open file with them, if there is one.
        href: where it is, if that has an address.
    """

    kind: str
    data: bytes = b""
    file: BinaryIO | None = None
    href: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data) if self.file is None else os.fstat(self.file.fileno()).st_size

    def blocks(self) -> Iterator[bytes]:
        """The bytes; the file is closed."""
        if self.file is None:
            yield self.data
            return
        with self.file:
            while block := self.file.read(_BLOCK):
                yield block


def respond(service: Context, request: Request, view: JobView, job: JobDir, form: Form) -> Response:
    """The results of a job in the form that its client wants.

    Raises:
        Problem: it has none, or they are not there any more.
    """
    if view.state is not PublicState.SUCCEEDED:
        raise problems.of_job(view)
    try:
        chosen = wanted(form, view.outputs)
    except KeyError:
        raise _gone() from None
    if not form.raw:
        response = answer(_document(service, view, job, chosen))
    elif not all(asked.transmission == "reference" and one.location for asked, one in chosen):
        response = _raw(service, request, view, job, chosen)
    else:
        response = Response(status=204)
        response.headers.remove("Content-Type")
        for asked, one in chosen:
            response.headers.add("Link", _header(one, asked.identifier))
    response.headers.extend(files.sunset(view.expires))
    return response


def one_output(
    service: Context, request: Request, view: JobView, job: JobDir, identifier: str
) -> Response:
    """One output, as it is.

    Raises:
        Problem: there is none of this identifier, or the job has no results.
    """
    if view.state is not PublicState.SUCCEEDED:
        raise problems.of_job(view)
    for output in view.outputs:
        if output.identifier == identifier:
            return _raw(service, request, view, job, [(Asked(identifier), output)])
    raise Problem(404, f"The job has no output '{identifier}'.", problems.NO_SUCH_OUTPUT)


def _raw(
    service: Context,
    request: Request,
    view: JobView,
    job: JobDir,
    chosen: Sequence[tuple[Asked, Output]],
) -> Response:
    if len(chosen) != 1:
        return _multipart(service, view, job, chosen)
    [(_, output)] = chosen
    content = _content(service, view, job, output)
    if content.file is None:
        if content.href:  # a storage elsewhere has it
            return Response(status=303, headers={"Location": content.href})
        return Response(content.data, content_type=content.kind)
    response = files.streamed(content.file, request.environ, {"Cache-Control": "no-store"})
    response.headers["Content-Type"] = content.kind
    name = output.location.rpartition("/")[2]
    response.headers["Content-Disposition"] = f"inline; filename*=UTF-8''{name}"
    if request.method != "GET":
        return response
    return response.make_conditional(
        request.environ, accept_ranges=True, complete_length=response.content_length
    )


def _multipart(
    service: Context, view: JobView, job: JobDir, chosen: Sequence[tuple[Asked, Output]]
) -> Response:
    """Several outputs in one message (RFC 2387); of one by reference its address alone."""
    boundary = secrets.token_hex(16)
    parts: list[tuple[bytes, Content]] = []
    for asked, output in chosen:
        if asked.transmission == "reference" and output.location:
            content = Content(output.mime_type or _TEXT, href=output.location)
        else:
            content = _content(service, view, job, output)
        lines = [f"Content-Type: {content.kind}", f"Content-ID: <{quote(asked.identifier)}>"]
        if content.href and content.file is None:
            lines.append(f"Content-Location: {content.href}")
        head = "\r\n".join([f"--{boundary}", *lines, "", ""])
        parts.append((head.encode(), content))
    end = f"--{boundary}--\r\n".encode()

    def stream() -> Iterator[bytes]:
        for head, content in parts:
            yield head
            yield from content.blocks()
            yield b"\r\n"
        yield end

    first = parts[0][1].kind.partition(";")[0] if parts else "text/plain"
    response = Response(stream(), headers={"Cache-Control": "no-store"})
    response.headers["Content-Type"] = f'multipart/related; boundary="{boundary}"; type="{first}"'
    response.content_length = sum(len(head) + content.size + 2 for head, content in parts) + len(
        end
    )
    response.call_on_close(lambda: [c.file.close() for _, c in parts if c.file is not None])
    return response


def _document(
    service: Context, view: JobView, job: JobDir, chosen: Sequence[tuple[Asked, Output]]
) -> dict[str, Any]:
    """All outputs in JSON (results.yaml)."""
    found: dict[str, Any] = {}
    room = INLINE
    for asked, output in chosen:
        if asked.transmission == "reference" and output.location:
            found[asked.identifier] = _reference(output)
            continue
        content = _content(service, view, job, output)
        if content.file is None:
            found[asked.identifier] = _small(service, view, output, content)
            continue
        if content.size > room:
            content.file.close()
            title = f"Too large for this document: {amount(content.size)}"
            found[asked.identifier] = _reference(output) | {"title": title}
            continue
        room -= content.size
        data = b"".join(content.blocks())
        found[asked.identifier] = _value(content, data)
    return found


def _reference(output: Output) -> dict[str, str]:
    found = {"href": output.location, "type": output.mime_type, "title": output.title}
    return {key: value for key, value in found.items() if value}


def _small(service: Context, view: JobView, output: Output, content: Content) -> Any:
    """A value that is in the report."""
    if content.href:
        return {"href": content.href, "type": content.kind}
    if output.kind == "complex":
        return _value(content, content.data)
    if content.kind == _BOX:
        box = json.loads(content.data)
        # The schema knows two reference systems; one with another is a value that is qualified.
        known = box.get("crs") in (schemas.CRS84, schemas.CRS84H)
        return box if known else {"value": box, "mediaType": _BOX}
    return schemas.json_value(_data_type(service, view, output), output.value)


def _value(content: Content, data: bytes) -> Any:
    """A value that is in a file: JSON as it is, text as text, bytes in base64."""
    kind = content.kind.partition(";")[0].strip() if content.kind == _TEXT else content.kind
    try:
        if is_json(kind):
            return {"value": json.loads(data, parse_constant=_no_number), "mediaType": kind}
        if is_text(kind):
            told = data.decode()
            return told if content.kind == _TEXT else {"value": told, "mediaType": kind}
    except (ValueError, RecursionError):
        pass
    encoded = base64.b64encode(data).decode()
    return {"value": encoded, "mediaType": kind, "encoding": "base64"}


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _content(service: Context, view: JobView, job: JobDir, output: Output) -> Content:
    """What an output is.

    Raises:
        Problem: it is not there any more.
    """
    if output.location:
        is_literal = _data_type(service, view, output) == "string"
        kind = _TEXT if is_literal else output.mime_type or "application/octet-stream"
        try:
            return Content(kind, file=open_file(job, output), href=output.location)
        except OSError:
            raise _gone() from None
    if output.kind == "bbox" or output.crs:
        return Content(_BOX, json.dumps(box_of(output)).encode())
    if output.value is None:  # it was asked for in a document of WPS 1.0.0, and is there alone
        return Content("text/xml", href=f"{service.addresses.status}{view.access}")
    data = text(output.value)
    return Content(output.mime_type or _TEXT, data.encode())


def box_of(output: Output) -> dict[str, Any]:
    """A bounding box (bbox.yaml). The coordinates of a process are x before y, so what it calls
    EPSG:4326 is CRS84 here."""
    numbers = [float(one) for one in output.value or []]
    known = boxes.key(output.crs)
    if known is None or (known not in _SYSTEMS and known[0] != "EPSG"):
        return {"bbox": numbers, "crs": output.crs}
    uri = _SYSTEMS.get(known, f"http://www.opengis.net/def/crs/EPSG/0/{known[1]}")
    return {"bbox": numbers, "crs": uri}


def _data_type(service: Context, view: JobView, output: Output) -> str:
    """Of a literal output; empty for any other."""
    process = service.processes.get(view.process)
    for item in process.outputs if process else ():
        if item.identifier == output.identifier:
            return str(getattr(item, "data_type", "") or "")
    return output.data_type


def _header(output: Output, identifier: str) -> str:
    """A link as a header (RFC 8288, section 3)."""
    kind = f'; type="{output.mime_type}"' if output.mime_type else ""
    return f'<{output.location}>; rel="item"; title="{quote(identifier)}"{kind}'


def _gone() -> Problem:
    return Problem(410, "The job succeeded, but its results are no longer there.")
