"""The HTTP request that a job came with, as a process may look at it."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

_PORTS = {"http": "80", "https": "443"}
#: Headers that have variables of their own (PEP 3333).
_PLAIN = ("CONTENT_TYPE", "CONTENT_LENGTH")
#: Of a request whose body is a form; what it held has been read already.
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class _Plain:
    """A request that nobody has looked at yet.

    Attributes:
        http: as in :func:`environ`.
    """

    http: dict[str, Any]


class _Made:
    """``http_request`` of PyWPS's requests: one that is plain data is made when it is asked for.
    Few processes do, and the import of werkzeug's takes long."""

    def __get__(self, wps_request: Any, _kind: Any = None) -> Any:
        if wps_request is None:
            return self
        found = vars(wps_request)["http_request"]
        if isinstance(found, _Plain):
            from werkzeug.wrappers import Request

            found = vars(wps_request)["http_request"] = Request(environ(found.http))
        return found

    def __set__(self, wps_request: Any, request: Any) -> None:
        vars(wps_request)["http_request"] = request


def restore(wps_request: Any, http: dict[str, Any]) -> None:
    """Put back the HTTP request that is not serialised with that of PyWPS.

    Args:
        http: as in :func:`environ`.
    """
    from pywps.app.WPSRequest import WPSRequest

    WPSRequest.http_request = _Made()
    wps_request.http_request = _Plain(http)


def environ(http: dict[str, Any]) -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of a request without its body. ``werkzeug.test`` makes one,
    too, but takes longer to import than all that is left of it here.

    Args:
        http: as in :attr:`joblauncher.shared.dump.Header.http`.
    """
    from werkzeug.urls import iri_to_uri

    base = urlsplit(iri_to_uri(http["base_url"]))
    name, colon, port = base.netloc.rpartition(":")
    if not colon or "]" in port:  # an IPv6 address without a port
        name, port = base.netloc, _PORTS.get(base.scheme, "")
    found: dict[str, Any] = {
        "REQUEST_METHOD": http["method"],
        "SCRIPT_NAME": _encoded(unquote(base.path.rstrip("/"))),
        "PATH_INFO": _encoded(http["path"]),
        "QUERY_STRING": _encoded(http["query"]),
        "REQUEST_URI": _encoded(http["path"]),
        "RAW_URI": _encoded(http["path"]),
        "REMOTE_ADDR": http["remote_addr"],
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": base.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": base.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    headers: dict[str, list[str]] = {}
    for header, value in http["headers"]:
        headers.setdefault(header.upper().replace("-", "_"), []).append(value)
    for variable, values in headers.items():
        if variable not in _PLAIN:
            found[f"HTTP_{variable}"] = ", ".join(values)
    if kind := headers.get("CONTENT_TYPE"):
        found["CONTENT_TYPE"] = kind[0]
        if kind[0].partition(";")[0].strip().lower() == _FORM:
            found["CONTENT_LENGTH"] = "0"
    return found


def _encoded(text: str) -> str:
    """As WSGI has text: its bytes, each as one character."""
    return text.encode().decode("latin-1")
