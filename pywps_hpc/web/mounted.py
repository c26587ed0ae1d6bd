"""A service inside another application: its jobs' documents and outputs stay within reach.

A Flask view that returns the service sees the requests of its own route only; the addresses that
clients are given for documents and outputs lie beside it.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
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


def notice(environ: Any) -> None:
    """Say once if the service stands in an application that may keep those requests to itself."""
    global _told
    if _WITHIN in environ and _ROUTED not in environ and not _told:
        _told = True
        LOGGER.warning(
            "the service is part of another application: let that pass status/ and outputs/ on to "
            "it, too, or clients cannot reach their documents (see docs/operations.md)"
        )
