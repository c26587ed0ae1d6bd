"""``outcome.json``: the facts of a job's status document as data, for whatever is not XML."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from joblauncher.jobdir import JobDir, atomic_write

#: Values of :attr:`Report.state`.
ACCEPTED, STARTED, SUCCEEDED, FAILED = "accepted", "started", "succeeded", "failed"
TERMINAL = frozenset({SUCCEEDED, FAILED})


@dataclass
class Report:
    """What is known of a job from the inside.

    Attributes:
        job: the job id.
        process: the process identifier.
        state: ``accepted``, ``started``, ``succeeded`` or ``failed``.
        percent: 0 to 100.
        message: words for the user.
        cause: who found a failure: ``process`` (its handler raised), ``launcher`` (it crashed, was
            killed, could not be loaded), ``stopped`` (the batch system ended the job), or
            ``dispatcher`` (nothing was left on the node to say it). Empty unless failed.
        attempt: which start of the job this was, from 0.
        host: where it ran.
        started, finished: seconds since the epoch (UTC); 0 means not yet.
        exit_code: of the process's interpreter; ``None`` if it was killed or never started.
        signal: that killed it; ``None`` if none did.
        usage: ``cpu_seconds``, ``peak_memory_mib`` and ``elapsed_seconds`` of the process.
        outputs: one mapping an output, with identifier, type, format and location or value.
        response: HTTP status and headers of the answer to a synchronous Execute.
    """

    job: str
    process: str
    state: str = ACCEPTED
    percent: int = 0
    message: str = ""
    cause: str = ""
    attempt: int = 0
    host: str = ""
    started: float = 0.0
    finished: float = 0.0
    exit_code: int | None = None
    signal: int | None = None
    usage: dict[str, float] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    response: dict[str, Any] | None = None

    def write(self, job: JobDir) -> None:
        """Replace the job's ``outcome.json``."""
        content = json.dumps(asdict(self), indent=1, default=str).encode()
        atomic_write(job.report, content)


def read(job: JobDir) -> Report | None:
    """The job's report; ``None`` if it has none, or none that can be understood."""
    try:
        found = json.loads(job.report.read_bytes())
        return Report(**{f.name: found[f.name] for f in fields(Report) if f.name in found})
    except (OSError, ValueError, TypeError):
        return None
