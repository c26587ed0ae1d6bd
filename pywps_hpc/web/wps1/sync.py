"""The answer of WPS 1.0.0 to a client that waits on its connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pywps.exceptions import NoApplicableCode
from werkzeug.wrappers import Response

from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import open_plain
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs
from pywps_hpc.web.wps1 import status
from pywps_hpc.web.wps1.status import About

#: What of the answer that a job wrote for a waiting client is its to say.
_OWN = ("content-type", "content-disposition")


def sync_response(
    view: JobView, job: JobDir, wps_request: Any, about: About, timeout: float
) -> Response:
    """What a client that waited is told.

    Args:
        view: of the job, as it was when the wait ended.
        about: the job.
        timeout: seconds for which a client waits.

    Raises:
        NoApplicableCode: as PyWPS does for raw output, if there is none.
        OSError: as :func:`~pywps_hpc.web.wps1.status.status_document`.
    """
    if not view.is_over:
        reason = f"The job did not end within {timeout:g} seconds."
        return goes_on(view, job, wps_request, about, reason)
    final = None if view.state is PublicState.DISMISSED else outcome.read(job)
    if final is not None and final.response is not None and final.state == view.state.value:
        return _answer_of(job, final.response, wps_request.http_request.environ)
    if wps_request.raw:
        raise NoApplicableCode(view.reason or "The job left no response.")
    return status.status_response(status.status_document(view, job, about))


def goes_on(view: JobView, job: JobDir, wps_request: Any, about: About, reason: str) -> Response:
    """What a client is told that does not wait for its job's end any longer, or not at all.

    Args:
        view, about: the job.
        reason: why, in a sentence.

    Raises:
        NoApplicableCode: for raw output; it tells where the status document is.
        OSError: as :func:`~pywps_hpc.web.wps1.status.status_document`.
    """
    reason = f"{reason} The job continues."
    if wps_request.raw:
        raise NoApplicableCode(f"{reason} Its status: {about.status}", code=504)
    view = replace(view, message=f"{view.message}. {reason}")
    try:
        document = status.status_document(view, job, about)
        document = status_xml.with_location(document, about.status)
    except status_xml.DocumentError:  # the process made it as large as could be
        document = status.brief_document(view, about)
    return status.status_response(document)


def _answer_of(job: JobDir, told: Mapping[str, Any], environ: Any) -> Response:
    """The answer that the launcher left; or the process, which can write there, too."""
    code, headers = told.get("status"), told.get("headers")
    pairs = headers if isinstance(headers, list) else []
    own = {
        str(pair[0]).lower(): str(pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and str(pair[0]).lower() in _OWN
    }
    if code not in (200, 400, 500) or not all(text.isprintable() for text in own.values()):
        raise NoApplicableCode("The job left a response that cannot be sent.", code=500)
    try:
        return outputs.streamed(open_plain(job.response), environ, own, code)
    except OSError:
        raise NoApplicableCode("The job left no response.", code=500) from None
