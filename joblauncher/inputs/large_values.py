"""Large values of a request, which the web server leaves as the client sent them.

It takes them out of the request before that is read, and writes them to one file of the job; here
they are decoded and put back, so that a process finds its inputs as if nothing had happened.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from lxml import etree
from pywps.exceptions import InvalidParameterValue

from joblauncher.inputs.errors import InputUnavailable
from joblauncher.shared.files import open_plain
from joblauncher.shared.jobdir import JobDir

#: Characters or bytes of a value that are decoded at once.
_PART = 1 << 20


@dataclass
class Value:
    """A value as it stood in a request.

    Attributes:
        offset, length: bytes in the job's file of values.
        kind: ``xml``, the content of an element in UTF-8; or ``json``, a string with its quotes.
        namespaces: declarations around that content, as attributes of an element.
        base64: whether the text is in base64.
    """

    offset: int
    length: int
    kind: str
    namespaces: str = ""
    base64: bool = False


def restore(
    job: JobDir, inputs: Mapping[str, Iterable[Any]], facts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give inputs their values back.

    Args:
        inputs: of the request.
        facts: members of :class:`Value`, by what stands in the value's place.

    Raises:
        InputUnavailable: one cannot be decoded, or does not fit its input.
        OSError: the file is gone.
    """
    if not facts:
        return
    values = {token: Value(**members) for token, members in facts.items()}
    with open_plain(job.values) as file:
        for item in (item for items in inputs.values() for item in items):
            handler = item._iohandler
            held = getattr(handler, "_data", None)
            value = values.get(held) if isinstance(held, str) else None
            if value is None:
                continue
            name = str(item.identifier)
            handler._data = _decode(file, value, name)
            try:
                item._check_valid()
            except InvalidParameterValue as error:
                raise InputUnavailable(f"input {name}: {error.description}", name) from None


def element_value(element: etree._Element) -> str:
    """What complex data holds: one element as XML, or text; comments are no part of it.

    Raises:
        ValueError: it holds more than that.
    """
    inside = list(element.iterchildren(etree.Element))
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    if not inside:
        return text
    if len(inside) > 1 or text.strip():
        raise ValueError("more than one element, or an element and text")
    return str(etree.tostring(inside[0], encoding=str, with_tail=False))


def _decode(file: BinaryIO, value: Value, name: str) -> Any:
    """A value, of which no more than two copies are in memory at once."""
    file.seek(value.offset)
    try:
        text = _of_json(file, value) if value.kind == "json" else _of_xml(file, value)
        return of_base64(text) if value.base64 else text
    except (binascii.Error, UnicodeEncodeError):
        raise InputUnavailable(f"input {name}: it is not valid base64.", name) from None
    except (ValueError, etree.XMLSyntaxError):
        raise InputUnavailable(
            f"input {name}: it is neither text nor one XML element.", name
        ) from None


def _of_json(file: BinaryIO, value: Value) -> str:
    quoted = file.read(value.length).decode("utf-8", "surrogatepass")
    return str(json.loads(quoted))


def _of_xml(file: BinaryIO, value: Value) -> str:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=True, encoding="UTF-8"
    )
    parser.feed(f"<value{value.namespaces}>".encode())
    for part in _parts(file, value.length):
        parser.feed(part)
    parser.feed(b"</value>")
    return element_value(parser.close())


def _parts(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (part := file.read(min(_PART, length))):
        length -= len(part)
        yield part


def of_base64(text: str) -> bytes:
    """The bytes of a text in base64 (RFC 4648, section 4), which may be wrapped.

    Raises:
        binascii.Error, UnicodeEncodeError: it is not.
    """
    found, rest, is_padded = io.BytesIO(), b"", False
    for place in range(0, len(text), _PART):
        part = rest + text[place : place + _PART].encode("ascii").translate(None, b" \t\r\n")
        if part and is_padded:
            raise binascii.Error("it goes on after its padding")
        whole = len(part) // 4 * 4
        found.write(base64.b64decode(part[:whole], validate=True))
        rest, is_padded = part[whole:], is_padded or b"=" in part[:whole]
    if rest:  # Python 3.10 takes a lone "=" for nothing
        raise binascii.Error("its length is no multiple of 4")
    return found.getvalue()
