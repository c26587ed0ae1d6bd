"""Status documents of ended jobs, kept in memory: they are read again and again, and stay the same.

A document is kept under all that it is made of: the job's row, and which files its report and its
document are. Whoever changes one of them is shown what came of it.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pywps_hpc.jobs import TERMINAL, Job
from pywps_hpc.spool import JobDir

#: Documents that are kept, and bytes of one at most.
MOST, LARGEST = 256, 64 << 10


@dataclass(frozen=True)
class Known:
    """A document, and how clients tell it from others (RFC 9110, section 8.8.3)."""

    document: bytes
    etag: str


class Documents:
    """The documents of ended jobs that were shown last; safe to use from several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, Known] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> Known | None:
        """What is kept under a key."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def put(self, key: Any, document: bytes) -> Known:
        """Keep a document; one that is large is not kept."""
        known = Known(document, sha256(repr(key).encode()).hexdigest()[:32])
        if len(document) <= LARGEST:
            with self._lock:
                self._known[key] = known
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
        return known


def key_of(row: Job, job: JobDir, *more: Any) -> Any:
    """What a document is made of, if its job has ended and both its files are plain ones; else
    ``None``.

    Args:
        more: what else it depends on.
    """
    if row.state not in TERMINAL:
        return None
    files = (_identity(job.status), _identity(job.report))
    return (row, *files, *more) if all(files) else None


def _identity(path: os.PathLike[str]) -> tuple[int, ...] | None:
    """Changes with every change of a plain file. Nobody can set the time of the last change
    (inode(7), ctime)."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_mode
