"""Scripts of other hosts (Fetch standard, 3.2): what they are told, where they are allowed."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.wrappers import Request, Response

from pywps_hpc.web.context import Context

#: Headers that a script may read beside those that it always may (Fetch standard, 3.3.3).
EXPOSED = (
    "Location, Link, Preference-Applied, Retry-After, Sunset, Content-Disposition, Content-Range, "
    "ETag"
)
#: Headers that it may send.
ALLOWED = "Accept, Content-Type, Prefer, Range, If-None-Match, If-Modified-Since, If-Range"


def options(methods: Sequence[str]) -> Response:
    """The answer to OPTIONS (RFC 9110, section 9.3.7)."""
    response = Response(status=204, headers={"Allow": ", ".join(methods)})
    response.headers.remove("Content-Type")
    return response


def share(
    service: Context, request: Request, response: Response, methods: Sequence[str]
) -> Response:
    """The answer, with what lets a script of another host have it."""
    if service.settings.cors == "*" and "Origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = ALLOWED
            response.headers["Access-Control-Max-Age"] = "86400"
    return response
