"""The inputs of a job as its client sent them, kept so that the job can be run again.

They stay in the job's folder, in which its process can write: whoever runs them again has them
checked like those of any other request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from joblauncher.inputs.large_values import Value
from joblauncher.shared.files import read_plain, write_new
from pywps_hpc.spool import JobDir
from pywps_hpc.web.requests import limits
from pywps_hpc.web.requests.large_bodies import Values

#: Bytes of inputs that are kept, and of their large values; where there are more, nothing is.
MOST, MOST_VALUES = 256 << 10, 8 << 20

Given = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Sent:
    """The inputs of a job.

    Attributes:
        inputs: in PyWPS's dictionaries, before PyWPS has read them.
        held: the large values that were taken out of them; ``None`` if there are none.
    """

    inputs: Given
    held: Values | None = None


def serialised(inputs: Mapping[str, Any] | None) -> bytes:
    """The inputs of a request, before PyWPS reads them; empty if they cannot be kept."""
    held = limits.values()
    found = held.found if held is not None else {}
    if sum(value.length for value in found.values()) > MOST_VALUES:
        return b""
    plain = {name: [dict(value) for value in given] for name, given in (inputs or {}).items()}
    values = {token: asdict(value) for token, value in found.items()}
    try:
        content = json.dumps({"inputs": plain, "values": values}).encode()
    except (TypeError, ValueError, RecursionError):
        return b""
    return content if len(content) <= MOST else b""


def keep(job: JobDir, content: bytes) -> None:
    """Keep what :func:`serialised` made, and the large values of the request that is being read.

    Nobody waits until they are on disk: what a power failure leaves of them counts as nothing.

    Raises:
        OSError: they cannot be written.
    """
    if not content:
        return
    held = limits.values()
    if held is not None and held.found:
        parts = (held.body[start:end] for start, end in held.spans.values())
        write_new(job.sent_values, b"".join(parts), mode=0o400, durable=False)
    write_new(job.sent, content, mode=0o400, durable=False)


def are_kept(job: JobDir) -> bool:
    """Whether the inputs of a job were kept: told by a name, without a look at the content."""
    return os.path.lexists(job.sent)


def of(job: JobDir) -> Sent | None:
    """The inputs of a job; ``None`` if they were not kept."""
    try:
        told = json.loads(read_plain(job.sent, MOST))
        inputs, facts = told["inputs"], told["values"]
        if not all(isinstance(value, dict) for given in inputs.values() for value in given):
            return None
        return Sent(inputs, _held(job, facts) if facts else None)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _held(job: JobDir, facts: Mapping[str, Mapping[str, Any]]) -> Values:
    held, place = Values(bytearray(read_plain(job.sent_values, MOST_VALUES))), 0
    for token, members in facts.items():
        value = Value(0, int(members["length"]), str(members["kind"]), str(members["namespaces"]))
        held.found[token] = value
        held.spans[token] = (place, place + value.length)
        place += value.length
        if value.length < 0 or place > len(held.body):
            raise ValueError("these are not the values of those inputs")
    return held
