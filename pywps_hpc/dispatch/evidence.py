"""What a job left in its folder, and the last word that is left there for it.

The folder was open to the process, so nothing in it is taken for granted: not that a file is there,
nor that it is a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from joblauncher import documents, report
from joblauncher.jobdir import JobDir, atomic_write
from pywps_hpc.dispatch.reconcile import Evidence, Left

#: Bytes at the end of a log in which the batch system's own words are looked for.
TAIL = 8192
#: Causes of a failure that may have a better reason. Our own words count among them: a dispatcher
#: that was killed after it had left them decides anew.
_CUT_SHORT = ("stopped", "launcher", "dispatcher")


def exists(folder: JobDir) -> bool:
    """Whether the job has its folder still.

    Raises:
        OSError: that cannot be told, since the whole spool is not there (not mounted).
    """
    # Listing makes an NFS client ask its server anew instead of answering from its cache.
    try:
        os.listdir(folder.path)
    except FileNotFoundError:
        with os.scandir(folder.path.parent) as spool:
            if next(spool, None) is None:
                raise FileNotFoundError(errno.ENOENT, "the spool is empty") from None
        return False
    return True


def look(folder: JobDir) -> Evidence:
    """Read a job's document and report.

    Raises:
        OSError: the spool is not there.
    """
    if not exists(folder):
        return Evidence()
    status = _status(folder)
    facts = report.read(folder) if _is_plain(folder.report) else None
    if facts is None:
        facts = report.Report(job=folder.job_id, process="")
    usage = facts.usage if isinstance(facts.usage, dict) else {}
    started, finished = _number(facts.started) or 0.0, _number(facts.finished) or 0.0
    return Evidence(
        left=_left(status, facts),
        words=status.message if status else "",
        closed=finished > 0,
        stopped=facts.cause == "stopped",
        elapsed=_number(usage.get("elapsed_seconds")),
        peak_memory=_number(usage.get("peak_memory_mib")),
        started=started,
        finished=finished,
    )


def log_tail(folder: JobDir) -> str:
    """The end of the job's log; empty if it has none."""
    if not _is_plain(folder.log):
        return ""
    try:
        with folder.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL))
            return log.read(TAIL).decode(errors="replace")
    except OSError:
        return ""


def replace(folder: JobDir, process: str, words: str, now: float) -> bool:
    """Leave a document and a report of failure. To be called only when nobody else writes there.

    Args:
        folder: of the job.
        process: its identifier.
        words: why it failed.
        now: seconds since the epoch.

    Returns:
        False if the document says by now that the job succeeded; then nothing is changed.

    Raises:
        OSError: they could not be written.
        joblauncher.documents.DocumentError: there is no document to build on.
    """
    if not _is_plain(folder.status):
        raise documents.DocumentError("there is no status document")
    document = folder.status.read_bytes()
    with contextlib.suppress(documents.DocumentError):
        if documents.parse(document).state == report.SUCCEEDED:
            return False
    status = documents.Status(report.FAILED, 100, words)
    atomic_write(folder.status, documents.replace(document, status))
    facts = report.read(folder) if _is_plain(folder.report) else None
    facts = facts or report.Report(job=folder.job_id, process=process)
    facts.state, facts.percent, facts.message = report.FAILED, 100, words
    facts.cause, facts.outputs, facts.response = "dispatcher", [], None
    facts.finished = _number(facts.finished) or now
    facts.write(folder)
    return True


def _status(folder: JobDir) -> documents.Status | None:
    if not _is_plain(folder.status):
        return None
    try:
        return documents.parse(folder.status.read_bytes())
    except (OSError, documents.DocumentError):
        return None


def _left(status: documents.Status | None, facts: report.Report) -> Left:
    if status is None or status.state not in report.TERMINAL:
        return Left.OPEN
    if status.state == report.SUCCEEDED:
        return Left.SUCCESS
    return Left.CUT_SHORT if facts.cause in _CUT_SHORT else Left.FAILURE


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _is_plain(path: Path) -> bool:
    """Whether this is a file: reading a pipe would wait for ever, a link may lead anywhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
