"""What a request may cost before anybody reads it: bytes, elements, values, depth.

A document in XML or JSON takes many times its bytes when it is read. So it is looked through first:
what structure there is has a bound, and large values are taken out of it and left as they are
(:mod:`joblauncher.inputs.large_values`). Then the reader's memory does not depend on the client.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from pywps import configuration
from pywps.exceptions import FileSizeExceeded, InvalidParameterValue
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request
from werkzeug.wsgi import get_input_stream

from joblauncher.inputs.large_values import Value
from joblauncher.shared.files import amount
from pywps_hpc.web.errors import Busy
from pywps_hpc.web.requests import json_limits, xml_limits
from pywps_hpc.web.requests.large_bodies import LARGE, Values, broken

#: Bytes of a single value in the request that PyWPS's own XML parser took at most; beyond them
#: ``[server] maxsingleinputsize`` counts.
SINGLE = 10 << 20
#: Parts of a query, and separators in its values.
PARAMETERS, SEPARATORS = 1000, 20_000
#: Large bodies that wait for their turn in one process, beside the one that has it.
QUEUE = 4

_current: ContextVar[Values | None] = ContextVar("values of the request", default=None)
_has_turn: ContextVar[bool] = ContextVar("whether this request has the turn", default=False)
_turn, _queue = threading.Lock(), threading.BoundedSemaphore(QUEUE + 1)
_KNOWN = re.compile(r"(?i)(utf-?(8|16|32)|us-|ascii|iso|windows|cp|latin|koi8|gb|big5|euc|shift)")


def taken_out(text: Any) -> bool:
    """Whether this stands in the place of a large value of the request that is being read."""
    values = _current.get()
    return values is not None and isinstance(text, str) and text in values.found


def in_base64(token: str) -> None:
    """Note that a large value is in base64."""
    values = _current.get()
    assert values is not None
    values.found[token].base64 = True


def values() -> Values | None:
    """The large values of the request that is being read."""
    return _current.get()


def take_out(quoted: bytearray) -> str:
    """Keep a large value out of the request that is being read; what stands in its place.

    Args:
        quoted: the value as a string of JSON, with its quotes; not to be used any more.
    """
    held, start = _current.get(), 0
    if held is None:
        held = Values(quoted)
        _current.set(held)
    else:
        start = len(held.body)
        held.body += quoted
    token = f"{secrets.token_hex(16)}-{len(held.spans)}"
    held.spans[token] = (start, len(held.body))
    held.found[token] = Value(0, len(quoted), "json")
    return token


def put_back(held: Values) -> None:
    """Let the request that is being read have large values that were taken out of another one."""
    _current.set(held)


def largest_value() -> int:
    """Bytes of a single value, by ``[server] maxsingleinputsize``."""
    return _single()


def largest_request() -> int:
    """Bytes of a request, by ``[server] maxrequestsize``."""
    return _bytes("maxrequestsize")


def _bytes(key: str) -> int:
    return int(configuration.get_size_mb(configuration.get_config_value("server", key)) * (1 << 20))


@contextlib.contextmanager
def turn(request: Request, retry_after: int) -> Iterator[None]:
    """While a request is read and accepted: large ones one after the other.

    Raises:
        Busy: too many of them wait.
    """
    if request.method == "POST" and (request.content_length or LARGE) >= LARGE:
        if not _queue.acquire(blocking=False):
            raise Busy("Too many large requests are arriving now. Please try later.", retry_after)
        _turn.acquire()
        _has_turn.set(True)
    try:
        yield
    finally:
        end_turn()


def end_turn() -> None:
    """Let the next one begin, and forget what was taken out of this request."""
    _current.set(None)
    if _has_turn.get():
        _has_turn.set(False)
        _turn.release()
        _queue.release()


def read_body(request: Request) -> None:
    """Read the body of a POST request, bound it, and put what remains of it in its place.

    Raises:
        FileSizeExceeded: it is longer than ``[server] maxrequestsize``, or a value in it is longer
            than ``maxsingleinputsize``.
        NoApplicableCode: it has too much structure, or is not what it says to be.
    """
    if request.method != "POST":
        check_query(str(request.environ.get("QUERY_STRING", "")))
        return
    body = _whole(request, largest_request())
    remains: bytes | bytearray = body
    if body:
        is_json = "json" in (request.content_type or "")
        values = Values(_in_utf8(body, is_json))
        del body
        remains = (json_limits if is_json else xml_limits).reduce(values, _single())
        if values.found:
            _current.set(values)
    request.environ["wsgi.input"] = io.BytesIO(remains)
    # PyWPS asks for the length, which a chunked message does not have (RFC 9112, section 6.3).
    request.environ["CONTENT_LENGTH"] = str(len(remains))
    request.environ.pop("HTTP_TRANSFER_ENCODING", None)


def check_query(query: str) -> None:
    """Bound a query.

    Raises:
        InvalidParameterValue: it has too many parts.
    """
    lower = query.lower()
    separators = sum(lower.count(part) for part in (";", "%3b", "@", "%40"))
    if query.count("&") > PARAMETERS or separators > SEPARATORS:
        raise InvalidParameterValue("The query has too many parameters or values.", "DataInputs")


def _single() -> int:
    megabytes = _bytes("maxsingleinputsize")
    return max(megabytes, SINGLE) if megabytes > 0 else 1 << 62


def _whole(request: Request, limit: int) -> bytearray:
    """The body, of which no second copy is made on the way; one that is too long is not read."""
    body = bytearray()
    with contextlib.suppress(RequestEntityTooLarge):
        if (request.content_length or 0) <= limit:
            stream = get_input_stream(request.environ, max_content_length=limit + 1)
            while part := stream.read(min(LARGE, limit + 1 - len(body))):
                body += part
            if len(body) <= limit:
                return body
    raise FileSizeExceeded(f"The request is larger than the {amount(limit)} allowed.")


def _in_utf8(body: bytearray, is_json: bool) -> bytearray:
    """The same text in UTF-8, piece by piece (XML 1.0, appendix F; RFC 8259, section 8.1).

    Raises:
        NoApplicableCode: it is not in the encoding that it says.
    """
    start = bytes(body[:200])
    encoding: str = json.detect_encoding(start)
    if not is_json and encoding in ("utf-8", "utf-8-sig"):
        told = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)", start)
        encoding = told[1].decode() if told else "utf-8"
    try:
        name = codecs.lookup(encoding).name
        if not _KNOWN.match(name):
            raise LookupError
        if name in ("utf-8", "ascii", "utf-8-sig"):
            return body
        decoder = codecs.getincrementaldecoder(name)()
        found = bytearray()
        with memoryview(body) as view:
            for place in range(0, len(view), LARGE):
                found += decoder.decode(view[place : place + LARGE]).encode()
        found += decoder.decode(b"", True).encode()
    except (LookupError, UnicodeError):
        raise broken("in a supported encoding") from None
    declared = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\?>", found[:400])
    if declared is not None:
        del found[: declared.end()]
    return found
