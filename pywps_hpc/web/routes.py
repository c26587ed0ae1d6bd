"""The URLs of the service: which face or part answers a request.

A face is one standard that clients speak. It registers rules (werkzeug's routing), each with its
handler; there is one map of all. What no rule matches is a request to the endpoint, whatever its
path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Request

from pywps_hpc.spool import JOB_ID
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context

#: Answers a request; a rule's handler gets what its URL says, too, as keyword arguments.
Handler = Callable[..., Any]


#: Segments that a proxy may hand on before a path of ours.
PREFIX = 16
#: The URLs of a face or a part beside the endpoint, by the addresses that are configured. The
#: ``endpoint`` of each rule is its :data:`Handler`.
Rules = Callable[[Addresses], Iterable[Rule]]


#: First segments of URLs that an application around the service may have, too.
COMMON = frozenset({"api", "conformance", "health", "jobs", "processes"})


def is_common(handler: Any) -> bool:
    """Whether the name of a URL with this handler is one of :data:`COMMON`."""
    return bool(getattr(getattr(handler, "func", handler), "is_common", False))


class JobConverter(BaseConverter):
    """What stands for a job in an address (:attr:`~pywps_hpc.jobs.Job.access`)."""

    regex = JOB_ID


class ProcessConverter(BaseConverter):
    """The identifier of a process, which may have slashes: a server decodes those of a path."""

    part_isolating = False
    regex = "[^/]+(?:/[^/]+)*"


class RestConverter(BaseConverter):
    """Whatever follows, slashes and any bytes included."""

    part_isolating = False
    regex = "(?s:.+)"


class Routes:
    """The map of a service's URLs.

    A reverse proxy may hand on the path of the public URL or a part of it, so each rule holds
    behind any prefix of up to :data:`PREFIX` segments. The shortest one counts: what follows the
    address of a job's outputs is a name that its process chose.

    Args:
        rules: of all faces and parts; of two that match the same URL the first one counts.

    Attributes:
        names: the first segments of the URLs, beside the endpoint.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        converters = {
            "job": JobConverter,
            "process": ProcessConverter,
            "rest": RestConverter,
        }
        listed = list(rules)
        self.names = tuple(dict.fromkeys(rule.rule.split("/")[1] for rule in listed))
        known = Map(listed, converters=converters, merge_slashes=False)
        self._adapter = known.bind("service")

    def find(self, environ: Mapping[str, Any]) -> Callable[[Context, Request], Any] | None:
        """Who answers a request (PEP 3333); ``None``: the endpoint does.

        Raises:
            MethodNotAllowed: the URL is known, but not for the method of the request.
        """
        path = os.fsdecode(str(environ.get("PATH_INFO", "")).encode("latin-1"))
        method = str(environ.get("REQUEST_METHOD"))
        for _ in range(PREFIX + 1):
            try:
                handler, arguments = self._adapter.match(path, method)
                return partial(handler, **arguments)
            except NotFound:
                start = path.find("/", 1)
                if start < 0:
                    break
                path = path[start:]
        return None

    def has(self, environ: Mapping[str, Any], root: str = "/") -> bool:
        """Whether a request is to one of these URLs, and not to one of an application around the
        service that is called alike.

        Args:
            root: path of the folder in which the endpoint lies. Of the URLs whose names many
                applications use (:func:`is_common`) only those in there count.
        """
        try:
            handler = self.find(environ)
            if handler is None or not is_common(handler):
                return handler is not None
            path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))
            return path.startswith(root) and path.removeprefix(root).split("/")[0] in COMMON
        except MethodNotAllowed:
            return True
