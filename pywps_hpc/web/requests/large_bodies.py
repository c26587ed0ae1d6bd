"""What is taken out of a large body, and what remains of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from pywps.exceptions import InvalidParameterValue, NoApplicableCode

from joblauncher.inputs.large_values import Value

#: Bytes of a body from which on it passes the gate, and its values are taken out.
LARGE = 1 << 20
#: Bytes of a value that is taken out of a large body; bytes of what remains of it.
VALUE, REMAINS = 1024, 2 << 20


@dataclass
class Values:
    """What was taken out of a request.

    Attributes:
        body: the whole request.
        spans: where each is, from and to, by what stands in its place.
        found: what each is, likewise.
    """

    body: bytearray
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    found: dict[str, Value] = field(default_factory=dict)

    def write(self, file: BinaryIO) -> int:
        """Write them one after the other; how many bytes that was."""
        with memoryview(self.body) as view:
            for token, (start, end) in self.spans.items():
                self.found[token].offset = file.tell()
                file.write(view[start:end])
        return file.tell()


def too_much(what: str) -> InvalidParameterValue:
    """The answer to a body that would cost more than it may."""
    return InvalidParameterValue(f"The request has too many {what}.", "request")


def broken(what: str) -> NoApplicableCode:
    """The answer to a body that is not what it says to be."""
    return NoApplicableCode(f"The request is not {what}.", code=400)


def join(values: Values, quoted: bool) -> bytes:
    """The body with its large values replaced by what stands for them.

    Raises:
        InvalidParameterValue: too much is left.
    """
    quote, start = b'"' if quoted else b"", 0
    parts = []
    with memoryview(values.body) as view:
        if len(view) - sum(end - begin for begin, end in values.spans.values()) > max(
            REMAINS, 0 if values.spans else LARGE
        ):
            raise too_much("bytes outside of values")
        for token, (begin, end) in values.spans.items():
            parts += [bytes(view[start:begin]), quote, token.encode(), quote]
            start = end
        parts.append(bytes(view[start:]))
    return b"".join(parts)
