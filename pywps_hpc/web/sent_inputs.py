"""The inputs of a job as its client sent them, kept so that the job can be run again.

They stay in the job's folder, in which its process can write: whoever runs them again has them
checked like those of any other request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from joblauncher.shared.files import read_plain
from pywps_hpc.spool import JobDir, atomic_write
from pywps_hpc.web.requests import limits

#: Bytes of inputs that are kept; of larger ones nothing is.
MOST = 256 << 10

Given = dict[str, list[dict[str, Any]]]


def serialised(inputs: Mapping[str, Any] | None) -> bytes:
    """The inputs of a request, before PyWPS reads them; empty if they cannot be kept."""
    values = limits.values()
    if values is not None and values.found:
        return b""
    try:
        content = json.dumps(
            {name: [dict(value) for value in given] for name, given in (inputs or {}).items()}
        ).encode()
    except (TypeError, ValueError, RecursionError):
        return b""
    return content if len(content) <= MOST else b""


def keep(job: JobDir, content: bytes) -> None:
    """Keep what :func:`serialised` made.

    Raises:
        OSError: it cannot be written.
    """
    if content:
        atomic_write(job.sent, content, mode=0o400)


def of(job: JobDir) -> Given | None:
    """The inputs of a job; ``None`` if they were not kept."""
    try:
        told = json.loads(read_plain(job.sent, MOST))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not all(map(_is_given, told.values())):
        return None
    return told


def _is_given(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)
