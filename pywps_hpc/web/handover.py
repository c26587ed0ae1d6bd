"""Files of jobs that nginx sends in the service's place, once the service has said that the client
may have them (nginx, ngx_http_proxy_module: ``X-Accel-Redirect``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from werkzeug.wrappers import Request, Response

from pywps_hpc.web import principal
from pywps_hpc.web.context import Context

HEADER = "X-Accel-Redirect"


def handed_over(
    service: Context, request: Request, path: Path, file: BinaryIO, headers: Mapping[str, str]
) -> Response | None:
    """The answer by which nginx sends a file of a job, or the part of it that the client asks for.

    Args:
        path: of the file, which has been opened through no link on the way.
        file: the same; closed where nginx sends it.
        headers: of the answer.

    Returns:
        ``None`` where the service has to send it: it is not told of nginx, or the request did not
        come through it, or it is no GET or HEAD, to which nginx would answer with parts.
    """
    settings = service.settings
    if not settings.accel_location or request.method not in ("GET", "HEAD"):
        return None
    if not principal.is_from_proxy(settings, request.environ):
        return None
    file.close()
    inside = quote(os.fsencode(path.relative_to(settings.spool)))
    return Response(headers={**headers, HEADER: settings.accel_location + inside})
