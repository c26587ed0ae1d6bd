"""``outcome.json``: the facts of a job's status document as data, for whatever is not XML."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from joblauncher.shared import status_xml
from joblauncher.shared.files import atomic_write, read_plain
from joblauncher.shared.jobdir import JobDir

#: Values of :attr:`Report.state`.
ACCEPTED, STARTED, SUCCEEDED, FAILED = "accepted", "started", "succeeded", "failed"
TERMINAL = frozenset({SUCCEEDED, FAILED})
#: Values of :attr:`Report.cause` for an end whose reason the batch system has to tell, or after
#: which it may start the job again: the status document is not terminal before it has.
PROVISIONAL = frozenset({"stopped", "killed", "memory"})
#: Bytes of a report that is read, and marks of structure in it, none of which a value is without: a
#: process can write one that takes thirty times its bytes when it is parsed.
MOST, MARKS = 2 << 20, 50_000
#: No number in a report comes near it; the year 36812 in seconds.
_LARGE = 1 << 40


@dataclass
class Report:
    """What is known of a job from the inside.

    Attributes:
        job: the job id.
        process: the process identifier.
        state: ``accepted``, ``started``, ``succeeded`` or ``failed``.
        percent: 0 to 100.
        message: for the user.
        cause: who found a failure: ``process`` (its handler raised), ``input`` (one could not be
            had, or is not what the process takes), ``crashed`` (its interpreter ended without a
            result), ``launcher`` (it could not be loaded), ``stopped`` (the batch system asked the
            job to end), ``killed`` (from outside, nobody here knows why), ``memory`` (it could get
            no more of it), or ``dispatcher`` (nothing was left on the node to say it). Empty unless
            failed; of a success, ``dispatcher`` means that it was told, and no launcher may change
            it.
        attempt: which start of the job this was, from 0.
        host: where it ran.
        started, finished: seconds since the epoch (UTC); 0 means not yet.
        exit_code: of the process's interpreter; ``None`` if it was killed or never started.
        signal: that killed it; ``None`` if none did.
        usage: ``cpu_seconds``, ``peak_memory_mib`` and ``elapsed_seconds`` of the process; of one
            that has several nodes only the last, since the launcher sees the first node alone.
        outputs: one mapping an output, with identifier, type, format and location or value; all
            without values, or none, if the report would be too large to be read.
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

    def is_final(self) -> bool:
        """Whether nothing can follow: neither the launcher's last facts nor a better reason."""
        over = self.state in TERMINAL and self.finished > 0
        return over and self.cause not in PROVISIONAL

    def content(self) -> bytes:
        """As JSON that :func:`read` takes."""
        facts = asdict(self) | {"message": status_xml.bounded(self.message)}
        fewer = [
            {name: value for name, value in output.items() if name != "data"}
            for output in self.outputs
        ]
        content = b""
        for outputs in (self.outputs, fewer, []):
            content = json.dumps(facts | {"outputs": outputs}, indent=1, default=str).encode()
            if not _is_costly(content):
                break
        return content

    def write(self, job: JobDir, *, durable: bool = True) -> None:
        """Replace the job's ``outcome.json``; ``durable`` as for :func:`.files.atomic_write`."""
        atomic_write(job.report, self.content(), durable=durable)


def read(job: JobDir) -> Report | None:
    """The job's report; ``None`` if it has none, or none that can be understood."""
    try:
        return load(job)
    except OSError:
        return None


def load(job: JobDir) -> Report | None:
    """The job's report; ``None`` if it cannot be understood.

    Raises:
        OSError: it cannot be read.
    """
    content = read_plain(job.report, MOST)
    if _is_costly(content):
        return None
    try:
        found = json.loads(content)
        facts = Report(**{f.name: found[f.name] for f in fields(Report) if f.name in found})
    except (ValueError, TypeError, RecursionError):
        return None
    if not _is_sound(facts):
        return None
    facts.message, facts.host = status_xml.bounded(facts.message), status_xml.bounded(facts.host)
    return facts


def _is_costly(content: bytes) -> bool:
    return len(content) > MOST or sum(map(content.count, (b"[", b"{", b",", b":"))) > MARKS


def _is_sound(facts: Report) -> bool:
    """Whether everything is of its kind: the process could write here, too."""
    texts = (facts.job, facts.process, facts.state, facts.message, facts.cause, facts.host)
    whole = [facts.percent, facts.attempt]
    whole += [number for number in (facts.exit_code, facts.signal) if number is not None]
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int) and abs(number) < _LARGE for number in whole)
        and _is_number(facts.started)
        and _is_number(facts.finished)
        and isinstance(facts.usage, dict)
        and all(_is_number(value) for value in facts.usage.values())
        and isinstance(facts.outputs, list)
        and all(isinstance(output, dict) for output in facts.outputs)
        and (facts.response is None or isinstance(facts.response, dict))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < _LARGE
