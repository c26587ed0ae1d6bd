"""The answer of WPS 1.0.0 to a client that waits on its connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pywps.exceptions import NoApplicableCode
from werkzeug.wrappers import Response

from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import open_plain
from pywps_hpc.jobs import TERMINAL, Job, State
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs
from pywps_hpc.web.wps1 import status
from pywps_hpc.web.wps1.status import About

#: What of the answer that a job wrote for a waiting client is its to say.
_OWN = ("content-type", "content-disposition")


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
        words = (
            "The job left no answer."
            if row.state is State.SUCCEEDED
            else status.of_row(row).message
        )
        raise NoApplicableCode(words)
    if over:
        return status.status_response(status.status_document(row, job, settings.scheduler, about))
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
    document = status.status_document(row, job, settings.scheduler, about)
    try:
        document = status_xml.with_location(document, about.status)
        told = status_xml.parse(document)
    except status_xml.DocumentError:  # the process made it as large as could be
        document, told = b"", status.of_row(row)
    told = status_xml.Status(told.state, told.percent, f"{told.message}. {words}")
    return status.status_response(status.renewed(document, row, about, told))


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
        raise NoApplicableCode("The job left an answer that cannot be given.", code=500)
    try:
        return outputs.streamed(open_plain(job.response), environ, own, code)
    except OSError:
        raise NoApplicableCode("The job left no answer.", code=500) from None
