"""What a batch system's commands print when they fail, sorted by what it means.

Each system's own module has its :class:`Messages`. What the C library says below all of them
(strerror(3)) is stated here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: No request reached the server.
NETWORK_DOWN = r"Connection refused|No route to host|(Network|Host) is (unreachable|down)"
#: One may have reached it.
NETWORK_ERROR = rf"{NETWORK_DOWN}|Connection (timed out|reset)"
#: The server's host, or the disk of its spool, has no room or fails; that passes.
SERVER_ERROR = (
    r"Resource temporarily unavailable|No space left|Disk quota exceeded|Read-only file system"
    r"|Input/output error"
)


@dataclass(frozen=True)
class Messages:
    """Patterns for the output of failed commands.

    Attributes:
        cannot_ask: the server could not be asked, so nothing is known.
        not_taken: of these, those after which a job was certainly not taken: no request reached the
            server, or it turned the client away.
        passing: a job was turned down for a reason that is known to pass: once other jobs have
            ended, a maintenance is over, or the server has room.
        final: a job was turned down for a reason that is known to stay: the same request would fail
            again.
        gone: there was nothing left to do to a job: it is over, unknown, or in that state already.
        forbidden: this account may not do that.
    """

    cannot_ask: re.Pattern[str]
    not_taken: re.Pattern[str]
    passing: re.Pattern[str]
    final: re.Pattern[str]
    gone: re.Pattern[str]
    forbidden: re.Pattern[str]


def either(*alternatives: str) -> re.Pattern[str]:
    """One of these, in upper or lower case."""
    return re.compile("|".join(alternatives), re.IGNORECASE)
