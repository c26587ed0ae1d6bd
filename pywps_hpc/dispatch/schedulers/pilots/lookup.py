"""What the batch system calls a job that was given to a pilot: for commands, which only read."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from joblauncher.shared.files import read_plain
from joblauncher.shared.pilotdir import PILOTS, PilotDir
from pywps_hpc.dispatch.schedulers.pilots.pilot import went_on_as

#: The id of a job of a pilot: the pilot's, and the job's name. It means nothing to a batch system.
ID = re.compile(r"(pilot-[0-9a-f]{12})\.([a-z][a-z0-9]*)")
#: A job's way through pilots that it waited for in vain is followed so far.
MOST_MOVES = 20


@dataclass(frozen=True)
class Place:
    """Where a job is in the batch system.

    Attributes:
        native: the batch system's id of the job, or of the pilot that has it; empty if it has none
            or it is not known any more.
        pilot: the folder of the pilot that has the job; ``None``: it is a batch job by itself.
    """

    native: str
    pilot: Path | None = None

    @property
    def own(self) -> str:
        """The batch system's id of this job and no other; empty if it has none."""
        return "" if self.pilot else self.native


def place_of(spool: Path, native_id: str) -> Place:
    """Where a job is that has this id in the job table.

    Args:
        spool: in which the pilots have their folders.
        native_id: of the job, by itself or in a pilot; what cannot be read counts as not known.
    """
    target, folder = native_id, None
    for _ in range(MOST_MOVES):
        match = ID.fullmatch(target)
        if match is None:
            return Place(target)
        folder = PilotDir(spool / PILOTS / match[1])
        moved = went_on_as(folder, match[2])
        if not moved:
            break
        target = moved
    native = ""
    if folder is not None:
        with suppress(OSError, ValueError):
            native = read_plain(folder.path / "native").decode()
    return Place(native, folder.path if folder is not None else None)
