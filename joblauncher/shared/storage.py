"""A shared file system that is full, read-only or away: its messages, and patience with it."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable

from joblauncher.shared.files import remove_tree
from joblauncher.shared.jobdir import JobDir

#: What is told of it to a client, whose business the path is not (errno(3)).
MESSAGES = {
    errno.ENOSPC: "the storage is full",
    errno.EDQUOT: "the storage quota is used up",
    errno.EROFS: "the storage is read-only",
    errno.EIO: "the storage reports input/output errors",
    errno.ESTALE: "the storage is no longer available",
}
#: Seconds for which a job tries to write its last message. Shorter than the dispatcher's grace.
PATIENCE = 10.0
#: For a result: until there is room, or the batch system ends the job at its time limit.
FOR_EVER = float("inf")
#: Seconds at most between two tries.
PAUSE = 5.0


def trouble(error: BaseException | None) -> str:
    """What is wrong with the storage, if that is what an exception, or one before it that it
    follows from, is about; empty if not."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in MESSAGES:
            return MESSAGES[error.errno]
        error = error.__cause__ or error.__context__
    return ""


def insist(
    job: JobDir,
    write: Callable[[], None],
    patience: float = PATIENCE,
    *,
    keep_work: bool = False,
) -> None:
    """Write a last message, and try again while the storage is in trouble.

    Args:
        job: which is over: it may be the one that has filled the storage, so room is made by
            removing what it worked in.
        write: does it; may be called several times.
        patience: seconds for which to go on trying; once more is tried in any case.
        keep_work: whether something of its working folders is still needed.

    Raises:
        OSError: there is trouble still when the patience ends.
    """
    deadline, pause = time.monotonic() + patience, 0.0
    while True:
        try:
            write()
            return
        except OSError as error:
            if not trouble(error) or (pause and time.monotonic() >= deadline):
                raise
            if not keep_work:
                for folder in (job.work, job.temporary):
                    with contextlib.suppress(OSError):
                        remove_tree(folder)
            time.sleep(pause)
            pause = min(max(0.5, pause * 1.5), PAUSE)
