"""Fetch an input that a client gave by reference: bounded in every respect that it could abuse.

Schemes, redirections, time, bytes and addresses have limits. A name is resolved once, and the
connection goes to the very address that was vetted, while Host, SNI and the certificate keep the
name: a second answer of the resolver changes nothing. Nothing of the environment (proxies, .netrc)
counts. Messages name neither the URL, which may hold a password, nor any address.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urljoin

from joblauncher.inputs.content import ENDED_EARLY, Rate, decoder
from joblauncher.inputs.deadline import Deadline
from joblauncher.inputs.policy import (
    Bounds,
    NotStored,
    Reference,
    Refused,
    Target,
    TooLarge,
    parse,
)
from joblauncher.inputs.resolve import vetted
from joblauncher.shared.files import amount

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_REDIRECTS = (301, 302, 303, 307, 308)
#: Most bytes of a request body that is itself fetched (``wps:BodyReference``).
BODY_LIMIT = 16 << 20


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
    with contextlib.closing(_Download(bounds, stop)) as download:
        response = download.send(reference)
        with _replacing(target) as file:
            for piece in download.content(response, bounds.max_bytes):
                file.write(piece)


def check_host(url: str, bounds: Bounds) -> None:
    """See whether one may connect to a URL's host: for whoever will open it without us.

    Raises:
        Refused: one may not, or nobody knows the host.
    """
    vetted(parse(url, bounds), bounds, Deadline(bounds, lambda: False))


def content_length(reference: Reference, bounds: Bounds) -> int:
    """How long its server says that it is, in bytes; 0 if it does not say.

    Raises:
        Refused: it cannot be had.
    """
    with contextlib.closing(_Download(bounds, lambda: False)) as download:
        return download.send(reference).length_remaining or 0


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another once it is whole.

    Raises:
        NotStored: it cannot be.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".fetch-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise NotStored(f"it cannot be stored: {error.strerror}") from None


class _Download:
    """One input on its way, over as many exchanges as it takes."""

    def __init__(self, bounds: Bounds, stop: Callable[[], bool]) -> None:
        from joblauncher.inputs.wire import Wire  # with urllib3: most jobs fetch nothing

        self._bounds, self._deadline = bounds, Deadline(bounds, stop)
        self._wire = Wire(bounds, self._deadline)

    def close(self) -> None:
        """Nothing more is wanted."""
        self._wire.end()

    def send(self, reference: Reference) -> BaseHTTPResponse:
        """Ask for it, and follow redirections; the answer whose content is the input."""
        body = None if reference.body is None else reference.body.encode()
        if reference.body_url:
            answer = self._follow(Reference(reference.body_url), None)
            body = b"".join(self.content(answer, min(BODY_LIMIT, self._bounds.max_bytes)))
        return self._follow(reference, body)

    def _follow(self, reference: Reference, body: bytes | None) -> BaseHTTPResponse:
        url, first, prefix = reference.url, parse(reference.url, self._bounds), ""
        for _ in range(self._bounds.redirects + 1):
            try:
                target = parse(url, self._bounds)
                headers = dict(reference.headers) if target.origin == first.origin else {}
                response = self._ask(target, headers, body)
            except Refused as error:
                raise type(error)(f"{prefix}{error}") from None
            location = next(iter(response.headers.getlist("Location")), "")
            if response.status not in _REDIRECTS or not location:
                return _accepted(response)
            if response.status == 303 or (response.status in (301, 302) and body is not None):
                body = None  # RFC 9110, section 15.4
            try:
                url = urljoin(url, location)
            except ValueError:
                raise Refused("its server redirects to an invalid URL") from None
            prefix = "after a redirection, "
        raise Refused(f"its server redirects more than {self._bounds.redirects} times")

    def _ask(
        self, target: Target, headers: Mapping[str, str], body: bytes | None
    ) -> BaseHTTPResponse:
        self._wire.close()
        hosts = [str(address) for address in vetted(target, self._bounds, self._deadline)]
        return self._wire.ask(target, hosts, headers, body)

    def content(self, response: BaseHTTPResponse, limit: int) -> Iterator[bytes]:
        """The decoded content, piece by piece, whole and not above the limit.

        Raises:
            Refused: it ends early, comes too slowly, or is encoded in an unknown way.
            TooLarge: it is longer, decoded or as it is sent.
        """
        too_large = TooLarge(f"it is larger than the {amount(limit)} allowed")
        received, size, rate = 0, 0, Rate(self._bounds)
        decode = decoder(response.headers.get("Content-Encoding", ""))
        if (response.length_remaining or 0) > limit:
            raise too_large
        while True:
            self._deadline.left()
            with rate.waiting():
                encoded = self._wire.read(response)
            self._deadline.left()  # a connection that was cut looks like the end
            rate.check(len(encoded))
            if not encoded:
                break
            received += len(encoded)
            if received > limit:
                raise too_large
            for piece in decode.feed(encoded):
                size += len(piece)
                if size > limit:
                    raise too_large
                yield piece
        if not decode.is_whole:
            raise Refused(ENDED_EARLY)


def _accepted(response: BaseHTTPResponse) -> BaseHTTPResponse:
    if 200 <= response.status < 300 and response.status != HTTPStatus.PARTIAL_CONTENT:
        return response
    try:
        phrase = f" ({HTTPStatus(response.status).phrase})"
    except ValueError:
        phrase = ""
    raise Refused(f"its server answered with HTTP status {response.status}{phrase}")
