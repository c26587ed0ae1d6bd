"""One exchange with a web server: a connection to an address that was vetted, a request, an answer.

It stands on urllib3's connections alone, without its pools: so nothing is sent twice, no cookie is
kept, no redirection followed, nothing decoded, and no proxy of the environment asked.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from joblauncher.inputs.content import ENDED_EARLY, PIECE, UNKNOWN_ENCODING
from joblauncher.inputs.deadline import Deadline, Watchdog
from joblauncher.inputs.policy import PORTS, UNREACHABLE, Bounds, Refused, Target


class Wire:
    """The connections over which an input is fetched: one at a time."""

    def __init__(self, bounds: Bounds, deadline: Deadline) -> None:
        self._bounds, self._deadline = bounds, deadline
        self._watchdog = Watchdog(deadline)
        self._connection: HTTPConnection | None = None

    def end(self) -> None:
        """Close what is open; nothing can be asked any more."""
        self.close()
        self._watchdog.end()

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._watchdog.release()
        if self._connection is not None:
            self._connection.close()

    def ask(
        self,
        target: Target,
        hosts: Sequence[str],
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> BaseHTTPResponse:
        """Send a request, and read the head of its answer.

        Args:
            target: what is asked for.
            hosts: its addresses, tried one after the other; with a proxy, that is asked instead.
            headers: that the client gave.
            body: to post; ``None`` means GET.

        Raises:
            Refused: there is no answer.
        """
        path = target.path
        if self._bounds.proxy and target.scheme == "http":
            path = f"http://{target.authority}{path}"
        with self._explaining():
            connection = self._connect(target, hosts)
            connection.request(
                "GET" if body is None else "POST",
                path,
                body,
                _headers(target, headers, body),
                preload_content=False,
                decode_content=False,
            )
            with self._deadline.for_answer():
                response = connection.getresponse()
                if self._deadline.is_answer_late():  # a head that was cut looks like a whole one
                    raise TimeoutError
        # http.client would take the frames of any other coding for content (RFC 9112, section 6.1).
        if response.headers.get("Transfer-Encoding", "").lower() not in ("", "chunked"):
            raise Refused(UNKNOWN_ENCODING)
        return response

    def read(self, response: BaseHTTPResponse) -> bytes:
        """The next bytes of an answer, as sent; none at its end.

        Raises:
            Refused: it ends early, or not in time.
        """
        left = response.length_remaining
        with self._explaining():
            if not response.chunked:
                return response.read1(PIECE if left is None else min(PIECE, left))
            with self._deadline.for_answer():  # the lines between chunks take many reads
                piece = response.read1(PIECE)
                if not piece and self._deadline.is_answer_late():
                    raise TimeoutError
            return piece

    def _connect(self, target: Target, hosts: Sequence[str]) -> HTTPConnection:
        """Connect to the first host that can be reached."""
        port = target.port
        if self._bounds.proxy:
            proxy = urlsplit(self._bounds.proxy)
            hosts, port = [proxy.hostname or ""], proxy.port or PORTS["http"]
        for number, host in enumerate(hosts, 1):
            connection = self._connection = self._make(target, host, port)
            try:
                with self._deadline.for_answer():
                    connection.connect()
            except (OSError, HTTPError):
                self.close()
                if number == len(hosts):
                    raise
            else:
                self._deadline.left()
                return connection
        raise Refused(UNREACHABLE)

    def _make(self, target: Target, host: str, port: int) -> HTTPConnection:
        patience = self._deadline.patience()
        if target.scheme == "http":
            return _Plain(host, port, timeout=patience, watchdog=self._watchdog)
        connection = _Secure(
            host,
            port,
            timeout=patience,
            watchdog=self._watchdog,
            server_hostname=target.host,
            ssl_context=_tls(),
        )
        if self._bounds.proxy:
            connection.set_tunnel(target.host, target.port)
        return connection

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn what can go wrong on a connection into a message that tells nothing of its
        address."""
        try:
            yield
        except (OSError, http.client.HTTPException, HTTPError, ValueError) as error:
            self._deadline.left()
            is_late = self._deadline.is_answer_late()
            raise Refused(_message(_cause(error), is_late)) from None


class _Response(http.client.HTTPResponse):
    """An answer whose malformed headers are forgotten: urllib3 would log them, however long."""

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Plain(HTTPConnection):
    """A connection that is watched from its beginning, before a proxy or TLS has its say."""

    response_class = _Response

    def __init__(self, *arguments: Any, watchdog: Watchdog, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._watchdog = watchdog

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._watchdog.watch(connection)
        return connection


class _Secure(_Plain, HTTPSConnection):
    """The same with TLS."""


def _headers(target: Target, given: Mapping[str, str], body: bytes | None) -> dict[str, str]:
    """All headers of a request: the client's go before what is usual, and ours before his."""
    headers = {"User-Agent": "pywps-hpc", "Accept": "*/*"}
    if body is not None:
        headers["Content-Type"] = "text/xml"
    headers |= {name.title(): value for name, value in given.items()}
    headers |= {"Host": target.authority, "Accept-Encoding": "identity", "Connection": "close"}
    if target.authorization:
        headers["Authorization"] = target.authorization
    return headers


def _tls() -> ssl.SSLContext:
    """Certificates of the host, and those that PyWPS's own HTTP library brings: an image may have
    no others."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _cause(error: BaseException) -> BaseException:
    """What urllib3 wrapped in an exception of its own."""
    while isinstance(error, HTTPError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _message(error: BaseException, is_late: bool) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return "the certificate of its server is not valid"
        case _ if isinstance(error, TimeoutError) or is_late:
            return "its server does not answer in time"
        case http.client.IncompleteRead():
            return ENDED_EARLY
        case OSError():
            return "its server cannot be reached, or closed the connection"
    return "its server's answer is not valid HTTP"
