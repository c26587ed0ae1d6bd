"""Whether a job is still this launcher's: checked before each file that it leaves.

A batch system that loses sight of a node gives its jobs up, or starts them again elsewhere, while
their processes go on there. What such a launcher reports no longer counts: there is a later start
of the job, or its end was already reported.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import make_usable, read_plain, remove_tree
from joblauncher.shared.jobdir import JobDir


class Superseded(BaseException):
    """The job is not this launcher's any more. No handler of a process shall take it for an error
    of its own, hence not an :class:`Exception`."""


def take(job: JobDir) -> None:
    """Begin this attempt.

    Raises:
        Superseded: the job is over, or somebody else has this attempt or a later one.
        OSError: the folder cannot be used.
    """
    check(job)
    try:
        descriptor = os.open(job.lease(job.attempt), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise Superseded(f"attempt {job.attempt} is already run by another launcher") from None
    with os.fdopen(descriptor, "w") as lease:
        lease.write(f"{socket.gethostname()} {os.getpid()}\n")  # for people


def check(job: JobDir) -> None:
    """Make sure that this launcher may write, and can: its process may have taken it the rights.

    Args:
        job: the job's folder, with this launcher's attempt.

    Raises:
        Superseded: it may not.
        OSError: nothing can be known.
    """
    with suppress(OSError):
        make_usable(job.path)
    try:
        later = max(job.attempts(), default=job.attempt)
    except FileNotFoundError:
        return  # with the folder gone, nothing can be written either
    if later > job.attempt:
        raise Superseded(f"attempt {later} of the job has begun")
    try:
        state = status_xml.parse(read_plain(job.status)).state
    except (OSError, status_xml.DocumentError):  # its process has made something else of it
        facts = outcome.read(job)
        if facts is None or facts.state not in outcome.TERMINAL or facts.cause != "dispatcher":
            return  # it will be written anew
        raise Superseded("the job has already ended") from None
    if state in outcome.TERMINAL and not _is_own(state, outcome.read(job), job.attempt):
        raise Superseded("the job has already ended")


def clear(job: JobDir) -> None:
    """Remove the working folders of an attempt that does not count any more: only for the launcher
    that took its lease. A second launcher of the same attempt has the same folders, and in a
    container maybe the same process id."""
    for folder in (job.work, job.temporary):
        with suppress(OSError):
            remove_tree(folder)


def _is_own(state: str, facts: outcome.Report | None, attempt: int) -> bool:
    """Whether a terminal document may be this launcher's own, which it has more to say about.

    Only launchers tell of success: one may have been cut off before it wrote the report of it, and
    a process may have made away with that.
    """
    if facts is None:
        return state == outcome.SUCCEEDED
    return (
        facts.attempt == attempt
        and (facts.state in outcome.TERMINAL or state == outcome.SUCCEEDED)
        and facts.cause != "dispatcher"
    )
