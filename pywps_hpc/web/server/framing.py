"""One HTTP/1.1 request as it comes in over a connection (RFC 9112): where it ends, and its bounds.

No thread is spent on it before it is whole. The head stays in memory; of the body what is beyond
:data:`IN_MEMORY` goes to a temporary file, chunked bodies without their framing.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterator
from typing import IO

#: Bytes of a request line (with it a query), and of the header fields after it.
LINE, FIELDS = 256 << 10, 128 << 10
#: Bytes of a body that are kept in memory.
IN_MEMORY = 256 << 10
#: Bytes of a chunk's size line, and of all trailers (RFC 9112, section 7.1).
_CHUNK_LINE, _TRAILERS = 4096, 16 << 10
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")
_DIGITS = re.compile(rb"[0-9]{1,15}")


class Malformed(ValueError):
    """The request cannot be framed; the connection has to be closed.

    Attributes:
        status: HTTP status line's code and reason.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Incoming:
    """A request that is being received.

    Args:
        most: bytes of a body that are read; of a longer one no more than that and one.
        line: bytes of the request line.

    Attributes:
        head: request line and header fields, with the empty line after them once that is there.
        body: what follows, decoded.
        size: its bytes so far.
        whole: whether nothing more is to come, or to be read.
        cut: whether the client sends more than is read: nothing else can follow on the connection.
        continues: whether the client waits to be told to go on (``Expect: 100-continue``).
    """

    def __init__(self, most: int, line: int = LINE) -> None:
        self.most, self.line = most, line
        self.head = bytearray()
        self.body: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self.size = 0
        self.whole = self.cut = self.continues = False
        self.declared: int | None = None
        self._steps: Iterator[None] | None = None
        self._rest = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether the client has sent nothing yet."""
        return not self.head

    @property
    def spooled(self) -> int:
        """Bytes that are kept in a temporary file."""
        return self.size if self.size > IN_MEMORY else 0

    def feed(self, data: bytes) -> bytes:
        """Take what has come in.

        Returns:
            What follows the request.

        Raises:
            Malformed: it is not HTTP, or beyond the bounds of a head.
            OSError: there is no room for its body.
        """
        if self._steps is None:
            if not self.head:
                data = data.lstrip(b"\r\n")  # RFC 9112, section 2.2
            seen = max(0, len(self.head) - 3)
            self.head += data
            end = self.head.find(b"\r\n\r\n", seen)
            self._bound_head(end)
            if end < 0:
                return b""
            data = bytes(self.head[end + 4 :])
            del self.head[end + 4 :]
            self._steps = self._frame()
            next(self._steps, None)
        self._rest += data
        if not self.whole:
            next(self._steps, None)
        if not self.whole:
            return b""
        rest = b"" if self.cut else bytes(self._rest)
        self._rest.clear()
        return rest

    def close(self) -> None:
        """Forget the body."""
        self.body.close()

    def _bound_head(self, end: int) -> None:
        line = self.head.find(b"\r\n", 0, self.line + 2)
        if line < 0 and len(self.head) > self.line:
            raise Malformed(
                "414 URI Too Long",
                f"A request by GET may have {self.line} bytes. Send a longer one by POST.",
            )
        if line >= 0 and (len(self.head) if end < 0 else end) - line > FIELDS:
            raise Malformed("431 Request Header Fields Too Large", "The header is too large.")

    def _frame(self) -> Iterator[None]:
        """Read the body; each step takes what there is."""
        fields = _fields(self.head)
        lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
        self.continues = any(
            b"100-continue" in value.lower() for value in fields.get(b"expect", [])
        )
        if codings:
            if lengths or codings[-1].lower() != b"chunked" or len(codings) > 1:
                raise Malformed("400 Bad Request", "The length of the body is ambiguous.")
            yield from self._chunks()
        elif lengths:
            if len(set(lengths)) > 1 or not _DIGITS.fullmatch(lengths[0]):
                raise Malformed("400 Bad Request", "The length of the body is ambiguous.")
            self.declared = int(lengths[0])
            if self.declared > self.most:  # whoever answers needs none of it
                self.cut = True
            else:
                yield from self._take(self.declared)
        self.whole = True
        self.body.seek(0)

    def _take(self, length: int) -> Iterator[None]:
        while length:
            part = self._rest[:length]
            if not part:
                yield
                continue
            del self._rest[: len(part)]
            length -= len(part)
            if self.size + len(part) > self.most:
                part, self.cut = part[: self.most + 1 - self.size], True
            self.body.write(part)
            self.size += len(part)
            if self.cut:
                return

    def _chunks(self) -> Iterator[None]:
        while not self.cut:
            line = yield from self._line(_CHUNK_LINE)
            size = _HEX.fullmatch(line.split(b";")[0].strip(b" \t"))
            if size is None:
                raise Malformed("400 Bad Request", "A chunk of the body has no length.")
            length = int(size[0], 16)
            if not length:
                break
            yield from self._take(length)
            if not self.cut and (yield from self._line(2)):
                raise Malformed("400 Bad Request", "A chunk of the body is too long.")
        trailers = 0
        while not self.cut and (line := (yield from self._line(_TRAILERS))):
            trailers += len(line)
            if trailers > _TRAILERS:
                raise Malformed("431 Request Header Fields Too Large", "The trailer is too large.")

    def _line(self, most: int) -> Generator[None, None, bytes]:
        while (end := self._rest.find(b"\r\n", 0, most + 2)) < 0:
            if len(self._rest) >= most + 2:
                raise Malformed("400 Bad Request", "A line of the body is too long.")
            yield
        line = bytes(self._rest[:end])
        del self._rest[: end + 2]
        return line


def _fields(head: bytes | bytearray) -> dict[bytes, list[bytes]]:
    """Header fields that frame a message, by their names in small letters."""
    found: dict[bytes, list[bytes]] = {}
    for line in bytes(head).split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        for part in value.split(b","):
            found.setdefault(name.strip().lower(), []).append(part.strip())
    return found
