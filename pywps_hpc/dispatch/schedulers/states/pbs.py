"""What every PBS says of a job in the same terms: MOM's lines in its log, holds, exit statuses."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, SchedulerUnavailable

# MOM's lines in a job's log: "=>> PBS: job killed: walltime 73 exceeded limit 60".
LOG_LIMITS = {
    "walltime": Outcome.TIME_LIMIT,
    "cput": Outcome.TIME_LIMIT,
    "mem": Outcome.MEMORY_LIMIT,
    "pmem": Outcome.MEMORY_LIMIT,
    "vmem": Outcome.MEMORY_LIMIT,
    "pvmem": Outcome.MEMORY_LIMIT,
}
_LOG_LINE = re.compile(r"^=>> PBS: job killed: (\w+) .*exceeded limit", re.MULTILINE)

#: In the detail of a held job: who holds it (u: its owner, o: an operator, s: the server).
HOLD = re.compile(r"Hold_Types = (\w+)")
NO_HOLD = "n"
#: What the comment of a job that waits begins with.
_NOT_RUNNING = "Not Running"

#: 256 and the signal by which the server or MOM ended the job.
DELETED = {
    256 + signal.SIGTERM: Outcome.CANCELLED,
    256 + signal.SIGKILL: Outcome.CANCELLED,
}


def explain(log_tail: str) -> Outcome | None:
    """What MOM's last message in a job's log says about its end."""
    limits = _LOG_LINE.findall(log_tail)
    return LOG_LIMITS.get(limits[-1]) if limits else None


def held_by(record: Mapping[str, str]) -> str:
    """Who holds a job, as :data:`HOLD` reads it."""
    return f"Hold_Types = {record.get('Hold_Types', NO_HOLD)}"


def waits(comment: str) -> str:
    """Why a job waits, from its comment, which is a sentence already. Measured: that of an earlier
    start stays (``Job run at …``)."""
    told, _, sentence = comment.partition(":")
    if told.strip() != _NOT_RUNNING or not sentence.strip():
        return ""
    sentence = sentence.strip()
    return sentence[0].lower() + sentence[1:]


def exit_status(text: str) -> int:
    """A job's exit status.

    Raises:
        SchedulerUnavailable: it is no number.
    """
    if not re.fullmatch(r"-?\d+", text):
        raise SchedulerUnavailable(f"qstat's answer has the exit status {text!r}")
    return int(text)


def killer(code: int) -> int | None:
    """The signal that an exit status tells of. Measured: one from the server counts from 256, one
    that the script gave itself from 128."""
    number = code - 256 if code > 255 else code - 128
    return number if 0 < number <= signal.SIGRTMAX else None


def ended(code: int, outcome: Outcome | None, *, detail: str, starts: str) -> JobStatus:
    """How a job ended.

    Args:
        code: its exit status.
        outcome: what that means to this batch system; ``None``: nothing of its own.
        detail: the batch system's own text.
        starts: the number of its starts, as the batch system prints it.
    """
    signalled = killer(code)
    if outcome is None and signalled:
        outcome = Outcome.SIGNALLED
    elif outcome is None:
        outcome = Outcome.EXITED if code >= 0 else Outcome.UNKNOWN
    return JobStatus(
        Phase.FINISHED,
        outcome,
        exit_code=code if outcome is Outcome.EXITED else None,
        signal=signalled if outcome is Outcome.SIGNALLED else None,
        detail=detail,
        restarts=restarts(starts),
    )


def restarts(starts: str) -> int:
    """How often a job was started anew, from the number of its starts."""
    return max(0, int(starts) - 1) if starts.isdigit() else 0
