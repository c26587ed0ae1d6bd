"""The WPS 1.0.0 face of a job: its status document, its outputs, the answer of a waiting client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

from pywps.exceptions import NoApplicableCode
from werkzeug.http import http_date
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from joblauncher import documents, report
from joblauncher.files import open_beneath, open_plain, read_plain
from pywps_hpc.jobs import Job, State
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir
from pywps_hpc.web import media_types
from pywps_hpc.web.errors import NotFound

#: What of the answer that a job wrote for a waiting client is its to say.
_OWN = ("content-type", "content-disposition")
#: Seconds that a client may keep an output without asking again.
_KEEP = 3600


#: For a client whose job waits for the batch system while nobody can ask it.
CANNOT_ASK = "the batch system cannot be asked at the moment"


def status_document(row: Job, job: JobDir, scheduler: str, *, reachable: bool = True) -> bytes:
    """The job's document, with what the batch system says while the process has not begun.

    Args:
        reachable: whether the batch system can be asked now.

    Raises:
        NotFound: the job has no document (any more).
    """
    try:
        document = documents.harmless(read_plain(job.status))
        written = job.status.lstat().st_mtime
        status = documents.parse(document)
    except (OSError, documents.DocumentError):
        raise NotFound("There is no such job.") from None
    if row.state in (State.FAILED, State.DISMISSED) and status.state != report.FAILED:
        # A launcher that nobody reached, and that wrote in the very moment of the verdict.
        return documents.replace(document, documents.Status(report.FAILED, 100, row.message))
    if status.state in report.TERMINAL:
        return document
    if row.state is State.PAUSED:
        return documents.replace(document, documents.Status("paused", status.percent, "Paused"))
    if row.state is State.STAGING:
        words = f"{status.message}; its inputs are being fetched"
        return documents.replace(document, documents.Status(status.state, 0, words))
    if status.state == report.ACCEPTED and row.native_id:
        words = f"{status.message}; waiting as {scheduler} job {row.native_id} ({row.name})"
        words += f": {row.message}" if row.message else ""
        words += "" if reachable else f"; {CANNOT_ASK}"
        return documents.replace(document, documents.Status(status.state, 0, words))
    if status.state == report.ACCEPTED and not reachable:
        words = f"{status.message}; {CANNOT_ASK}"
        return documents.replace(document, documents.Status(status.state, 0, words))
    if status.state == report.ACCEPTED and row.message:
        words = f"{status.message}; {row.message}"
        return documents.replace(document, documents.Status(status.state, 0, words))
    if row.state is State.QUEUED and row.started and written < row.changed:
        words = f"The batch system starts it again; waiting as {scheduler} job {row.native_id}"
        words += f" ({row.name})" + (f": {row.message}" if row.message else "")
        words += "" if reachable else f"; {CANNOT_ASK}"
        return documents.replace(document, documents.Status(report.ACCEPTED, 0, words))
    return document


def status_response(document: bytes, end: float | None = None) -> Response:
    """A status document as an HTTP answer.

    Args:
        end: when the job goes, seconds since the epoch; ``None`` if that is not known.
    """
    headers = {"Cache-Control": "no-store"} | sunset(end)
    return Response(document, mimetype="text/xml", headers=headers)


def sunset(end: float | None) -> dict[str, str]:
    """The header that tells when a resource will no longer be there (RFC 8594); WPS 1.0.0 has no
    place for it in a document."""
    return {} if end is None else {"Sunset": http_date(end)}


def output_response(request: Request, job: JobDir, name: str, end: float | None = None) -> Response:
    """One output file of a job, which may be kept for an hour, but not beyond its end.

    Args:
        end: as in :func:`status_response`.

    Raises:
        NotFound: there is no such plain file among its outputs.
    """
    inside = job.outputs.relative_to(job.path).parts
    try:
        file = open_beneath(job.path, *inside, *name.split("/"))
    except OSError:
        raise NotFound("There is no such output.") from None
    facts = os.fstat(file.fileno())
    response = _streamed(file, request.environ, sunset(end))
    response.mimetype = media_types.of_file(name.rpartition("/")[2])
    now = time.time()
    age = _KEEP if end is None else max(0, min(_KEEP, int(end - now)))
    response.cache_control.max_age = age
    response.expires = now + age  # type: ignore[assignment]
    response.cache_control.private = True
    response.last_modified = facts.st_mtime  # type: ignore[assignment]
    response.set_etag(f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}")
    return response.make_conditional(
        request.environ, accept_ranges=True, complete_length=facts.st_size
    )


def _streamed(
    file: BinaryIO, environ: Any, headers: Mapping[str, str], status: int = 200
) -> Response:
    """An open file as an answer, which closes it."""
    response = Response(wrap_file(environ, file), status, headers, direct_passthrough=True)
    response.content_length = os.fstat(file.fileno()).st_size
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
        return _answer_of(job, final.response, wps_request.http_request.environ)
    if final is not None and wps_request.raw:
        raise NoApplicableCode(final.message)
    if final is not None:
        return status_response(documents.harmless(read_plain(job.status)))
    return goes_on(
        job,
        wps_request,
        status_url,
        f"The job did not end within {settings.sync_timeout:g} seconds.",
    )


def goes_on(job: JobDir, wps_request: Any, status_url: str, reason: str) -> Response:
    """What a client is told that does not wait for its job's end any longer, or not at all.

    Args:
        reason: why, in a sentence.

    Raises:
        NoApplicableCode: for raw output; it tells where the status document is.
    """
    words = f"{reason} The job goes on."
    if wps_request.raw:
        raise NoApplicableCode(f"{words} Its status: {status_url}", code=504)
    document = documents.with_location(read_plain(job.status), status_url)
    status = documents.parse(document)
    status = documents.Status(status.state, status.percent, f"{status.message}. {words}")
    return status_response(documents.replace(document, status))


def _answer_of(job: JobDir, told: Mapping[str, Any], environ: Any) -> Response:
    """The answer that the launcher left; or the process, which can write there, too."""
    status, headers = told.get("status"), told.get("headers")
    pairs = headers if isinstance(headers, list) else []
    own = {
        str(pair[0]).lower(): str(pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and str(pair[0]).lower() in _OWN
    }
    if status not in (200, 400, 500) or not all(text.isprintable() for text in own.values()):
        raise NoApplicableCode("The job left an answer that cannot be given.", code=500)
    try:
        return _streamed(open_plain(job.response), environ, own, status)
    except OSError:
        raise NoApplicableCode("The job left no answer.", code=500) from None
