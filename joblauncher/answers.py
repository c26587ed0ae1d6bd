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

LOGGER = logging.getLogger("PYWPS")


class _WithoutData:
    """An output as PyWPS looks at it to find the format of its answer, but no data."""

    data = b""

    def __init__(self, output: Any) -> None:
        self._output = output

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
    from werkzeug.wrappers import Response

    environ = response.wps_request.http_request.environ
    outputs, output = response.outputs, _raw(response)
    output = output if _is_file(output) else None
    if output is not None:
        response.outputs = {output.identifier: _WithoutData(output)}
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


def _is_file(output: Any) -> bool:
    from pywps.inout.basic import FileHandler

    is_file = type(getattr(output, "_iohandler", None)) is FileHandler
    return is_file and os.path.isfile(output.file)
