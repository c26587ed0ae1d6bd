"""Whether a job is still this launcher's: asked before each word that it leaves.

A batch system that loses sight of a node gives its jobs up, or starts them again elsewhere, while
their processes go on there. What such a launcher has to say is no longer wanted: there is a later
start of the job, or somebody was told already how it ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import make_usable, read_plain, write_together
from joblauncher.shared.jobdir import JobDir

LOGGER = logging.getLogger(__name__)


class Superseded(BaseException):
    """The job is not this launcher's any more. No handler of a process shall take it for an error
    of its own, hence not an :class:`Exception`."""


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
    except (OSError, status_xml.DocumentError):
        return  # it will be written anew
    if state in outcome.TERMINAL and not _is_own(state, outcome.read(job), job.attempt):
        raise Superseded("the job is over already")


def write(
    job: JobDir,
    document: bytes,
    facts: outcome.Report,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Replace the job's document and report.

    Args:
        between: called after each of both.

    Raises:
        Superseded: this launcher may not; nothing is changed.
        OSError: they could not be written.
    """
    files = {job.status: document, job.report: facts.content()}
    write_together(files, lambda: check(job), between)


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
