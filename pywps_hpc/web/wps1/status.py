"""The WPS 1.0.0 face of a job: its status document, its outputs, the answer of a waiting client."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from pywps.exceptions import NoApplicableCode
from werkzeug.http import http_date
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from joblauncher.shared import outcome, status_xml, storage
from joblauncher.shared.files import MOST, open_beneath, open_plain, read_plain
from pywps_hpc.jobs import TERMINAL, Job, State
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir
from pywps_hpc.web import media_types
from pywps_hpc.web.errors import NotFound

#: What of the answer that a job wrote for a waiting client is its to say.
_OWN = ("content-type", "content-disposition")
#: Seconds that a client may keep an output without asking again.
_KEEP = 3600
#: For a job whose document tells its end, before the batch system does.
ENDING = "The process has ended; the batch system has yet to say so"
#: For a job whose dismissal is recorded.
DISMISSING = "dismissed; what is left of it is being ended"
#: For a job that succeeded, and has no document of it any more.
RESULT_GONE = "The job succeeded, but its result is no longer there."


#: For a client whose job waits for the batch system while nobody can ask it.
CANNOT_ASK = "the batch system cannot be asked at the moment"


@dataclass(frozen=True)
class About:
    """What a document made from a job's row alone says besides.

    Attributes:
        title: of the process; empty: its identifier.
        service: URL of the endpoint.
        status: where the job's document is shown.
    """

    title: str = ""
    service: str = ""
    status: str = ""


def status_document(
    row: Job,
    job: JobDir,
    scheduler: str,
    about: About = About(),
    *,
    reachable: bool = True,
    saw_end: Callable[[str], object] = lambda job_id: None,
) -> bytes:
    """The job's document, with what the batch system says while the process has not begun.

    What a client is told of an end is what the row says: a process can write any document. Where
    there is none that can be read, it is made from the row.

    Args:
        reachable: whether the batch system can be asked now.
        saw_end: called with the id of a job whose document tells an end that its row does not.

    Raises:
        OSError: the storage is in trouble.
    """
    written, status, document = row.changed, _of_row(row), b""

    def renewed(status: status_xml.Status) -> bytes:
        return _renewed(document, row, about, status)

    try:
        succeeded = row.state is State.SUCCEEDED and not row.is_dismissed
        document = read_plain(job.status, MOST if succeeded else status_xml.POLLED)
        if status_xml.is_costly(document):
            if succeeded and status_xml.is_plain(document):
                return document  # the row says all that a parser would find
            raise status_xml.DocumentError("it is too large to be read for each poll")
        document = status_xml.harmless(document)
        status = status_xml.parse(document)
        written = job.status.lstat().st_mtime
    except (OSError, status_xml.DocumentError) as error:
        if storage.trouble(error):
            raise
        document = b""
        document = renewed(status)
    if row.is_dismissed or row.state in TERMINAL:
        end = _of_row(row)
        wanted = outcome.SUCCEEDED if row.state is State.SUCCEEDED else outcome.FAILED
        if status.state == wanted and (status == end or not row.is_dismissed):
            return document
        return renewed(end)
    if status.state in outcome.TERMINAL:
        if not row.end_seen:
            saw_end(row.id)
        status = status_xml.Status(outcome.STARTED, 99, ENDING)
        document = renewed(status)
    if row.state is State.PAUSED:
        return renewed(status_xml.Status("paused", status.percent, "Paused"))
    if row.state is State.STAGING:
        words = f"{status.message}; its inputs are being fetched"
        return renewed(status_xml.Status(status.state, 0, words))
    if status.state == outcome.ACCEPTED and row.native_id:
        words = f"{status.message}; waiting as {scheduler} job {row.native_id} ({row.name})"
        words += f": {row.message}" if row.message else ""
        words += "" if reachable else f"; {CANNOT_ASK}"
        return renewed(status_xml.Status(status.state, 0, words))
    if status.state == outcome.ACCEPTED and not reachable:
        words = f"{status.message}; {CANNOT_ASK}"
        return renewed(status_xml.Status(status.state, 0, words))
    if status.state == outcome.ACCEPTED and row.message:
        words = f"{status.message}; {row.message}"
        return renewed(status_xml.Status(status.state, 0, words))
    if row.state is State.QUEUED and row.started and written < row.changed:
        words = f"The batch system starts it again; waiting as {scheduler} job {row.native_id}"
        words += f" ({row.name})" + (f": {row.message}" if row.message else "")
        words += "" if reachable else f"; {CANNOT_ASK}"
        return renewed(status_xml.Status(outcome.ACCEPTED, 0, words))
    return document


def _renewed(document: bytes, row: Job, about: About, status: status_xml.Status) -> bytes:
    facts = {"title": about.title, "url": about.service, "location": about.status}
    return status_xml.renewed(document, row.process, status, **facts)


def _of_row(row: Job) -> status_xml.Status:
    """What a job's row alone tells. Of a success that is not enough: there are no outputs."""
    if row.is_dismissed:
        words = row.message if row.state is State.DISMISSED else DISMISSING
        return status_xml.Status(outcome.FAILED, 100, words)
    if row.state is State.FAILED:
        return status_xml.Status(outcome.FAILED, 100, row.message)
    if row.state is State.SUCCEEDED:
        return status_xml.Status(outcome.FAILED, 100, RESULT_GONE)
    if row.state in (State.RUNNING, State.PAUSED):
        return status_xml.Status(outcome.STARTED, 0, "Running")
    return status_xml.Status(outcome.ACCEPTED, 0, "Accepted")


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
    row: Job,
    about: About,
) -> Response:
    """What a client that waited is told.

    Args:
        row: of the job, as it was when the wait ended.
        about: the job.

    Raises:
        NoApplicableCode: as PyWPS does for raw output, if there is none.
        OSError: as :func:`status_document`.
    """
    over = row.is_dismissed or row.state in TERMINAL
    final = outcome.read(job) if over and not row.is_dismissed else None
    if final is not None and final.response is not None and final.state == row.state.value:
        return _answer_of(job, final.response, wps_request.http_request.environ)
    if over and wps_request.raw:
        words = "The job left no answer." if row.state is State.SUCCEEDED else _of_row(row).message
        raise NoApplicableCode(words)
    if over:
        return status_response(status_document(row, job, settings.scheduler, about))
    words = f"The job did not end within {settings.sync_timeout:g} seconds."
    return goes_on(settings, job, wps_request, row, about, words)


def goes_on(
    settings: Settings, job: JobDir, wps_request: Any, row: Job, about: About, reason: str
) -> Response:
    """What a client is told that does not wait for its job's end any longer, or not at all.

    Args:
        row, about: the job.
        reason: why, in a sentence.

    Raises:
        NoApplicableCode: for raw output; it tells where the status document is.
        OSError: as :func:`status_document`.
    """
    words = f"{reason} The job goes on."
    if wps_request.raw:
        raise NoApplicableCode(f"{words} Its status: {about.status}", code=504)
    document = status_document(row, job, settings.scheduler, about)
    try:
        document = status_xml.with_location(document, about.status)
        status = status_xml.parse(document)
    except status_xml.DocumentError:  # the process made it as large as could be
        document, status = b"", _of_row(row)
    status = status_xml.Status(status.state, status.percent, f"{status.message}. {words}")
    return status_response(_renewed(document, row, about, status))


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
