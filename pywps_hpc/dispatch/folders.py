"""Read what a job left in its folder.

The folder was open to the process, so nothing in it is taken for granted: not that a file is there,
nor that it is a file, nor that we may read or write there.
"""

from __future__ import annotations

import errno
import os

from joblauncher.shared import outcome, status_xml, stop_request
from joblauncher.shared.files import has_entries, make_usable, open_plain, read_plain
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.decide.evidence import Evidence, Left
from pywps_hpc.jobs import Cause
from pywps_hpc.spool import IDENTITY

#: Bytes at the end of a log in which the batch system's messages are looked for.
TAIL = 8192
#: What the launcher knows of why the process failed.
_CAUSES = {"process": Cause.PROCESS, "crashed": Cause.PROCESS, "input": Cause.INPUT}
#: Causes of a failure that may have a better reason. Our own is among them: a dispatcher that was
#: killed after it had written that decides anew.
_CUT_SHORT = outcome.PROVISIONAL | {"launcher", "crashed", "dispatcher"}


def exists(folder: JobDir) -> bool:
    """Whether the job has its folder still, which is made usable where its process took us the
    rights in it.

    Raises:
        OSError: that cannot be told, since the whole spool is not there (not mounted).
    """
    # Listing makes an NFS client ask its server anew instead of answering from its cache.
    try:
        make_usable(folder.path)
        has_entries(folder.path)
    except (FileNotFoundError, NotADirectoryError):
        # An empty folder is a file system that is not mounted.
        if IDENTITY not in os.listdir(folder.path.parent):
            raise FileNotFoundError(errno.ENOENT, "the spool is missing") from None
        return False
    return True


def look(folder: JobDir) -> Evidence:
    """Read a job's document and report.

    Raises:
        OSError: the spool is missing.
    """
    if not exists(folder):
        return Evidence()
    status = read_status(folder)
    facts = outcome.read(folder) or outcome.Report(job=folder.job_id, process="")
    return Evidence(
        left=_left(status, facts),
        message=facts.message if _is_provisional(facts) else status.message if status else "",
        closed=facts.finished > 0,
        begun=_has_begun(folder),
        stopped=facts.cause == "stopped",
        stop_signal=stop_request.read(folder),
        attempt=facts.attempt,
        out_of_memory=facts.cause == "memory",
        cause=_CAUSES.get(facts.cause, Cause.UNKNOWN),
        elapsed=facts.usage.get("elapsed_seconds"),
        cpu_seconds=_used(facts, "cpu_seconds"),
        peak_memory=_used(facts, "peak_memory_mib"),
        started=facts.started,
        finished=facts.finished,
    )


def _has_begun(folder: JobDir) -> bool:
    try:
        return bool(folder.attempts())
    except OSError:
        return True  # nobody knows


def _used(facts: outcome.Report, name: str) -> float | None:
    """What the process used; ``None`` where that is not known, or cannot be."""
    used = facts.usage.get(name, -1)
    return used if used >= 0 else None


def log_tail(folder: JobDir) -> str:
    """The end of the job's log; empty if it has none."""
    try:
        with open_plain(folder.log) as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL))
            return log.read(TAIL).decode(errors="replace")
    except OSError:
        return ""


def node(folder: JobDir) -> str:
    """On which node its container was to start; empty if nothing tells that."""
    try:
        return read_plain(folder.node, most=300).decode(errors="replace").strip()
    except OSError:
        return ""


def read_status(folder: JobDir) -> status_xml.Status | None:
    """The job's status document; ``None`` if there is none that can be read."""
    try:
        return status_xml.parse(read_plain(folder.status))
    except (OSError, status_xml.DocumentError):
        return None


def _left(status: status_xml.Status | None, facts: outcome.Report) -> Left:
    if status is None or status.state not in outcome.TERMINAL:
        return Left.CUT_SHORT if _is_provisional(facts) else Left.OPEN
    if status.state == outcome.SUCCEEDED:
        return Left.SUCCESS
    return Left.CUT_SHORT if facts.cause in _CUT_SHORT else Left.FAILURE


def _is_provisional(facts: outcome.Report) -> bool:
    return facts.state == outcome.FAILED and facts.cause in outcome.PROVISIONAL
