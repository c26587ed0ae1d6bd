"""The WSGI application: a PyWPS service whose processes run elsewhere."""

from __future__ import annotations

import copy
import logging
from typing import Any

from pywps import Service
from pywps.exceptions import InvalidParameterValue, NoApplicableCode
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from pywps_hpc import jobs
from pywps_hpc.metrics import meters
from pywps_hpc.settings.checks import warnings
from pywps_hpc.web import cors, mounted, negotiation, outputs, probes
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import REASON, Busy, in_form, of_http, storage_trouble
from pywps_hpc.web.ogcapi import face as ogcapi
from pywps_hpc.web.pages import face as pages
from pywps_hpc.web.requests import guard, limits
from pywps_hpc.web.requests import inputs as request_inputs
from pywps_hpc.web.requests.reading import METHODS
from pywps_hpc.web.routes import Handler, Routes, Rules
from pywps_hpc.web.wps1 import face
from pywps_hpc.web.wps2 import face as wps2

LOGGER = logging.getLogger(__name__)

#: Whatever is answered is data to a browser, though a client or a process wrote part of it (W3C,
#: Content Security Policy Level 3). An answer with headers of its own keeps them.
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


#: Answers without content (RFC 9110, sections 15.3.5 and 15.4.5).
_EMPTY = ("204", "304")
#: For whoever meets an error of the service's own; its administrator finds it in the log.
UNEXPECTED = (
    "The service met an error that it did not expect, and could not answer this request. Its "
    "administrator has the details."
)
#: The URLs of the standards that clients speak here, and of what they share.
RULES: tuple[Rules, ...] = (face.rules, outputs.rules, ogcapi.rules, probes.rules)
#: Those of the pages for people, which an administrator can do without.
PAGES: Rules = pages.rules


def _with_type(status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of an answer; PyWPS gives its XML no type for a client that accepts neither that
    nor JSON."""
    if status[:3] in _EMPTY or any(name.lower() == "content-type" and v for name, v in headers):
        return headers
    kept = [(name, value) for name, value in headers if name.lower() != "content-type"]
    return [*kept, ("Content-Type", "text/xml; charset=utf-8")]


def operate(service: Context, request: Request) -> Any:
    """Answer a request to the service's own URL, which serves both versions of WPS.

    Raises:
        NoApplicableCode: it cannot be carried out.
    """
    if request.method == "OPTIONS":
        return cors.options((*METHODS, "OPTIONS"))
    with limits.turn(request, service.settings.retry_after):
        guard.take_in(request)
        is_second = negotiation.version_of(request) == negotiation.SECOND
        return (wps2.operate if is_second else face.operate)(service, request)


#: What answers a request to the service's own URL.
ENDPOINT: Handler = operate


class HpcService(Context, Service):  # type: ignore[misc]
    """A :class:`pywps.Service` that spools Execute requests as jobs and shows their documents.

    Made by :func:`pywps_hpc.web.wrap.wrap` around an existing service.

    Attributes:
        routes: its URLs beside the endpoint.
        is_compared: whether sections for processes have been held against its processes.
    """

    routes: Routes
    is_compared: bool

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer one request with safe headers (PEP 3333)."""
        mounted.notice(environ, self.routes.names)
        REASON.set("unavailable")

        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if status.startswith("503") and (reason := REASON.get()):
                meters.count(meters.REFUSALS, reason)
            headers = _with_type(status, headers)
            given = {name.lower() for name, _ in headers}
            safe = [(name, value) for name, value in SAFE.items() if name.lower() not in given]
            return start_response(status, [*headers, *safe], *rest)

        return super().__call__(environ, begin)

    def call(self, http_request: Request) -> Any:
        """Answer one request; never raises."""
        self.compare_processes()
        return in_form(http_request, self._answer(http_request))

    def _answer(self, http_request: Request) -> Any:
        message = "The service cannot reach its jobs now. Please try later."
        reason = "unavailable"
        refused: HTTPException | None = None
        try:
            if self.settings.pages and (page := pages.instead(self, http_request)) is not None:
                return page
            handler = self.routes.find(http_request.environ)
            handler = handler or ogcapi.at_root(self.addresses, http_request) or ENDPOINT
            return handler(self, http_request)
        except NoApplicableCode as error:
            error.__context__ = None
            return error.with_traceback(None)  # which holds the whole request
        except jobs.TableUnavailable as error:
            LOGGER.error("the job table cannot be reached: %s", error)
        except HTTPException as error:
            refused = error.with_traceback(None)
        except Exception as error:
            if trouble := storage_trouble(error, self.spool.root):
                LOGGER.error("a request could not be answered: %s", error)
                message, reason = f"Jobs cannot be accepted now: {trouble}.", "storage"
            else:
                LOGGER.exception("a request could not be answered")
                message = UNEXPECTED
                return NoApplicableCode(message, code=500)
        # Made here, since PyWPS logs the traceback of whatever is being handled.
        if refused is not None:
            return of_http(refused)
        return Busy(message, self.settings.retry_after, reason)

    def compare_processes(self) -> None:
        """Tell of sections for processes that the service does not have: once, when it has all."""
        if not self.is_compared:
            self.is_compared = True
            for warning in warnings.of_processes(self.settings, self.processes):
                LOGGER.warning("%s", warning)

    def prepare_process_for_execution(self, identifier: str) -> Any:
        """A copy of the process for one job.

        Raises:
            InvalidParameterValue: there is no such process.
        """
        if identifier not in self.processes:
            raise InvalidParameterValue(f"Unknown process '{identifier}'", "Identifier")
        process = copy.deepcopy(self.processes[identifier])
        process.service = self
        return process

    def execute(self, identifier: str, wps_request: Any, uuid: str) -> Any:
        """Accept a job; wait for it only if the client does."""
        return face.execute(self, identifier, wps_request, uuid)

    def get_capabilities(self, wps_request: Any, uuid: str) -> Any:
        """The answer to GetCapabilities."""
        return face.get_capabilities(self, wps_request, uuid)

    def describe(self, wps_request: Any, uuid: str, identifiers: Any) -> Any:
        """The answer to DescribeProcess."""
        return face.describe(self, wps_request, uuid, identifiers)

    def create_literal_inputs(self, source: Any, inputs: Any) -> Any:
        """Literal inputs of a request, by our rules."""
        return request_inputs.literals(source, inputs)

    def create_complex_inputs(self, source: Any, inputs: Any) -> Any:
        """Complex inputs of a request, by our rules."""
        return request_inputs.documents(source, inputs)

    def create_bbox_inputs(self, source: Any, inputs: Any) -> Any:
        """Bounding boxes of a request, by our rules."""
        return request_inputs.boxes(source, inputs)
