"""The WPS 1.0.0 face of a job: its status document, its outputs, the answer of a waiting client."""

from __future__ import annotations

import mimetypes
from typing import Any

from pywps.exceptions import NoApplicableCode
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from joblauncher import documents, report
from pywps_hpc.jobs import Job, State
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir
from pywps_hpc.web.errors import NotFound

#: A served file is data, whatever a process wrote into it.
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


def status_document(row: Job, job: JobDir, scheduler: str) -> bytes:
    """The job's document, with what the batch system says while the process has not begun.

    Raises:
        NotFound: the job has no document (any more).
    """
    try:
        document = job.status.read_bytes()
        status = documents.parse(document)
    except (OSError, documents.DocumentError):
        raise NotFound("There is no such job.") from None
    if status.state in report.TERMINAL:
        return document
    if row.state is State.PAUSED:
        return documents.replace(document, documents.Status("paused", status.percent, "Paused"))
    if status.state == report.ACCEPTED and row.native_id:
        words = f"{status.message}; waiting as {scheduler} job {row.native_id} ({row.name})"
        words += f": {row.message}" if row.message else ""
        return documents.replace(document, documents.Status(status.state, 0, words))
    return document


def status_response(document: bytes) -> Response:
    """A status document as an HTTP answer."""
    return Response(document, mimetype="text/xml", headers=_SAFE | {"Cache-Control": "no-store"})


def output_response(request: Request, job: JobDir, name: str) -> Response:
    """One output file of a job.

    Raises:
        NotFound: there is no such plain file among its outputs.
    """
    folder = job.outputs.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise NotFound("There is no such output.")
    mimetype = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    response = send_file(path, request.environ, mimetype=mimetype, max_age=3600)
    response.headers.update(_SAFE)
    return response


def sync_response(
    settings: Settings,
    job: JobDir,
    wps_request: Any,
    final: report.Report | None,
    status_url: str,
) -> Response:
    """What a client that waited is told.

    Args:
        final: the job's last report; ``None`` if it did not end in time.
        status_url: where its status document is.

    Raises:
        NoApplicableCode: as PyWPS does for raw output, if there is none.
    """
    if final is not None and final.response is not None:
        return Response(
            job.response.read_bytes(), final.response["status"], headers=final.response["headers"]
        )
    if final is not None and wps_request.raw:
        raise NoApplicableCode(final.message)
    if final is not None:
        return Response(job.status.read_bytes(), mimetype="text/xml")
    words = f"The job did not end within {settings.sync_timeout:g} seconds and goes on."
    if wps_request.raw:
        raise NoApplicableCode(f"{words} Its status: {status_url}", code=504)
    document = documents.with_location(job.status.read_bytes(), status_url)
    status = documents.parse(document)
    status = documents.Status(status.state, status.percent, f"{status.message}. {words}")
    return Response(documents.replace(document, status), mimetype="text/xml")
