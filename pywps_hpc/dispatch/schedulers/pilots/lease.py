"""Which batch job is a pilot, where the batch system has it twice: the one that took its lease.

An answer to a submission can be lost on the way, and the submission repeated. Of two batch jobs
that are the same pilot, the first to start takes the lease in its folder
(:mod:`joblauncher.pilot`), and the other does nothing. So jobs may run in one whose id the
dispatcher was not given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: An id as batch systems give them: its number, and maybe the server's name.
_ID = re.compile(r"(\d+)((?:[.@][\w.@-]*)?)", re.ASCII)


def other_than(native: str, holder: str) -> str:
    """The batch job to follow in place of the one that is known as the pilot.

    Args:
        native: the id that is known; empty: none is.
        holder: has the pilot's lease, by the name that its node gave it.

    Returns:
        Its id, in the form of the known one; empty if the known one is right, as far as is known.
    """
    held, known = _ID.fullmatch(holder), _ID.fullmatch(native)
    if held is None or (native and known is None):
        return ""
    if known is None:
        return holder
    # Nodes may name the server in another way than the command that submits does.
    return "" if held[1] == known[1] else held[1] + known[2]


def among(found: Sequence[str], holder: str) -> str:
    """Which of the batch jobs with a pilot's name it is.

    Args:
        found: their ids; not empty.
        holder: has the pilot's lease; empty: nobody.
    """
    return next((native for native in found if not other_than(native, holder)), found[0])
