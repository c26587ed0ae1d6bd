"""One URL of this face: its methods, its problems, and scripts of other hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request, Response

from pywps_hpc.web import cors
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import html, problems, query

#: Answers one method; may raise whatever :func:`problems.of_error` knows, which is everything.
Method = Callable[..., Response]


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
                response = cors.options(known)
            elif method not in known:
                raise MethodNotAllowed(known, f"This takes {', '.join(known)}.")
            else:
                query.check(request, parameters)
                called = methods["GET" if method == "HEAD" else method]
                response = html.of_answer(request, called(service, request, **arguments))
        except Exception as error:
            error.__context__ = None
            response = problems.response(request, problems.of_error(service, error))
        return cors.share(service, request, response, known)

    handle.is_common = True  # type: ignore[attr-defined]  # see web/routes.py
    return handle
