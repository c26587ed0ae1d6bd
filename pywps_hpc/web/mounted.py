"""A service inside another application: its jobs' documents and outputs, its pages and its API stay
within reach.

A Flask view that returns the service sees the requests of its own route only; the addresses that
clients are given for all of these lie beside it.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

LOGGER = logging.getLogger(__name__)

#: In a request's environment: what it asks for was looked up here, whatever stands around.
_ROUTED = "pywps_hpc.routed"
#: There when another application of werkzeug's (Flask) has had the request before.
_WITHIN = "werkzeug.request"

#: A WSGI application (PEP 3333).
Application = Callable[[Any, Any], Any]

#: The services of this process.
SERVICES: weakref.WeakSet[Any] = weakref.WeakSet()

_told = False


def around(application: Application) -> Application:
    """The application, with the jobs' addresses of the services within it in front."""
    if not SERVICES:
        LOGGER.warning("no service in this application is wrapped by hpc(): it runs no batch jobs")

    def routed(environ: Any, start_response: Any) -> Any:
        environ[_ROUTED] = True
        for service in list(SERVICES):
            if service.routes.has(environ, urlsplit(service.addresses.root).path):
                return service(environ, start_response)
        return application(environ, start_response)

    return routed


def notice(environ: Any, names: Collection[str]) -> None:
    """Say once if the service stands in an application that may keep those requests to itself.

    Args:
        environ: of a request (PEP 3333).
        names: the first segments of the service's URLs.
    """
    global _told
    if _WITHIN in environ and _ROUTED not in environ and not _told:
        _told = True
        LOGGER.warning(
            "the service is part of another application: put pywps_hpc.web.mounted.around() in "
            "front of that, or let it pass on to the service whatever lies beside the endpoint "
            "(%s), or clients cannot reach their jobs (see docs/operations.md)",
            ", ".join(f"{name}/" for name in names),
        )
