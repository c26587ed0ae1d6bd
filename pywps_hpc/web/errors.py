"""Answers to a request that is not accepted, in PyWPS's exception form (OWS Common, clause 8)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pywps.exceptions import InvalidParameterValue, NoApplicableCode, ServerBusy
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Request, Response

from joblauncher.shared import storage

#: Why the request of this thread is turned away, for the administrator's metrics: each face answers
#: in its own form. Empty: an answer with HTTP 503 turns nobody away.
REASON: ContextVar[str] = ContextVar("reason")
#: Where a request keeps how it is told of an error, by the face that answers it.
_FORM = "pywps_hpc.error_form"


def answer_by(request: Request, report: Callable[[NoApplicableCode], Response]) -> None:
    """Let whatever goes wrong with a request be told in the form of its face.

    Args:
        report: makes an answer of an error; by default that is PyWPS's report of WPS 1.0.0.
    """
    request.environ[_FORM] = report


def in_form(request: Request, answer: Any) -> Any:
    """An answer, which may be an error, in the form of the request's face."""
    report = request.environ.get(_FORM)
    return report(answer) if report and isinstance(answer, NoApplicableCode) else answer


class Busy(ServerBusy):  # type: ignore[misc]
    """Too many jobs: HTTP 503 with ``Retry-After`` (RFC 9110, sections 10.2.3 and 15.6.4).

    Args:
        description: message for the client.
        retry_after: seconds.
        reason: for the administrator's metrics, one of :data:`pywps_hpc.metrics.meters.REASONS`.
    """

    def __init__(self, description: str, retry_after: int, reason: str = "busy") -> None:
        super().__init__(description, code=503)
        self.retry_after, self.reason = retry_after, reason
        REASON.set(reason)

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report (WPS 1.0.0, table 62)."""
        return "ServerBusy"

    def get_response(self, environ: Any = None) -> Response:
        """The exception report."""
        response: Response = super().get_response(environ)
        response.headers["Retry-After"] = str(self.retry_after)
        return response


class NotAllowed(NoApplicableCode):  # type: ignore[misc]
    """The URL does not take the method of the request (RFC 9110, section 15.5.6).

    Args:
        description: message for the client.
        methods: those that it takes.
    """

    code = 405

    def __init__(self, description: str, methods: Iterable[str]) -> None:
        super().__init__(description, locator="", code=self.code)
        self.allow = ", ".join(sorted(methods))

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report."""
        return "NoApplicableCode"

    def get_response(self, environ: Any = None) -> Response:
        """The exception report."""
        response: Response = super().get_response(environ)
        response.headers["Allow"] = self.allow
        return response


def of_http(error: HTTPException) -> NoApplicableCode:
    """A refusal by HTTP's own rules, to be told in the form of a face."""
    if isinstance(error, MethodNotAllowed):
        return NotAllowed(str(error.description), error.valid_methods or ())
    return NoApplicableCode(error.description, code=error.code)


def storage_trouble(error: Exception, spool: Path) -> str:
    """What is wrong with the storage, if that is what this is about; empty if it is not."""
    message = storage.trouble(error)
    name = error.filename if isinstance(error, PermissionError) else None
    # Elsewhere it may be an input that nobody may read.
    if name is not None and Path(os.fsdecode(name)).is_relative_to(spool):
        message = "the storage does not let the service write"
    return message


class NotFound(NoApplicableCode):  # type: ignore[misc]
    """No such job or output, or not for this client: the answer is the same."""

    code = 404

    def __init__(self, description: str) -> None:
        super().__init__(description, locator="", code=self.code)

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report (WPS 2.0, table 49)."""
        return "NoSuchJob"


class Gone(NotFound):
    """There was such a job, and it has been removed: for its owner (RFC 9110, section 15.5.11)."""

    code = 410


class NotNow(NoApplicableCode):  # type: ignore[misc]
    """What a client asks for cannot be done to a job where it stands (RFC 9110, 15.5.10)."""

    def __init__(self, description: str) -> None:
        super().__init__(description, locator="", code=409)


class Inaccessible(InvalidParameterValue):  # type: ignore[misc]
    """An input refers to something that will not be fetched."""

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report (WPS 1.0.0, table 62)."""
        return "InvalidParameterValue"


class DoctypeRefused(InvalidParameterValue):  # type: ignore[misc]
    """An XML document brings declarations of its own."""

    def __init__(self) -> None:
        super().__init__("A document type declaration (DOCTYPE) is not allowed.", "request")

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report."""
        return "InvalidParameterValue"

    def __str__(self) -> str:  # what PyWPS makes its own exception of
        return str(self.description)
