"""A job's log for its owner: what its process wrote, as plain text that does nothing where it is
shown.

A log grows while the job runs, and may be larger than anybody wants at once: an answer has
:data:`MOST` bytes of it at most, by default the last ones, and a client that asks for a range
(RFC 9110, section 14) may walk through all of it, or follow its end. Whatever is not printable is
replaced by as many question marks as it has bytes: places in the answer are places in the file.
"""

from __future__ import annotations

from typing import BinaryIO

from werkzeug.wrappers import Request, Response

from joblauncher.shared import storage
from joblauncher.shared.files import open_plain
from pywps_hpc.spool import JobDir
from pywps_hpc.web import health, lookup
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy, NotFound

#: Bytes of a log in one answer.
MOST = 1 << 20
#: Bytes that a character of UTF-8 may have before or behind one of its own.
_MARGIN = 3
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-store",
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
}


def response(service: Context, request: Request, access: str) -> Response:
    """The log of a job: its end, or the range that is asked for.

    Raises:
        NotFound: there is no such job, or not for this client; or it has no log.
        Busy: the storage is in trouble.
    """
    _, job = lookup.find(service, request, access)
    try:
        file = open_plain(job.log)
    except FileNotFoundError:
        health.require_spool(service)
        raise NotFound("The job has not written a log yet.") from None
    except OSError as error:
        if trouble := storage.trouble(error):
            message = f"The job's log cannot be read now: {trouble}."
            raise Busy(message, service.settings.retry_after, "storage") from None
        raise NotFound("The job has no log that can be read.") from None
    with file:
        return _response_of(file, request)


def tail(job: JobDir, most: int) -> str:
    """The last lines of a job's log, ``most`` bytes at most; empty if there is nothing to read.

    Raises:
        OSError: the storage is in trouble.
    """
    try:
        file = open_plain(job.log)
    except OSError as error:
        if storage.trouble(error):
            raise
        return ""
    with file:
        size = file.seek(0, 2)
        start = max(0, size - most)
        body = _part(file, start, size)
    if start:
        body = body[body.find(b"\n") + 1 :]
    return body.decode("utf-8", "replace")


def _response_of(file: BinaryIO, request: Request) -> Response:
    size = file.seek(0, 2)
    wanted = request.range
    if wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1:
        found = wanted.range_for_length(size)
        if found is None:
            return Response(status=416, headers=_HEADERS | {"Content-Range": f"bytes */{size}"})
        start, stop = found
        if wanted.ranges[0][0] < 0:  # its last bytes
            start = max(start, stop - MOST)
        stop = min(stop, start + MOST)
        place = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return Response(_part(file, start, stop), 206, _HEADERS | place)
    start = max(0, size - MOST)
    body = _part(file, start, size)
    if start:
        cut = body.find(b"\n") + 1  # the first line that is whole
        notice = f"({start + cut} bytes before this line are not shown; a range of them may be)\n"
        body = notice.encode() + body[cut:]
    return Response(body, 200, _HEADERS)


def _part(file: BinaryIO, start: int, stop: int) -> bytes:
    """The bytes from ``start`` to before ``stop``, as they are shown."""
    begin = max(0, start - _MARGIN)
    file.seek(begin)
    data = file.read(stop + _MARGIN - begin)
    return harmless(data)[start - begin : stop - begin]


def harmless(data: bytes) -> bytes:
    """A text of the same length that moves no cursor, sets no colour and turns no direction."""
    text = data.decode("utf-8", "surrogateescape")
    text = text.replace("\r\n", " \n").replace("\r", "\n")  # how programs draw progress
    return "\n".join(map(_line, text.split("\n"))).encode()


def _line(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() or sign == "\t" else _marks(sign) for sign in line)


def _marks(sign: str) -> str:
    return "?" * len(sign.encode("utf-8", "surrogateescape"))
