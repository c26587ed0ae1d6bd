"""XML 1.0 looked through before it is read: how many elements, attributes and names, how deep."""

from __future__ import annotations

import re
import secrets
from xml.parsers import expat

from pywps.exceptions import FileSizeExceeded

from joblauncher.inputs.large_values import Value
from joblauncher.shared.files import amount
from pywps_hpc.web.errors import DoctypeRefused
from pywps_hpc.web.requests.large_bodies import LARGE, VALUE, Values, broken, join, too_much

#: Tags, attributes and the like outside of values; attributes of one element.
ITEMS, ATTRIBUTES = 20_000, 1000
#: Tags of a value that is taken out however few its bytes are.
TAGS = 1000
#: Different names, and bytes of them all; bytes of a tag or comment; how deep elements are nested.
NAMES, NAMES_SIZE, TAG, DEPTH = 10_000, 1 << 20, 1 << 20, 200
#: Elements with a value, and how deep they are: Execute/DataInputs/Input/Data/ComplexData (WPS
#: 1.0.0, table 21); Execute/Input/Data (WPS 2.0, 14-065, table 48).
_VALUES = {b"ComplexData": 5, b"LiteralData": 5, b"Data": 3}
#: What stands around a value in such an element, and is none of it (WPS 2.0).
_WITHIN = (b"LiteralValue", b"ComplexData")
_DEEPEST = max(_VALUES.values())
#: A start tag. What one part takes no other one could, so a long one is looked at once.
_START = re.compile(
    rb"<([^\s<>/!?=\"'&;]+)(?=[\s/>])"
    rb"([^<>\"']*(?:\"[^\"<]*\"[^<>\"']*|'[^'<]*'[^<>\"']*){0,%d})>" % ATTRIBUTES
)
_QUOTED = re.compile(rb"\"[^\"]*\"|'[^']*'")


def reduce(values: Values, single: int) -> bytes:
    """Take large values out of an Execute document; see :func:`json_limits.reduce`."""
    _Look(values, single).through()
    if values.spans:
        _check(values.body)
    return join(values, quoted=False)


class _Look:
    def __init__(self, values: Values, single: int) -> None:
        self.values, self.body, self.single = values, values.body, single
        self.mark = secrets.token_hex(16)
        self.names: set[bytes] = set()
        self.names_size = 0
        self.items = 0  # outside of values
        self.inside = self.top = 0  # tags of a value, and those right in it
        self.begun = 0  # where the value begins that we are in; 0: in none
        self.level = 0  # how deep the element is that holds it
        self.scope: list[dict[bytes, bytes]] = []  # namespaces of the elements around it

    def through(self) -> None:
        """Go from tag to tag."""
        body, place, depth = self.body, 0, 0
        while (start := body.find(b"<", place)) >= 0:
            kind = bytes(body[start + 1 : start + 2])
            if kind == b"!":
                place = self._declaration(start)
            elif kind == b"?":
                place = self._until(start, b"?>")
            elif kind == b"/":
                place = self._until(start, b">")
                depth -= 1
                if self.begun and depth == self.level - 1:
                    self._take(start)
                if depth < len(self.scope):
                    self.scope.pop()
            else:
                tag = _START.match(body, start, start + TAG)
                if tag is None:
                    raise too_much("attributes, or is not well-formed")
                place = tag.end()
                self._tag(tag, depth)
                depth += not tag[2].endswith(b"/")
            if not 0 <= depth <= DEPTH:
                raise too_much("nested elements, or is not well-formed")
            self._count()

    def _count(self) -> None:
        if self.begun:
            self.inside += 1
        else:
            self.items += 1
            if self.items > ITEMS:
                raise too_much("elements or attributes")

    def _declaration(self, start: int) -> int:
        if self.body.startswith(b"<!--", start):
            return self._until(start, b"-->", 4)
        if self.body.startswith(b"<![CDATA[", start):
            end = self.body.find(b"]]>", start)
            if end < 0:
                raise broken("well-formed XML")
            return end + 3
        raise DoctypeRefused

    def _until(self, start: int, end: bytes, skip: int = 2) -> int:
        found = self.body.find(end, start + skip, start + TAG)
        if found < 0:
            raise broken("well-formed XML")
        return found + len(end)

    def _tag(self, tag: re.Match[bytes], depth: int) -> None:
        self._name(tag[1])
        pairs = _attributes(tag[2]) if b"=" in tag[2] else []
        for name, _ in pairs:
            self._name(name)
        opened = not tag[2].endswith(b"/")
        local = tag[1].rpartition(b":")[2]
        wraps = self.level == 3 and depth == 3 and not self.top and local in _WITHIN
        if self.begun and not (opened and wraps):
            self.top += depth == self.level
            return
        self.items += len(pairs)
        if opened and depth < _DEEPEST:
            declared = {name: value for name, value in pairs if name.startswith(b"xmlns")}
            self.scope.append(declared)
            if self.begun or _VALUES.get(local) == depth + 1:
                self.begun, self.level = tag.end(), depth + 1
                self.inside = self.top = 0

    def _name(self, name: bytes) -> None:
        if name not in self.names:
            self.names.add(name)
            self.names_size += len(name)
            if len(self.names) > NAMES or self.names_size > NAMES_SIZE:
                raise too_much("different names")

    def _take(self, end: int) -> None:
        """Take the value out that ends here, if it is large."""
        begun, self.begun = self.begun, 0
        length = end - begun
        if length > self.single:
            raise FileSizeExceeded(f"A value is larger than the {amount(self.single)} allowed.")
        if self.inside <= TAGS and not (len(self.body) > LARGE and length > VALUE):
            self.items += self.inside
            return
        if self.top > 1:
            raise too_much("elements in one value")
        scope: dict[bytes, bytes] = {}
        for declared in self.scope:
            scope |= declared
        namespaces = b"".join(b" %s=%s" % pair for pair in scope.items()).decode("utf-8", "replace")
        token = f"{self.mark}-{len(self.values.spans)}"
        self.values.spans[token] = (begun, end)
        self.values.found[token] = Value(0, length, "xml", namespaces)


def _attributes(text: bytes) -> list[tuple[bytes, bytes]]:
    """Names and quoted values in a tag."""
    before = _QUOTED.split(text)
    names = ((part.rstrip(b"= \t\r\n").split() or [b""])[-1] for part in before)
    return list(zip(names, _QUOTED.findall(text), strict=False))


def _check(body: bytearray) -> None:
    """See that the whole is well-formed, though only a part will be read.

    Raises:
        NoApplicableCode: it is not.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    try:
        with memoryview(body) as view:
            for place in range(0, len(view), LARGE):
                parser.Parse(view[place : place + LARGE], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise broken(f"well-formed XML: {error}") from None
