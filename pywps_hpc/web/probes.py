"""Whether this web server is well: for whatever starts it anew, or sends it requests.

*Live* means that it answers at all; who gets no answer may start it anew. *Ready* means that it can
show jobs: job table and spool are there. Whether new jobs are taken is told beside it, and does not
make it unready: a server that takes none still has results to serve.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs import TableUnavailable
from pywps_hpc.web import health
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import REASON, Busy

_METHODS = ["GET"]


def rules(addresses: Addresses) -> Iterator[Rule]:
    """Its URLs, beside the endpoint."""
    yield Rule("/health/live", endpoint=live, methods=_METHODS)
    yield Rule("/health/ready", endpoint=ready, methods=_METHODS)


def live(service: Context, request: Request) -> Response:
    """That it answers."""
    return _answer(200, {"live": True})


def ready(service: Context, request: Request) -> Response:
    """Whether it can show jobs, and whether it takes new ones."""
    told: dict[str, Any] = {"ready": True, "accepts_jobs": True, "message": ""}
    try:
        health.require_spool(service)
        health.require_open(service.settings, service.store)
        health.require_dispatcher(service.settings, service.store)
    except TableUnavailable:
        told |= {"ready": False, "message": "The service cannot reach its jobs now."}
    except Busy as error:
        is_ready = error.reason != "storage"
        told |= {"ready": is_ready, "accepts_jobs": False, "message": str(error.description)}
    REASON.set("")
    if not told["ready"]:
        told["accepts_jobs"] = False
    return _answer(200 if told["ready"] else 503, told)


# Many applications around a service have URLs of these names: see web/routes.py.
live.is_common = ready.is_common = True  # type: ignore[attr-defined]


def _answer(code: int, told: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
    return Response(json.dumps(told) + "\n", code, headers)
