"""What a client that waits on its connection gets: a document or raw output (WPS 1.0.0, 10.3).

The launcher leaves it in the job's folder, and the web server sends it from there. A file as raw
output is copied byte by byte, whatever its size; no document repeats it.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from joblauncher.shared import outcome
from joblauncher.shared.files import atomic_copy, atomic_write
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.literal_text import text_of_pywps

LOGGER = logging.getLogger("PYWPS")


class _WithData:
    """An output as PyWPS looks at it to find the format of its answer, but with other data."""

    def __init__(self, output: Any, data: bytes | str) -> None:
        self._output, self.data = output, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def leave(job: JobDir, response: Any) -> tuple[int, list[tuple[str, str]]]:
    """Let PyWPS make the answer, and leave its body in the job's folder.

    Args:
        job: its folder.
        response: an Execute response that is over.

    Returns:
        HTTP status and headers.

    Raises:
        OSError: it cannot be left.
    """
    from pywps.exceptions import NoApplicableCode
    from pywps.inout.basic import BasicLiteral
    from werkzeug.wrappers import Response

    environ = response.wps_request.http_request.environ
    outputs, output = response.outputs, _raw(response)
    if _is_file(output):
        response.outputs = {output.identifier: _WithData(output, b"")}
    elif isinstance(output, BasicLiteral) and not _is_json_wanted(response):
        written = text_of_pywps(output.data)
        if written != str(output.data):  # what Python shows is not its form
            response.outputs = {output.identifier: _WithData(output, written)}
    output = output if _is_file(output) else None
    try:
        answer = Response.from_app(response, environ)
    except Exception:  # e.g. raw output was asked for an output that there is not
        LOGGER.exception("the answer cannot be written")
        message = "The process succeeded, but the response that was asked for cannot be written."
        answer, output = NoApplicableCode(message, code=500).get_response(environ), None
    finally:
        response.outputs = outputs
    if output is not None:
        atomic_copy(output.file, job.response)
    else:
        atomic_write(job.response, answer.get_data())
    return answer.status_code, list(answer.headers)


def raw_size(response: Any) -> int:
    """Bytes of the output that is given as raw data; 0 if none is, or not known."""
    output = _raw(response)
    if output is None:
        return 0
    if _is_file(output):
        return os.stat(output.file).st_size
    data = None if getattr(output, "prop", "") == "url" else output.data
    return len(data) if isinstance(data, (str, bytes, bytearray)) else 0


def _raw(response: Any) -> Any:
    """The output of a success that was asked for as raw data; ``None`` if there is none."""
    request = response.wps_request
    if not request.raw or response.state != outcome.SUCCEEDED:
        return None
    return response.outputs.get(next(iter(request.outputs or ()), ""))


def _is_json_wanted(response: Any) -> bool:
    from pywps.app.basic import get_response_type

    request = response.wps_request
    asked = next(iter(request.outputs.values())).get("mimetype") or ""
    accepted = request.http_request.accept_mimetypes
    return "json" in asked or get_response_type(accepted, request.default_mimetype)[0]


def _is_file(output: Any) -> bool:
    from pywps.inout.basic import FileHandler

    is_file = type(getattr(output, "_iohandler", None)) is FileHandler
    return is_file and os.path.isfile(output.file)
