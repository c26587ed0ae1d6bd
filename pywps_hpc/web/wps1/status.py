"""The WPS 1.0.0 face of a job: its status document (OGC 05-007r7, clause 10.3).

State, percentage and message are those of the :class:`~pywps_hpc.jobs.view.JobView`. All else
stands in the document that the launcher left, in the language of the request: the description of
the process, the inputs where lineage was asked for, and the outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from werkzeug.http import parse_etags
from werkzeug.wrappers import Request, Response

from joblauncher.shared import outcome, status_xml, storage
from joblauncher.shared.files import MOST, read_plain
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs
from pywps_hpc.web.wps1.ended import Known

#: For a job that succeeded, and has no document of it any more.
RESULT_GONE = "The job succeeded, but its result is no longer available."

#: What WPS 1.0.0 calls each state; it knows no dismissal.
STATES = {
    PublicState.ACCEPTED: outcome.ACCEPTED,
    PublicState.QUEUED: outcome.ACCEPTED,
    PublicState.RUNNING: outcome.STARTED,
    PublicState.PAUSED: "paused",
    PublicState.SUCCEEDED: outcome.SUCCEEDED,
    PublicState.FAILED: outcome.FAILED,
    PublicState.DISMISSED: outcome.FAILED,
}


@dataclass(frozen=True)
class About:
    """What a document says besides that is made without one of the launcher's.

    Attributes:
        title: of the process; empty: its identifier.
        service: URL of the endpoint.
        status: where the job's document is shown.
    """

    title: str = ""
    service: str = ""
    status: str = ""


def status_document(view: JobView, job: JobDir, about: About = About()) -> bytes:
    """The job's document, which says what the view does, whatever the process made of it.

    The launcher's own is given as it is where it says the same.

    Raises:
        OSError: the storage is in trouble.
    """
    succeeded, wanted = view.state is PublicState.SUCCEEDED, _status(view)
    document = b""
    try:
        found = read_plain(job.status, MOST if succeeded else status_xml.POLLED)
        if not status_xml.is_costly(found):
            document = status_xml.harmless(found)
            told = status_xml.parse(document)
            if view.percent is None and told.state == wanted.state:
                wanted = replace(wanted, percent=told.percent)  # which is the last that was known
            if told == wanted or (succeeded and told.state == outcome.SUCCEEDED):
                return document
        elif succeeded and status_xml.is_plain(found):
            return found  # the view says all that a parser would find
    except (OSError, status_xml.DocumentError) as error:
        if storage.trouble(error):
            raise
        document = b""
    if succeeded:  # there are no outputs to be shown
        wanted = status_xml.Status(outcome.FAILED, 100, RESULT_GONE)
    return status_xml.renewed(document, view.process, wanted, **_facts(about))


def brief_document(view: JobView, about: About) -> bytes:
    """A document that tells where the job stands, and nothing of what the launcher left."""
    return status_xml.made(view.process, _status(view), **_facts(about))


def _facts(about: About) -> dict[str, str]:
    return {"title": about.title, "url": about.service, "location": about.status}


def _status(view: JobView) -> status_xml.Status:
    # ProcessStarted tells that the process itself has begun (clause 10.3.2).
    state = outcome.ACCEPTED if view.is_starting else STATES[view.state]
    percent = 0 if state == outcome.ACCEPTED else 100 if view.is_over else view.percent or 0
    return status_xml.Status(state, percent, view.message)


def status_response(document: bytes, end: float | None = None) -> Response:
    """A status document as an HTTP answer.

    Args:
        end: when the job goes, seconds since the epoch; ``None`` if that is not known.
    """
    headers = {"Cache-Control": "no-store"} | outputs.sunset(end)
    return Response(document, mimetype="text/xml", headers=headers)


def ended_response(known: Known, request: Request, end: float | None) -> Response:
    """The document of an ended job, which a client may keep if it asks each time whether it still
    holds (RFC 9111, section 5.2.2.4), as an HTTP answer: 304 if it does.

    Args:
        end: when the job goes, seconds since the epoch; ``None`` if that is not known.
    """
    headers = {"Cache-Control": "private, no-cache", "ETag": f'W/"{known.etag}"'}
    headers |= outputs.sunset(end)
    asked = request.environ.get("HTTP_IF_NONE_MATCH")
    if asked is not None and parse_etags(asked).contains_weak(known.etag):
        return Response(status=304, headers=headers)
    return Response(known.document, mimetype="text/xml", headers=headers)
