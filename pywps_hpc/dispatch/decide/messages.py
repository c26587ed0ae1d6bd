"""One sentence for each way in which a job can end without a result, for the user who waits."""

from __future__ import annotations

import re

from joblauncher.shared.exits import NOT_MINE, NOT_TOLD, OUT_OF_MEMORY, describe_signal
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Resources
from pywps_hpc.durations import clock_with_days

DISMISSED = "dismissed"
LINGERED = "ended by the service: the job had reported its end, but kept running"
LOST = "lost: the batch system no longer knows the job, and it left no result"
CANCELLED_OR_LOST = "cancelled while it waited, or lost: the batch system no longer knows the job"
NO_RESULT = "the job ended without leaving a result"
TWICE = "the batch system started the job a second time, while its first start had not ended"
FOLDER_GONE = "the job's folder was removed"
SETTINGS = "could not start: the service's settings for this process cannot be used"
UNCLEAR = "could not start: the batch system gave no clear answer to any of its submissions"
SIGNAL_SENT = (
    "received a stop signal that this service did not send: it may still run, or be stopped in part"
)
MAINTENANCE = "waits for the end of a maintenance: its queue is closed"
CANNOT_START = "waits, but cannot start as it stands: "

#: Most characters of a batch system's sentence that are kept with a job.
LONGEST = 200

#: What such a message begins with that tells of a job in the queue and passes with its cause.
OF_THE_QUEUE = (SIGNAL_SENT, MAINTENANCE, CANNOT_START)
# A path at the start of a word; "and/or" and "Access/permission" are none.
_PATH = re.compile(r"(?<![\w.])/[\w.+-]+(/[\w.+-]*)*")

#: Exit codes of a job whose launcher left nothing: 126 and 127 are the shell's own (POSIX.1, Shell
#: Command Language, 2.8.2), 72 is the batch script's, 255 Apptainer's.
EXIT_CODES = {
    72: "could not start: the shared file system is missing on the compute node",
    NOT_MINE: TWICE,
    NOT_TOLD: "the job could not write its result: the shared file system was full or read-only",
    126: "could not start: the compute node may not run the container runtime",
    127: "could not start: the container runtime or the interpreter is missing on the compute node",
    255: "could not start: the container could not be set up on the compute node",
}


def why(status: JobStatus, resources: Resources, peak_memory: float | None = None) -> str:
    """Why a job ended, in the batch system's view.

    Args:
        status: of a finished job.
        resources: what it had asked for.
        peak_memory: MiB that its largest process used at most, where known.
    """
    detail = f" ({status.detail})" if status.detail else ""
    match status.outcome:
        case Outcome.TIME_LIMIT:
            return f"killed: time limit {clock_with_days(resources.walltime)} reached"
        case Outcome.MEMORY_LIMIT:
            return _over_memory(amount(resources.memory), resources.memory, peak_memory)
        case Outcome.NODE_FAILURE:
            return f"the compute node failed{detail}"
        case Outcome.PREEMPTED:
            return f"stopped: the cluster needed its resources for other jobs{detail}"
        case Outcome.CANCELLED:
            return f"cancelled by an administrator of the cluster{detail}"
        case Outcome.COULD_NOT_START:
            return f"could not start{detail}"
        case Outcome.SIGNALLED if status.signal is not None:
            return f"killed by {describe_signal(status.signal)}"
        case Outcome.EXITED if status.exit_code == 0:
            return NO_RESULT
        case Outcome.EXITED if status.exit_code is not None:
            return exit_code(status.exit_code)
    return f"ended for a reason that the batch system does not give{detail}"


def _over_memory(asked: str, limit: float, peak: float | None) -> str:
    """For a job beyond its limit, which holds for all of its processes together: the launcher
    only knows what the largest of them used."""
    if not peak:
        return f"killed: used more than the {asked} asked for"
    if peak >= limit:
        return f"killed: one process used {amount(peak)}, more than the {asked} asked for"
    return f"killed: one process used {amount(peak)}, all together more than the {asked} asked for"


def out_of_memory(resources: Resources) -> str:
    """For a process that was refused more memory, as a limit on address space does."""
    return f"{OUT_OF_MEMORY}: {amount(resources.memory)} had been asked for"


def exit_code(code: int) -> str:
    """What an exit code other than 0 means where no launcher was left to explain it."""
    if code in EXIT_CODES:
        return EXIT_CODES[code]
    if 128 < code <= 128 + 64:
        return f"killed by {describe_signal(code - 128)}"
    return f"the job ended with exit code {code} without leaving a result"


def cannot_start(detail: str) -> str:
    """For a waiting job that can never start."""
    return CANNOT_START + plain(detail)


def refused(reason: str) -> str:
    """For a job that the batch system did not take."""
    return f"could not start: {without_paths(reason)}"


def postponed(reason: str) -> str:
    """For a job that the batch system does not take for now."""
    return f"waits: {without_paths(reason)}"


def without_paths(text: str) -> str:
    """A batch system's sentence without the names of its server's files."""
    return _PATH.sub("…", text)


def plain(text: str) -> str:
    """A batch system's sentence as clients are shown it: one line, not too long, no paths."""
    line = without_paths(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def amount(mebibytes: float) -> str:
    """An amount of memory, as the settings write it: ``2 GB``, ``512 MB``."""
    if mebibytes >= 1024:
        return f"{round(mebibytes / 1024, 1):g} GB"
    return f"{mebibytes:.0f} MB"
