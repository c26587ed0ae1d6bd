"""The connections of a worker: how many there may be, what their bodies may take, and who goes."""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
from collections import Counter
from typing import Any

from pywps_hpc.web.server import refusals
from pywps_hpc.web.server.connections import Connection, Phase
from pywps_hpc.web.server.shares import Share

#: Connections of one worker, if the limit of open files allows them: each takes one, and two more
#: for a large body and for a file that is sent.
CONNECTIONS, FILES_OF_OTHERS = 4096, 256
#: Bytes of request bodies that one worker keeps in temporary files, in largest requests.
BODIES = 8
#: What accept(2) says where this process or this host has no more of something.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class OpenConnections:
    """All connections of a worker.

    Args:
        most: bytes of a request's body.
        line: bytes of a request line.
        share: where their number is told.
    """

    def __init__(self, most: int, line: int, share: Share) -> None:
        self._most, self._line, self._share = most, line, share
        share.tell(0)
        self._all: dict[int, Connection] = {}
        self._limit = _connections()
        self._spooled = 0
        self._is_taking = True

    def __bool__(self) -> bool:
        return bool(self._all)

    def get(self, number: int) -> Connection | None:
        """The connection with this file descriptor."""
        return self._all.get(number)

    def late(self, now: float) -> list[Connection]:
        """Those whose clients are too slow."""
        return [connection for connection in self._all.values() if connection.is_late(now)]

    def admit(self, accepted: socket.socket, client: Any, server: Any) -> Connection | None:
        """A new connection; ``None`` if there is no room, which its client is told."""
        if len(self._all) >= self._limit and not self.give_way():
            with contextlib.suppress(OSError):
                accepted.send(refusals.busy())
            accepted.close()
            return None
        accepted.setblocking(False)
        with contextlib.suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(accepted, client, server, self._most, self._line)
        self._all[accepted.fileno()] = connection
        self._share.tell(len(self._all))
        return connection

    @property
    def are_many(self) -> bool:
        """Whether another worker that takes connections has fewer."""
        return self._share.is_large

    def take_no_more(self) -> None:
        """Let other workers know that all new ones are theirs."""
        self._is_taking = False
        self._share.leave()

    def give_way(self) -> bool:
        """Close connections for others: idle ones, a few at once since each look costs time, or a
        slow one, of whoever has most; whether there was any."""
        found = [c for c in self._all.values() if c.phase is not Phase.WORKING]
        many = Counter(c.host for c in found)
        found.sort(key=lambda c: (c.is_idle, many[c.host], -c.moved), reverse=True)
        idle = sum(c.is_idle for c in found)
        for connection in found[: max(1, min(idle, self._limit // 16))]:
            self.close(connection)
        return bool(found)

    @staticmethod
    def is_exhaustion(error: OSError) -> bool:
        """Whether no connection can be taken for want of files or memory."""
        return error.errno in _EXHAUSTED

    def has_room(self, added: int) -> bool:
        """Count bytes that a request body takes in a temporary file; whether they may stay."""
        self._spooled += added
        return self._spooled <= BODIES * max(self._most, 1 << 20)

    def forget_body(self, connection: Connection) -> None:
        """Give up the body of a request that is answered."""
        self._spooled -= connection.incoming.spooled
        connection.incoming.close()

    def close_idle(self, now: float, seconds: float) -> None:
        """Close those on which nothing has come in for so long."""
        for connection in [c for c in self._all.values() if c.is_idle]:
            if now - connection.begun > seconds:
                self.close(connection)

    def close(self, connection: Connection) -> None:
        """End a connection."""
        self._spooled -= connection.incoming.spooled
        if self._all.pop(connection.socket.fileno(), None) is not None and self._is_taking:
            self._share.tell(len(self._all))
        connection.close()


def _connections() -> int:
    """How many connections the limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS, (files - FILES_OF_OTHERS) // 3))
