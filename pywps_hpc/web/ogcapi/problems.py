"""What went wrong, as a problem document (RFC 9457; OGC 18-062r2, exception.yaml)."""

from __future__ import annotations

import json
import logging
from typing import Any

from pywps.exceptions import (
    FileSizeExceeded,
    InvalidParameterValue,
    MissingParameterValue,
    NoApplicableCode,
    OperationNotSupported,
)
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs import Cause, TableUnavailable
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.ogc_json.results import ResultsGone
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy, NotFound, storage_trouble

LOGGER = logging.getLogger(__name__)

#: The types that the standard defines, and those of our own.
STANDARD = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
OWN = "urn:pywps-hpc:problem:"
PROBLEM = "application/problem+json"

NO_SUCH_JOB, NO_SUCH_PROCESS = f"{STANDARD}no-such-job", f"{STANDARD}no-such-process"
NO_SUCH_OUTPUT = f"{OWN}no-such-output"
NOT_READY = f"{STANDARD}result-not-ready"

#: By the cause of a failure: the last segment of the problem's type, and its title.
_FAILURES = {
    Cause.UNKNOWN: ("failed", "The job failed"),
    Cause.PROCESS: ("process", "The process failed"),
    Cause.INPUT: ("input", "An input could not be used"),
    Cause.MEMORY: ("memory", "The job needed more memory than it may use"),
    Cause.TIME: ("time", "The job needed more time than it may use"),
    Cause.NODE: ("node", "The compute node could not run the job"),
    Cause.SYSTEM: ("system", "The job could not be run to its end"),
}
#: Where it is the client who has to change something.
_CODES = {Cause.INPUT: 400}


class Problem(Exception):
    """A request cannot be answered.

    Args:
        status: of HTTP.
        detail: what is wrong, for a person.
        kind: URI of its type; by default it is told by the status alone (RFC 9457, 4.2.1).
        title: what all problems of this type are.
        headers: further ones of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        kind: str = "",
        title: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind = status, detail, kind or "about:blank"
        self.title = title or HTTP_STATUS_CODES.get(status, "Error")
        self.headers = headers or {}


def invalid(detail: str) -> Problem:
    """The answer to a request that is not as the standard or the process wants it."""
    return Problem(400, detail, f"{OWN}invalid-request", "The request is not valid")


def no_such_process(identifier: str) -> Problem:
    """The answer to whoever asks for a process that there is not."""
    return Problem(404, f"There is no process '{identifier}'.", NO_SUCH_PROCESS, "No such process")


def of_job(view: JobView) -> Problem:
    """Why a job has no results (clauses 7.13.3 and 7.13.4)."""
    if view.state is PublicState.FAILED:
        name, title = _FAILURES[view.cause]
        detail = view.reason or "The job failed."
        return Problem(_CODES.get(view.cause, 500), detail, f"{OWN}{name}", title)
    if view.state is PublicState.DISMISSED:
        detail = "The job was dismissed; it has no results."
        return Problem(404, detail, f"{OWN}dismissed", "Dismissed")
    detail = f"The job has no results yet: {view.message}"
    return Problem(404, detail, NOT_READY, "The results are not ready")


def of_error(service: Context, error: Exception) -> Problem:
    """What stopped a request, as a client may know it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotFound):
        return Problem(error.code, str(error.description), NO_SUCH_JOB, "No such job")
    if isinstance(error, Busy):
        return busy(str(error.description), error.retry_after)
    if isinstance(error, ResultsGone):
        return Problem(410, str(error))
    if isinstance(error, FileSizeExceeded):
        return Problem(413, str(error.description))
    if isinstance(error, InvalidParameterValue | MissingParameterValue):
        return invalid(_detail_of(error))
    if isinstance(error, OperationNotSupported):
        return Problem(501, _detail_of(error))
    if isinstance(error, HTTPException):
        response = error.get_response() if not isinstance(error, NoApplicableCode) else None
        allow = response.headers.get("Allow") if response is not None else None
        return Problem(
            error.code or 500, _detail_of(error), headers={"Allow": allow} if allow else None
        )
    after = service.settings.retry_after
    if isinstance(error, TableUnavailable):
        LOGGER.error("the job table cannot be asked: %s", error)
        return busy("The service cannot look after its jobs now. Please try later.", after)
    if trouble := storage_trouble(error, service.spool.root):
        LOGGER.error("a request could not be answered: %s", error)
        return busy(f"The service cannot look after its jobs now: {trouble}.", after)
    LOGGER.exception("a request could not be answered", exc_info=error)
    return Problem(500, "The request could not be answered.")


def busy(detail: str, retry_after: int) -> Problem:
    """The answer of a service that cannot do it now."""
    return Problem(503, detail, headers={"Retry-After": str(retry_after)})


def response(request: Request, problem: Problem) -> Response:
    """A problem document; as plain JSON unless its own media type is asked for, since clients of
    this standard look for that."""
    content = {
        "type": problem.kind,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    asked = any(kind.lower() == PROBLEM for kind, _ in request.accept_mimetypes)
    headers = {"Cache-Control": "no-store"} | problem.headers
    text = json.dumps(content, ensure_ascii=False)
    return Response(
        text, problem.status, headers, mimetype=PROBLEM if asked else "application/json"
    )


def _detail_of(error: Any) -> str:
    """What an exception of PyWPS tells, and of which input."""
    detail, locator = str(error.description or ""), str(getattr(error, "locator", "") or "")
    if isinstance(error, MissingParameterValue) and detail == locator:
        return f"input {locator}: it is missing."
    return detail if locator in detail or not locator else f"{locator}: {detail}"
