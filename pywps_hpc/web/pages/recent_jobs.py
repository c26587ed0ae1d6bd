"""The jobs that a browser knows where nobody logs in: their addresses, in a cookie of the pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from werkzeug.wrappers import Request, Response

from pywps_hpc.spool import JOB_ID
from pywps_hpc.web.context import Context
from pywps_hpc.web.pages import urls

COOKIE = "pywps_hpc_jobs"
#: Jobs that are kept, the last ones.
MOST = 30


def known(request: Request) -> tuple[str, ...]:
    """What stands for the jobs in their addresses, newest first."""
    parts = request.cookies.get(COOKIE, "").split(".")[:MOST]
    return tuple(dict.fromkeys(part for part in parts if re.fullmatch(JOB_ID, part)))


def keep(service: Context, request: Request, response: Response, access: str) -> None:
    """Add a job."""
    others = [other for other in known(request) if other != access]
    _set(service, response, [access, *others])


def forget(service: Context, request: Request, response: Response, access: str) -> None:
    """Take a job out of the list; it goes on all the same."""
    _set(service, response, [other for other in known(request) if other != access])


def _set(service: Context, response: Response, jobs: Sequence[str]) -> None:
    urls.set_cookie(service, response, COOKIE, ".".join(jobs[:MOST]))
