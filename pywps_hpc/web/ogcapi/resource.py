"""One URL of this face: its methods, its problems, and scripts of other hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request, Response

from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import html, problems, query

#: Answers one method; may raise whatever :func:`problems.of_error` knows, which is everything.
Method = Callable[..., Response]
#: Headers that a script may read beside those that it always may (Fetch standard, 3.3.3).
EXPOSED = "Location, Link, Preference-Applied, Retry-After, Sunset, Content-Disposition"
#: Headers that it may send.
ALLOWED = "Accept, Content-Type, Prefer, Range, If-None-Match, If-Modified-Since"


def resource(*parameters: str, **methods: Method) -> Callable[..., Response]:
    """A handler for one URL (:data:`~pywps_hpc.web.routes.Handler`).

    Args:
        parameters: that its query may have.
        methods: who answers which; HEAD is answered like GET, and OPTIONS here.
    """
    known = [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]

    def handle(service: Context, request: Request, **arguments: Any) -> Response:
        method = str(request.method)
        try:
            if method == "OPTIONS":
                response = Response(status=204, headers={"Allow": ", ".join(known)})
                response.headers.remove("Content-Type")
            elif method not in known:
                raise MethodNotAllowed(known, f"This takes {', '.join(known)}.")
            else:
                query.check(request, parameters)
                called = methods["GET" if method == "HEAD" else method]
                response = html.of_answer(request, called(service, request, **arguments))
        except Exception as error:
            error.__context__ = None
            response = problems.response(request, problems.of_error(service, error))
        return _shared(service, request, response, known)

    handle.is_common = True  # type: ignore[attr-defined]  # see web/routes.py
    return handle


def _shared(service: Context, request: Request, response: Response, methods: list[str]) -> Response:
    """The answer, with what lets a script of another host have it (Fetch standard, 3.2)."""
    if service.settings.cors == "*" and "Origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = ALLOWED
            response.headers["Access-Control-Max-Age"] = "86400"
    return response
