"""Pages as answers: rendered, with headers that let a browser do no more than a page needs."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from pywps import configuration
from pywps.exceptions import NoApplicableCode
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from pywps_hpc import jobs
from pywps_hpc.web import principal
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import storage_trouble
from pywps_hpc.web.pages import text, tokens, urls

LOGGER = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(text.FILTERS)
#: What a page may do: styles, pictures and questions of this host, no frames, no plugins.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' {outputs}; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; script-src {scripts}"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # the address of a job may be all that protects it
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_UNAVAILABLE = "The service cannot look after its jobs now. Please try later."
_UNEXPECTED = (
    "The service met an error that it did not expect. Its administrator has the details in its log."
)


def page(
    service: Context, request: Request, template: str, code: int = 200, **values: Any
) -> Response:
    """A page with forms and scripts."""
    nonce = secrets.token_urlsafe(16)
    response = _rendered(
        service,
        request,
        template,
        code,
        {**values, "nonce": nonce, "token": tokens.token(service, request)},
    )
    response.headers["Content-Security-Policy"] = _policy(service, f"'nonce-{nonce}'")
    tokens.remember(service, request, response)
    return response


def seen(path: str, code: int = 303) -> Response:
    """Send the browser to another page (RFC 9110, section 15.4.4)."""
    return Response(status=code, headers={**_HEADERS, "Location": path})


def handler(answer: Callable[..., Response]) -> Callable[..., Response]:
    """A handler whose errors are pages, too."""

    @wraps(answer)
    def answered(service: Context, request: Request, **arguments: Any) -> Response:
        try:
            return answer(service, request, **arguments)
        except NoApplicableCode as error:
            after = getattr(error, "retry_after", None)
            return error_page(service, request, int(error.code or 400), error.description, after)
        except jobs.TableUnavailable as error:
            LOGGER.error("the job table cannot be asked: %s", error)
        except HTTPException as error:
            return error_page(service, request, error.code or 400, error.description or "")
        except Exception as error:
            if not (trouble := storage_trouble(error, service.spool.root)):
                LOGGER.exception("a page could not be made")
                return error_page(service, request, 500, _UNEXPECTED)
            LOGGER.error("a page could not be made: %s", error)
            after = service.settings.retry_after
            return error_page(service, request, 503, f"Not possible now: {trouble}.", after)
        return error_page(service, request, 503, _UNAVAILABLE, service.settings.retry_after)

    return answered


def error_page(
    service: Context, request: Request, code: int, message: str, retry_after: int | None = None
) -> Response:
    """A page that says what is wrong; for the same code and message always the same bytes."""
    values = {"message": str(message or ""), "heading": text.heading(code), "nonce": ""}
    response = _rendered(service, request, "error.html", code, values)
    response.headers["Content-Security-Policy"] = _policy(service, "'none'")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _rendered(
    service: Context, request: Request, template: str, code: int, values: Mapping[str, Any]
) -> Response:
    try:
        who = principal.of(service.settings, request)
    except NoApplicableCode:
        who = principal.Principal()
    addresses = service.addresses
    page = _TEMPLATES.get_template(template).render(
        ui=urls.root(addresses),
        job_url=lambda access: urls.job(addresses, access),
        process_url=lambda identifier: urls.process(addresses, identifier),
        who=who,
        service_title=configuration.get_config_value("metadata:main", "identification_title"),
        **values,
    )
    return Response(page, code, _HEADERS, mimetype="text/html")


def _policy(service: Context, scripts: str) -> str:
    parts = urlsplit(service.addresses.outputs)
    return _POLICY.format(scripts=scripts, outputs=f"{parts.scheme}://{parts.netloc}")
