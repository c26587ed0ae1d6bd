"""The results of a job (OGC 18-062r2, clauses 7.11.4 and 7.13): one as it is, several in one
message, or all in a document."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs.results import Asked, Form, path_of
from pywps_hpc.jobs.view import JobView, Output, PublicState
from pywps_hpc.ogc_json.results import TEXT, Content, Source, chosen_of, content, document
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs as files
from pywps_hpc.web.context import Context
from pywps_hpc.web.handover import handed_over
from pywps_hpc.web.ogcapi import problems
from pywps_hpc.web.ogcapi.answers import answer
from pywps_hpc.web.ogcapi.problems import Problem


def respond(service: Context, request: Request, view: JobView, job: JobDir, form: Form) -> Response:
    """The results of a job in the form that its client wants.

    Raises:
        Problem: it has none.
        ResultsGone: they are not there any more.
    """
    if view.state is not PublicState.SUCCEEDED:
        raise problems.of_job(view)
    source, chosen = _source(service, view, job), chosen_of(view, form)
    if not form.raw:
        response = answer(document(source, chosen))
    elif not all(asked.transmission == "reference" and one.location for asked, one in chosen):
        response = _raw(service, request, source, chosen)
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
            source = _source(service, view, job)
            return _raw(service, request, source, [(Asked(identifier), output)])
    raise Problem(404, f"The job has no output '{identifier}'.", problems.NO_SUCH_OUTPUT)


def _source(service: Context, view: JobView, job: JobDir) -> Source:
    process = service.processes.get(view.process)
    types = {
        str(item.identifier): str(getattr(item, "data_type", "") or "")
        for item in (process.outputs if process else ())
    }
    return Source(service.addresses.root, view, job, types)


def _raw(
    service: Context, request: Request, source: Source, chosen: Sequence[tuple[Asked, Output]]
) -> Response:
    if len(chosen) != 1:
        return _multipart(source, chosen)
    [(_, output)] = chosen
    known = content(source, output)
    if known.file is None:
        if known.href:  # a storage elsewhere has it
            return Response(status=303, headers={"Location": known.href})
        return Response(known.data, content_type=known.kind)
    headers, path = {"Cache-Control": "no-store"}, path_of(source.job, output)
    by_nginx = handed_over(service, request, path, known.file, headers)
    response = by_nginx or files.streamed(known.file, request.environ, headers)
    response.headers["Content-Type"] = known.kind
    name = output.location.rpartition("/")[2]
    response.headers["Content-Disposition"] = f"inline; filename*=UTF-8''{name}"
    if by_nginx or request.method != "GET":
        return response
    return response.make_conditional(
        request.environ, accept_ranges=True, complete_length=response.content_length
    )


def _multipart(source: Source, chosen: Sequence[tuple[Asked, Output]]) -> Response:
    """Several outputs in one message (RFC 2387); of one by reference its address alone."""
    boundary = secrets.token_hex(16)
    parts: list[tuple[bytes, Content]] = []
    for asked, output in chosen:
        if asked.transmission == "reference" and output.location:
            known = Content(output.mime_type or TEXT, href=output.location)
        else:
            known = content(source, output)
        lines = [f"Content-Type: {known.kind}", f"Content-ID: <{quote(asked.identifier)}>"]
        if known.href and known.file is None:
            lines.append(f"Content-Location: {known.href}")
        head = "\r\n".join([f"--{boundary}", *lines, "", ""])
        parts.append((head.encode(), known))
    end = f"--{boundary}--\r\n".encode()

    def stream() -> Iterator[bytes]:
        for head, known in parts:
            yield head
            yield from known.blocks()
            yield b"\r\n"
        yield end

    first = parts[0][1].kind.partition(";")[0] if parts else "text/plain"
    response = Response(stream(), headers={"Cache-Control": "no-store"})
    response.headers["Content-Type"] = f'multipart/related; boundary="{boundary}"; type="{first}"'
    response.content_length = sum(len(head) + known.size + 2 for head, known in parts) + len(end)
    response.call_on_close(lambda: [c.file.close() for _, c in parts if c.file is not None])
    return response


def _header(output: Output, identifier: str) -> str:
    """A link as a header (RFC 8288, section 3)."""
    kind = f'; type="{output.mime_type}"' if output.mime_type else ""
    return f'<{output.location}>; rel="item"; title="{quote(identifier)}"{kind}'
