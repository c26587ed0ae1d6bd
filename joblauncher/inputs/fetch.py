"""Fetch an input that a client gave by reference: bounded in every respect that it could abuse.

Schemes, redirections, time, bytes and addresses have limits. A name is resolved once, and the
connection goes to the very address that was looked at, while Host, SNI and the certificate keep the
name: a second answer of the resolver changes nothing. Nothing of the environment (proxies, .netrc)
counts. Messages name neither the URL, which may hold a password, nor any address.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import socket
import ssl
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from joblauncher.inputs import addresses
from joblauncher.inputs.policy import (
    PORTS,
    UNREACHABLE,
    Bounds,
    Reference,
    Refused,
    Stopped,
    Target,
    TooLarge,
    parse,
    permitted,
)
from joblauncher.inputs.resolve import is_of_this_host, resolve
from joblauncher.shared.files import amount

_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16
#: Most bytes of a request body that is itself fetched (``wps:BodyReference``).
BODY_LIMIT = 16 << 20
#: Seconds between two looks at the clock while a read waits.
_WATCH = 0.25
_EARLY = "its server closed the connection early"


def fetch(
    reference: Reference,
    bounds: Bounds,
    target: Path,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Fetch an input into a file, which is there as a whole or not at all.

    Args:
        reference: what to fetch.
        bounds: the limits.
        target: the file; replaced if it is there.
        stop: asked between any two pieces whether to give up.

    Raises:
        Refused: it cannot be had within the bounds.
        TooLarge: it has too many bytes.
        Stopped: ``stop`` said so.
    """
    with _Errand(bounds, stop) as errand:
        response = errand.send(reference)
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=".fetch-", dir=target.parent)
        except OSError as error:
            raise Refused(f"it cannot be stored: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in errand.content(response, bounds.max_bytes):
                    _write(file.write, piece)
                _write(file.flush)
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def check_host(url: str, bounds: Bounds) -> None:
    """See whether one may connect to a URL's host: for whoever will open it without us.

    Raises:
        Refused: one may not, or nobody knows the host.
    """
    with _Errand(bounds, lambda: False) as errand:
        errand.look_up(parse(url, bounds))


def content_length(reference: Reference, bounds: Bounds) -> int:
    """How long its server says that it is, in bytes; 0 if it does not say.

    Raises:
        Refused: it cannot be had.
    """
    with _Errand(bounds, lambda: False) as errand:
        return errand.send(reference).length or 0


def _write(write: Callable[..., object], *content: bytes) -> None:
    try:
        write(*content)
    except OSError as error:
        raise Refused(f"it cannot be stored: {error.strerror}") from None


@dataclass
class _Errand:
    """One input on its way: a clock that runs over all of its connections.

    Attributes:
        deadline: when the whole must be here.
        answer_by: when a connection must be made, or the head of an answer be here: a server could
            make either last with a byte now and then.
    """

    bounds: Bounds
    stop: Callable[[], bool]
    connection: _Connection | None = None
    deadline: float = 0.0
    answer_by: float = math.inf
    done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> _Errand:
        self.deadline = time.monotonic() + self.bounds.total_timeout
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._close()

    def _watch(self) -> None:
        """Cut the connection when the time is over. Each read may wait for its own timeout, and a
        server can make a line of many reads."""
        while not self.done.wait(_WATCH):
            wire = self.connection.wire if self.connection else None
            if wire is not None and (self._is_late() or self._is_unanswered() or self.stop()):
                with contextlib.suppress(OSError):
                    # That of the plain socket: TLS's own would change what the reader uses.
                    socket.socket.shutdown(wire, socket.SHUT_RDWR)

    def _is_late(self) -> bool:
        return time.monotonic() >= self.deadline

    def _is_unanswered(self) -> bool:
        return time.monotonic() >= self.answer_by

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def send(self, reference: Reference) -> http.client.HTTPResponse:
        """Ask for it, and follow redirections; the answer whose content is the input."""
        body = None if reference.body is None else reference.body.encode()
        if reference.body_url:
            answer = self._follow(Reference(reference.body_url), None)
            body = b"".join(self.content(answer, min(BODY_LIMIT, self.bounds.max_bytes)))
        return self._follow(reference, body)

    def _follow(self, reference: Reference, body: bytes | None) -> http.client.HTTPResponse:
        url, first, words = reference.url, parse(reference.url, self.bounds), ""
        for _ in range(self.bounds.redirects + 1):
            try:
                target = parse(url, self.bounds)
                headers = dict(reference.headers) if target.origin == first.origin else {}
                response = self._ask(target, headers, body)
            except Refused as error:
                raise type(error)(f"{words}{error}") from None
            if response.status not in _REDIRECTS or not response.headers["Location"]:
                return _accepted(response)
            if response.status == 303 or (response.status in (301, 302) and body is not None):
                body = None  # RFC 9110, section 15.4
            try:
                url = urljoin(url, response.headers["Location"])
            except ValueError:
                raise Refused("its server redirects to what is not a valid URL") from None
            words = "after a redirection, "
            self._close()
        raise Refused(f"its server redirects more than {self.bounds.redirects} times")

    def _ask(
        self, target: Target, headers: dict[str, str], body: bytes | None
    ) -> http.client.HTTPResponse:
        with self._words():
            connection = self._connect(target)
            path = target.path
            if self.bounds.proxy and target.scheme == "http":
                path = f"http://{target.authority}{path}"
            connection.putrequest(
                "GET" if body is None else "POST",
                path,
                skip_host=True,
                skip_accept_encoding=True,
            )
            ours = {"Host": target.authority, "Accept-Encoding": "identity", "Connection": "close"}
            if body is not None:
                ours["Content-Length"] = str(len(body))
                headers = {"Content-Type": "text/xml"} | headers
            if target.authorization:
                ours["Authorization"] = target.authorization
            given = {name.title(): value for name, value in headers.items()}
            for name, value in (
                {"User-Agent": "pywps-hpc", "Accept": "*/*"} | given | ours
            ).items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(body)
            self.answer_by = time.monotonic() + self.bounds.timeout
            response = connection.getresponse()
            if self._is_unanswered():  # a head that was cut looks like a whole one
                raise TimeoutError
            self.answer_by = math.inf
            return response

    def _connect(self, target: Target) -> http.client.HTTPConnection:
        """A connection to one of the target's addresses, each looked at before."""
        hosts = [str(address) for address in self.look_up(target)]
        port, tunnel = target.port, False
        if self.bounds.proxy:
            proxy = urlsplit(self.bounds.proxy)
            hosts, port = [proxy.hostname or ""], proxy.port or PORTS["http"]
            tunnel = target.scheme == "https"
        for number, host in enumerate(hosts):
            patience = min(self.bounds.timeout, self._left())
            self.connection = _Connection(host, port, patience, target)
            if tunnel:
                self.connection.set_tunnel(target.host, target.port)
            self.answer_by = time.monotonic() + self.bounds.timeout
            try:
                self.connection.connect()
                self.answer_by = math.inf
            except OSError:
                self._close()
                if number + 1 == len(hosts):
                    raise
                continue
            self._left()
            return self.connection
        raise Refused(UNREACHABLE)

    def look_up(self, target: Target) -> list[addresses.Address]:
        """Those of the target that one may connect to; none is needed if a proxy is asked."""
        try:
            found = resolve(target.host, target.port, min(self.bounds.timeout, self._left()))
        except OSError:
            if self.bounds.proxy:  # which may know names that this host does not
                return []
            raise Refused(UNREACHABLE) from None
        own = self._own_addresses()
        return permitted(
            target.host,
            found,
            self.bounds,
            lambda address: address in own or is_of_this_host(address),
        )

    def _own_addresses(self) -> set[addresses.Address]:
        """Those of the names that must not be asked: other names may lead there, too."""
        found: set[addresses.Address] = set()
        for name in addresses.split(self.bounds.blocked_networks)[1]:
            with contextlib.suppress(OSError):
                known = resolve(name, PORTS["http"], min(self.bounds.timeout, self._left()))
                found.update(map(addresses.effective, known))
        return found

    def _left(self) -> float:
        """Seconds until the deadline.

        Raises:
            Refused: there are none.
            Stopped: nobody wants the input any more.
        """
        if self._is_late():
            limit = self.bounds.total_timeout
            raise Refused(f"it did not arrive within {limit:g} seconds")
        if self.stop():
            raise Stopped("it is no longer wanted")
        return self.deadline - time.monotonic()

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        """Turn what can go wrong on a connection into words that tell nothing of its address."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # AttributeError: http.client meets a connection that was cut.
            self._left()
            match error:
                case ssl.SSLCertVerificationError():
                    words = "the certificate of its server is not valid"
                case _ if isinstance(error, TimeoutError) or self._is_unanswered():
                    words = "its server does not answer in time"
                case http.client.IncompleteRead():
                    words = _EARLY
                case OSError():
                    words = "its server cannot be reached, or closed the connection"
                case _:
                    words = "its server does not speak HTTP as it should"
            raise Refused(words) from None

    def content(self, response: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
        """The decoded content, piece by piece, whole and not above the limit.

        Raises:
            Refused: it ends early, comes too slowly, or is encoded in an unknown way.
            TooLarge: it is longer.
        """
        too_large = TooLarge(f"it has more than the {amount(limit)} that are allowed")
        expected, raw, size = response.length, 0, 0
        rate = _Rate(self.bounds)
        gunzip = _gunzip(response.headers.get("Content-Encoding", ""))
        if expected is not None and expected > limit:
            raise too_large
        while True:
            self._left()
            wanted = _CHUNK if expected is None else min(_CHUNK, expected - raw)
            with self._words(), rate.waiting():
                encoded = response.read1(wanted) if wanted else b""
            self._left()
            rate.check(len(encoded))
            if not encoded:
                break
            raw += len(encoded)
            for piece in gunzip.feed(encoded) if gunzip else (encoded,):
                size += len(piece)
                if size > limit:
                    raise too_large
                yield piece
        self._left()  # a connection that was cut looks like the end
        if expected not in (None, raw) or (gunzip and not gunzip.is_whole):
            raise Refused(_EARLY)


class _Rate:
    """How fast a server sends, while it is waited for: how fast we store does not count."""

    def __init__(self, bounds: Bounds) -> None:
        self._least, self._period = bounds.min_rate, bounds.timeout
        self._waited, self._received = 0.0, 0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The server is waited for."""
        begun = time.monotonic()
        yield
        self._waited += time.monotonic() - begun

    def check(self, received: int) -> None:
        """Some bytes are here.

        Raises:
            Refused: too few of them, again and again.
        """
        self._received += received
        if self._waited < self._period:
            return
        if self._received < self._least * self._waited:
            raise Refused("its server sends it too slowly")
        self._waited, self._received = 0.0, 0


class _Connection(http.client.HTTPConnection):
    """A connection to an address, and TLS for a name on top of it.

    Attributes:
        wire: its socket, which :mod:`http.client` forgets while the last answer is still read.
    """

    wire: socket.socket | None = None

    def __init__(self, address: str, port: int, timeout: float, target: Target) -> None:
        super().__init__(address, port, timeout=timeout)
        self._target = target

    def connect(self) -> None:
        """Connect; through the proxy's tunnel if there is one."""
        super().connect()
        self.wire = self.sock
        if self._target.scheme == "https":
            self.sock = _tls().wrap_socket(
                self.sock, server_hostname=self._target.host, do_handshake_on_connect=False
            )
            self.wire = self.sock
            self.sock.do_handshake()


def _tls() -> ssl.SSLContext:
    """Certificates of the host, and those that PyWPS's own HTTP library brings: an image may have
    no others."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _accepted(response: http.client.HTTPResponse) -> http.client.HTTPResponse:
    if 200 <= response.status < 300 and response.status != HTTPStatus.PARTIAL_CONTENT:
        return response
    try:
        phrase = f" ({HTTPStatus(response.status).phrase})"
    except ValueError:
        phrase = ""
    raise Refused(f"its server answered with HTTP status {response.status}{phrase}")


def _gunzip(encoding: str) -> _Gunzip | None:
    """What undoes a content coding (RFC 9110, section 8.4.1). None was asked for, but some servers
    hold compressed files."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Gunzip()
    raise Refused("it is encoded in a way that is not supported")


class _Gunzip:
    """Decompresses in pieces of bounded size, one member after the other (RFC 1952)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def is_whole(self) -> bool:
        """Whether the last member has come to its end."""
        return self._member.eof

    def feed(self, encoded: bytes) -> Iterator[bytes]:
        """The next pieces."""
        piece = b""
        while encoded or len(piece) == _CHUNK:
            try:
                piece = self._member.decompress(encoded, _CHUNK)
            except zlib.error:
                raise Refused("it is damaged: it cannot be decompressed") from None
            encoded = self._member.unconsumed_tail
            if self._member.unused_data:
                encoded = self._member.unused_data
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if piece:
                yield piece
