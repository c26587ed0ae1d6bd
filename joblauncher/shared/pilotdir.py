"""The folder by which dispatcher and pilot know of each other; a pilot is a batch job that takes
one job after the other (:mod:`joblauncher.pilot`).

Each job of it has its name in the queue as its own here, and is in exactly one of the first four
folders: a rename moves it, so that one of the two that want it gets it.

::

    FOLDER/pilot.json     what the pilot is told; its digest stands in the batch script
    FOLDER/waiting/NAME   a signed order; the dispatcher takes it back, or the pilot takes it
    FOLDER/held/NAME      an order that waits for a client
    FOLDER/taken/NAME     of the pilot
    FOLDER/back/NAME      taken back: it runs elsewhere, or not at all
    FOLDER/requests/NAME.cancel  NAME.pause    from the dispatcher
    FOLDER/paused/NAME    the job's processes stand still
    FOLDER/ended/NAME     how it ended, as the pilot saw it
    FOLDER/closed         the pilot takes no more orders, and why
    FOLDER/refused        the node does not allow warm starts, and why
    FOLDER/lease          a symbolic link to nothing: the id of the batch job that is this pilot
    FOLDER/inputs/  job.log  node    as in a job's folder, for the batch script
    FOLDER/inside/        shown to the process that has the modules, in place of the spool

The dispatcher alone uses, for itself: native, batch/NAME, moved/NAME, over.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblauncher.shared.files import atomic_write, read_plain

#: Folder of the spool with those of all pilots.
PILOTS = "pilots"
#: A job's name in the queue.
NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
WAITING, HELD, TAKEN, BACK = "waiting", "held", "taken", "back"
REQUESTS, PAUSED, ENDED = "requests", "paused", "ended"
_FOLDERS = (WAITING, HELD, TAKEN, BACK, REQUESTS, PAUSED, ENDED)
CANCEL, PAUSE = "cancel", "pause"
#: Variables by which batch systems tell a job its id, on the node.
ID_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID")
#: Has the lease of a pilot that is over before any of its starts took it.
NOBODY = "nobody"


class BadOrder(Exception):
    """A file that the dispatcher did not write for this pilot and job."""


@dataclass(frozen=True)
class PilotDir:
    """The folder of one pilot; mode 0700, the same path on every host."""

    path: Path

    @property
    def facts(self) -> Path:
        """What the pilot is told."""
        return self.path / "pilot.json"

    @property
    def closed(self) -> Path:
        """Says that the pilot takes no more orders."""
        return self.path / "closed"

    @property
    def refused(self) -> Path:
        """Says why the node does not allow warm starts."""
        return self.path / "refused"

    @property
    def inside(self) -> Path:
        """What the process with the modules sees in place of the spool."""
        return self.path / "inside"

    def make(self) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made.
        """
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.path.mkdir(mode=0o700)
        for name in (*_FOLDERS, "inputs", "inside"):
            (self.path / name).mkdir(mode=0o700)

    def file(self, kind: str, name: str) -> Path:
        """What there is of this kind of a job."""
        return self.path / kind / name

    def names(self, kind: str) -> set[str]:
        """The names of what there is of this kind, hidden files left out.

        Raises:
            OSError: it cannot be listed.
        """
        # Listed, not looked up: an NFS client may answer from its cache that a file is not there.
        try:
            return {name for name in os.listdir(self.path / kind) if not name.startswith(".")}
        except FileNotFoundError:
            return set()

    def move(self, name: str, source: str, target: str) -> bool:
        """Move a job's order; whether it was this call that did.

        Raises:
            OSError: it cannot be moved.
        """
        try:
            self.file(source, name).rename(self.file(target, name))
        except FileNotFoundError:
            return False
        return True

    @property
    def holder(self) -> str:
        """The id of the batch job that has the lease; empty if none has.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return os.readlink(self.path / "lease")
        except FileNotFoundError:
            return ""

    def take_lease(self, holder: str) -> str:
        """Take the lease if nobody has it: the batch system may have the pilot twice, where the
        answer to its submission was lost. It is never given back.

        Args:
            holder: the id of the batch job, or :data:`NOBODY`.

        Returns:
            Who has it.

        Raises:
            OSError: it can be neither taken nor read.
        """
        # A link has its text from the moment on that it has its name.
        with suppress(FileExistsError):
            os.symlink(holder, self.path / "lease")
        return os.readlink(self.path / "lease")

    def request(self, name: str, what: str, *, wanted: bool = True) -> None:
        """Have a job cancelled or paused, or take that back."""
        file = self.file(REQUESTS, f"{name}.{what}")
        if wanted:
            file.touch(mode=0o600)
        else:
            file.unlink(missing_ok=True)

    def write_end(self, name: str, end: Mapping[str, Any]) -> None:
        """Say how a job ended."""
        atomic_write(self.file(ENDED, name), json.dumps(end).encode())

    def read_end(self, name: str) -> dict[str, Any] | None:
        """How a job ended; ``None`` if that is not known."""
        with suppress(OSError, ValueError):
            end: dict[str, Any] = json.loads(read_plain(self.file(ENDED, name)))
            return end
        return None


def seal(key: str, name: str, order: Mapping[str, Any]) -> bytes:
    """An order as the pilot with this key takes it for the job of this name."""
    text = json.dumps(order).encode()
    return _mark(key, name, text).encode() + b"\n" + text


def unseal(key: str, name: str, content: bytes) -> dict[str, Any]:
    """What :func:`seal` was given.

    Raises:
        BadOrder: somebody else wrote it, or for another job.
    """
    mark, _, text = content.partition(b"\n")
    if not hmac.compare_digest(mark, _mark(key, name, text).encode()):
        raise BadOrder("its signature is wrong")
    order: dict[str, Any] = json.loads(text)
    return order


def _mark(key: str, name: str, text: bytes) -> str:
    return hmac.new(key.encode(), name.encode() + b"\n" + text, hashlib.sha256).hexdigest()
