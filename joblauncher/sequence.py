"""A job on its node, from the lease to the last report, as steps that somebody drives.

The launcher drives them to the end at once (:mod:`joblauncher.supervisor`); the tests stop, kill or
forget a launcher between any two.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TypeAlias, TypeVar

from joblauncher import lease
from joblauncher.ending import Ending
from joblauncher.inputs import prepared
from joblauncher.publisher import Publisher
from joblauncher.shared import account, dump, exits, outcome, storage
from joblauncher.shared.files import remove_tree
from joblauncher.shared.jobdir import JobDir

LOGGER = logging.getLogger(__name__)

T = TypeVar("T")
#: Yields the name of each step that has been done, returns what came of all.
Steps: TypeAlias = Generator[str, None, T]
#: Runs the process of a dump, whose header and body these are, to its end.
Run: TypeAlias = Callable[[Publisher, dump.Header, bytes], Steps[Ending]]


def launch(job: JobDir, digest: str, run: Run, *, allow_root: bool = False) -> Steps[int]:
    """One start of a job.

    Args:
        job: its folder; its attempt is the start that this is, from 0, which can be taken once.
        digest: SHA-256 of the dump, from the batch script.
        run: runs the process.
        allow_root: whether the administrator wants processes to run as root.

    Returns:
        The exit code for the scheduler: 0 only if the process succeeded.
    """
    try:
        return (yield from _launch(Publisher(job), digest, run, allow_root))
    except lease.Superseded as reason:
        LOGGER.error("%s: this start gives up", reason)
        return exits.NOT_MINE


def _launch(publisher: Publisher, digest: str, run: Run, allow_root: bool) -> Steps[int]:
    if account.is_root() and not allow_root:
        publisher.refuse(account.MESSAGE)
        return exits.REFUSED
    try:
        lease.take(publisher.job)
    except OSError as error:
        return _refuse_folder(publisher, error)
    try:
        return (yield from _work(publisher, digest, run))
    except lease.Superseded:
        lease.clear(publisher.job)
        raise


def _work(publisher: Publisher, digest: str, run: Run) -> Steps[int]:
    """What a start does that has taken its lease."""
    job = publisher.job
    yield "launch.1"
    try:
        header, body = dump.unpack_header(dump.read(job.dump, digest))
        publisher.facts.process = header.process
        dump.check(header, job.job_id)
        make_folders(job)
        prepared.lay_out(job, header.prepared)
        publisher.begin()
    except dump.PayloadError as error:
        publisher.refuse(str(error))
        return exits.REFUSED
    except OSError as error:
        return _refuse_folder(publisher, error)
    yield "launch.2"
    has_other_nodes = job.ranks.is_dir()  # asked before the process may replace it
    ending = yield from run(publisher, header, body)
    if has_other_nodes:
        ending = ending.without_sums()
    if not publisher.conclude(ending):
        return exits.NOT_TOLD
    yield "conclude.3"
    LOGGER.info("%s: %s", publisher.facts.state, publisher.facts.message)
    return exits.OK if publisher.facts.state == outcome.SUCCEEDED else ending.exit_code()


def _refuse_folder(publisher: Publisher, error: OSError) -> int:
    trouble = storage.trouble(error)
    message = trouble or f"the job's folder cannot be used: {error.strerror}"
    return exits.REFUSED if publisher.refuse(message) else exits.NOT_TOLD


def make_folders(job: JobDir) -> None:
    """Working folders of this attempt's own, and an empty one for outputs.

    Raises:
        OSError: they cannot be made.
    """
    for folder in (job.work, job.temporary):
        folder.mkdir(mode=0o700, exist_ok=True)
    if job.attempt:
        # Moved before it is deleted: an earlier start may still be at work in it.
        earlier = job.temporary / "earlier"
        with contextlib.suppress(FileNotFoundError):
            job.storage.rename(earlier)
        with contextlib.suppress(OSError):
            remove_tree(earlier)
        for attempt in range(job.attempt):
            with contextlib.suppress(OSError):
                remove_tree(replace(job, attempt=attempt).work)
    job.storage.mkdir(mode=0o700, exist_ok=True)
