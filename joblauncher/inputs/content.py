"""The content of an answer: how fast it comes, and what it is before it was compressed."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator

from joblauncher.inputs.policy import Bounds, Refused

#: Most bytes of one piece.
PIECE = 1 << 16
ENDED_EARLY = "its server closed the connection early"
UNKNOWN_ENCODING = "its content encoding is not supported"


class Rate:
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


def decoder(encoding: str) -> Identity | Gzip:
    """What undoes a content coding (RFC 9110, section 8.4.1). None was asked for, but some servers
    hold compressed files.

    Raises:
        Refused: it is not supported.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return Identity()
        case "gzip" | "x-gzip":
            return Gzip()
    raise Refused(UNKNOWN_ENCODING)


class Identity:
    """Content that is as it was sent."""

    is_whole = True

    def feed(self, encoded: bytes) -> Iterator[bytes]:
        """The next piece."""
        yield encoded


class Gzip:
    """Decompresses in pieces of bounded size, one member after the other (RFC 1952). urllib3's own
    decoder takes a file that was cut, or is followed by something else, for a whole one."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def is_whole(self) -> bool:
        """Whether the last member has come to its end."""
        return self._member.eof

    def feed(self, encoded: bytes) -> Iterator[bytes]:
        """The next pieces.

        Raises:
            Refused: this is no such content.
        """
        piece = b""
        while encoded or len(piece) == PIECE:
            try:
                piece = self._member.decompress(encoded, PIECE)
            except zlib.error:
                raise Refused("it is damaged: it cannot be decompressed") from None
            encoded = self._member.unconsumed_tail
            if self._member.unused_data:
                encoded = self._member.unused_data
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if piece:
                yield piece
