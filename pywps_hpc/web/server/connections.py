"""One client's connection: a request comes in, is worked on, its answer goes out, and again."""

from __future__ import annotations

import enum
import socket
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pywps_hpc.timing import TIMING
from pywps_hpc.web.server.framing import Incoming

#: Bytes a second that a client has to send or take on average, once it had ``quiet`` seconds.
RATE = 1024
#: Bytes of an answer that are made before the client has taken those before.
AHEAD = 256 << 10
#: Bytes that a client may send on after its answer, so that it reads that first (RFC 9112, 9.6).
LEFT_OVER = 16 << 20


class Phase(enum.Enum):
    """What happens on a connection."""

    RECEIVING = "receiving"
    WORKING = "working"
    SENDING = "sending"
    LINGERING = "lingering"


class Outbox:
    """What is to be sent, for gunicorn's Response in the place of a socket."""

    def __init__(self) -> None:
        self.parts: deque[memoryview] = deque()
        self.size = 0

    def sendall(self, data: bytes) -> None:
        """Add to it."""
        if data:
            self.parts.append(memoryview(data))
            self.size += len(data)

    def send(self, data: bytes) -> int:
        """``100 Continue``, which was sent when the head came in."""
        return len(data)

    def gettimeout(self) -> float:
        """That of a socket that does not block."""
        return 0.0

    def flush(self, connection: socket.socket) -> int:
        """Send what the client takes now; how many bytes that was.

        Raises:
            OSError: it takes nothing any more.
        """
        sent = 0
        while self.parts:
            try:
                taken = connection.sendmsg(list(islice(self.parts, 64)))
            except (BlockingIOError, InterruptedError):
                break
            sent += taken
            while taken:
                part = self.parts.popleft()
                if taken < len(part):
                    self.parts.appendleft(part[taken:])
                taken -= min(taken, len(part))
        self.size -= sent
        return sent


class Connection:
    """A client's connection. Belongs to the loop, or while it is :attr:`Phase.WORKING` to a thread.

    Args:
        connection: its socket, which does not block.
        client: address as ``accept`` gives it.
        server: address at which it came in.
        most: bytes of a request's body.
        line: bytes of a request line.
    """

    def __init__(
        self, connection: socket.socket, client: Any, server: Any, most: int, line: int
    ) -> None:
        self.socket, self.client, self.server = connection, client, server
        self.bounds = (most, line)
        self.incoming = Incoming(most, line)
        self.outbox = Outbox()
        self.ahead = b""  #: what came in behind the request
        #: Makes the answer step by step; ``None`` before and after.
        self.answer: Iterator[None] | None = None
        self.phase = Phase.RECEIVING
        self.closes = False  #: whether it is closed after this answer
        self.left = False  #: whether the client has closed its side
        self.first = True  #: whether no request has been answered yet
        self.begun = self.moved = time.monotonic()
        self.amount = 0  #: bytes of this phase

    @property
    def host(self) -> str:
        """Whom bounds count it for."""
        return str(self.client[0]) if isinstance(self.client, tuple) else ""

    @property
    def is_idle(self) -> bool:
        """Whether there is no request on it."""
        return self.phase is Phase.RECEIVING and self.incoming.is_empty

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.phase, self.amount = phase, 0
        self.begun = self.moved = time.monotonic()

    def progress(self, amount: int) -> None:
        """Count bytes that the client sent or took."""
        if amount:
            if self.is_idle:
                self.begun = time.monotonic()
            self.amount += amount
            self.moved = time.monotonic()

    def is_late(self, now: float) -> bool:
        """Whether the client has to be given up."""
        if self.phase is Phase.WORKING:
            return False
        if self.phase is Phase.LINGERING:
            return now - self.begun > TIMING.lingering or self.amount > LEFT_OVER
        if self.is_idle:
            return now - self.begun > (TIMING.fresh if self.first else TIMING.kept)
        return (
            now - self.moved > TIMING.quiet
            or self.amount < (now - self.begun - TIMING.quiet) * RATE
        )

    def again(self) -> None:
        """Be ready for the next request."""
        self.incoming.close()
        self.incoming = Incoming(*self.bounds)
        self.answer, self.first = None, False
        self.enter(Phase.RECEIVING)

    def close(self) -> None:
        """End it; an answer under way is not finished."""
        self.incoming.close()
        if self.answer is not None:
            self.answer.close()  # type: ignore[attr-defined]
        self.socket.close()
