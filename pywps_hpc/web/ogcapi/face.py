"""The face of OGC API - Processes - Part 1: Core, version 1.0 (OGC 18-062r2): its URLs.

They lie beside the endpoint of WPS: with ``[server] url = http://host/wps`` the landing page is
``http://host/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response

from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import execute, jobs, landing, openapi, problems, processes
from pywps_hpc.web.ogcapi.problems import Problem
from pywps_hpc.web.ogcapi.resource import resource

_LISTED = ("limit", "type", "processID", "status", "datetime", "minDuration", "maxDuration")
_LANDING = resource(GET=landing.show)
#: By path below the root; a page for people could be negotiated where these answer
#: (:func:`~pywps_hpc.web.ogcapi.resource.resource`).
_RESOURCES: dict[str, Callable[..., Response]] = {
    "/conformance": resource(GET=landing.show_conformance),
    "/api": resource(GET=openapi.show),
    "/processes": resource("limit", "start", GET=processes.show_list),
    "/processes/<process:process>": resource(GET=processes.show),
    "/processes/<process:process>/execution": resource(POST=execute.execute),
    "/jobs": resource(*_LISTED, "after", GET=jobs.show_list),
    "/jobs/<job:access>": resource(GET=jobs.show, DELETE=jobs.dismiss),
    "/jobs/<job:access>/status": resource(PUT=jobs.put_status),
    "/jobs/<job:access>/results": resource(GET=jobs.show_results),
    "/jobs/<job:access>/results/<rest:output>": resource(GET=jobs.show_result),
    "/jobs/<job:access>/log": resource(GET=jobs.show_log),
    "/jobs/<job:access>/usage": resource(GET=jobs.show_usage),
}


def rules(addresses: Addresses) -> Iterator[Rule]:
    """The URLs of this face, but for its root."""
    for path, handler in _RESOURCES.items():
        yield Rule(path, endpoint=handler)


def at_root(addresses: Addresses, request: Request) -> Callable[..., Any] | None:
    """Who answers a request that no rule matches, if that is here: the landing page, or that there
    is no such resource. A reverse proxy may hand on a part of the public path.

    The endpoint may be at the root, too: there a query of WPS is one.
    """
    path, root = request.path, unquote(urlsplit(addresses.root).path)
    names = {name.lower() for name in request.args}
    has_content = request.content_length or "Transfer-Encoding" in request.headers
    if (request.method == "POST" and has_content) or {"service", "request"} & names:
        return None
    for start in (at for at, sign in enumerate(root) if sign == "/"):
        place = root[start:]
        if path == place:
            return _LANDING
        if path.startswith(place):
            first, slash, rest = path.removeprefix(place).partition("/")
            if first in _NOWHERE and slash:
                return _NOWHERE[first] if rest else _RESOURCES[f"/{first}"]
    return None


def _no_such_job(service: Context, request: Request) -> Response:
    raise Problem(404, "There is no such job.", problems.NO_SUCH_JOB, "No such job")


def _no_such_resource(service: Context, request: Request) -> Response:
    raise Problem(404, "There is no such resource.")


_ALL = ("GET", "PUT", "PATCH", "DELETE")
_NOWHERE = {
    name: resource(**dict.fromkeys(_ALL, found))
    for name, found in {
        "jobs": _no_such_job,
        "processes": _no_such_resource,
        "conformance": _no_such_resource,
        "api": _no_such_resource,
    }.items()
}
