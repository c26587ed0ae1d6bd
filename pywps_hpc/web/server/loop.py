"""The loop of a worker: it receives requests and sends answers on all connections at once.

A thread gets a request when it is whole, and makes as much of an answer as the client takes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from logging import Logger

from pywps_hpc.timing import TIMING
from pywps_hpc.web.server import refusals
from pywps_hpc.web.server.connections import AHEAD, Connection, Phase
from pywps_hpc.web.server.framing import Malformed
from pywps_hpc.web.server.open_connections import OpenConnections
from pywps_hpc.web.server.threads import Threads

_IN, _OUT, _GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP
#: Connections that are taken before others get their turn; and those that another worker has left
#: for a while though it has fewer.
_AT_ONCE, _LEFT = 64, 16


class Loop:
    """See the module.

    Args:
        listeners: sockets that listen.
        wake: pipe on which whatever is written ends a wait.
        connections: all that are open.
        threads: that make answers.
        answer: begins the answer to the request that a connection has.
        log: for the administrator.
    """

    def __init__(
        self,
        listeners: Iterable[socket.socket],
        wake: tuple[int, int],
        connections: OpenConnections,
        threads: Threads,
        answer: Callable[[Connection], Iterator[None]],
        log: Logger,
    ) -> None:
        self._open, self._threads, self._answer, self._log = connections, threads, answer, log
        self._wake = wake
        self._done: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._poll = select.epoll()
        self._poll.register(wake[0], _IN)
        self._waits_since: float | None = None  #: for another worker to take a connection
        self._listeners = {listener.fileno(): listener for listener in listeners}
        for listener in self._listeners.values():
            listener.setblocking(False)
            self._poll.register(listener, _IN)

    def stop_listening(self) -> None:
        """Take no new connections."""
        for listener in self._listeners.values():
            self._poll.unregister(listener)
            listener.close()
        self._listeners.clear()
        self._open.take_no_more()

    def turn(self) -> None:
        """Wait for what happens, a second at most, and do what is to be done."""
        patience = self._threads.patience
        if self._waits_since is not None:
            patience = min(patience, TIMING.connection_look)
        happened = self._poll.poll(patience)
        self._threads.relieve()
        if self._waits_since is not None:
            self._look_again(self._waits_since)
        for number, event in happened:
            if number == self._wake[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(number, 4096)
            elif number in self._listeners:
                self._accept(self._listeners[number])
            elif (connection := self._open.get(number)) is not None:
                self._move(connection, event)
        while not self._done.empty():
            connection = self._done.get()
            connection.enter(Phase.SENDING)
            self._guarded(connection, self._send)

    def sweep(self, now: float) -> None:
        """Give clients up that are too slow."""
        for connection in self._open.late(now):
            if connection.phase is Phase.RECEIVING and not connection.is_idle:
                with contextlib.suppress(OSError):
                    connection.socket.send(refusals.too_slow())
            self._open.close(connection)

    def _look_again(self, since: float) -> None:
        """Go on if the other worker has caught up, or takes none."""
        is_over = time.monotonic() - since > TIMING.connection_left
        if is_over or not self._open.are_many:
            self._waits_since = None
            for listener in self._listeners.values():
                self._poll.modify(listener, _IN)
                if is_over:
                    self._accept(listener, _LEFT)

    def _accept(self, listener: socket.socket, left: int = 0) -> None:
        """Take new connections: the first so many whatever the other workers have."""
        for number in range(_AT_ONCE):
            if number >= left and self._open.are_many:
                self._waits_since = time.monotonic()
                for each in self._listeners.values():
                    self._poll.modify(each, 0)
                return
            try:
                accepted, client = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if not self._open.is_exhaustion(error):
                    raise
                self._log.warning("no connection can be accepted now: %s", error.strerror)
                if not self._open.give_way():
                    time.sleep(0.05)
                return
            connection = self._open.admit(accepted, client, listener.getsockname())
            if connection is not None:
                self._poll.register(accepted, _IN | _GONE)

    def _move(self, connection: Connection, event: int) -> None:
        if connection.phase is Phase.WORKING:
            connection.left = True
            self._poll.unregister(connection.socket)
        elif connection.phase is Phase.SENDING:
            self._guarded(connection, self._send)
        else:
            self._guarded(connection, self._receive)

    def _guarded(self, connection: Connection, act: Callable[[Connection], None]) -> None:
        try:
            act(connection)
        except OSError:  # the client's connection is gone
            self._open.close(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(AHEAD)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._open.close(connection)
            return
        connection.progress(len(data))
        if connection.phase is Phase.RECEIVING:
            self._feed(connection, data)
        elif connection.is_late(connection.moved):
            self._open.close(connection)

    def _feed(self, connection: Connection, data: bytes) -> None:
        incoming, before = connection.incoming, connection.incoming.spooled
        try:
            connection.ahead = incoming.feed(data)
        except Malformed as error:
            message = refusals.refusal(error.status, "InvalidParameterValue", str(error))
            self._refuse(connection, message)
            return
        except OSError as error:
            self._log.error("a request's body cannot be stored: %s", error.strerror)
            self._refuse(connection, refusals.busy())
            return
        if not self._open.has_room(incoming.spooled - before):
            self._refuse(connection, refusals.busy())
        elif incoming.whole:
            connection.enter(Phase.WORKING)
            connection.answer = self._answer(connection)
            self._poll.modify(connection.socket, _GONE)
            self._threads.do(lambda: self._work(connection))
        elif incoming.continues:
            incoming.continues = False
            connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, connection: Connection, answer: bytes) -> None:
        """Answer what is no request, or one for which there is no room."""
        connection.closes, connection.answer = True, None
        connection.outbox.sendall(answer)
        connection.enter(Phase.SENDING)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        connection.progress(connection.outbox.flush(connection.socket))
        if connection.outbox.size:
            self._watch(connection, _OUT)
        elif connection.answer is not None:  # there is more
            connection.phase = Phase.WORKING
            self._watch(connection, _GONE)
            self._threads.do(lambda: self._work(connection))
        elif connection.closes or connection.left:
            self._linger(connection)
        else:
            rest = connection.ahead
            self._open.forget_body(connection)
            connection.again()
            self._watch(connection, _IN | _GONE)
            if rest:
                connection.progress(len(rest))
                self._feed(connection, rest)

    def _linger(self, connection: Connection) -> None:
        connection.socket.shutdown(socket.SHUT_WR)
        if connection.left:
            self._open.close(connection)
            return
        connection.enter(Phase.LINGERING)
        self._watch(connection, _IN | _GONE)

    def _watch(self, connection: Connection, events: int) -> None:
        try:
            self._poll.modify(connection.socket, events)
        except FileNotFoundError:  # its client has closed its side, which would be told for ever
            if events & _OUT:
                self._poll.register(connection.socket, _OUT)

    def _work(self, connection: Connection) -> None:
        """In a thread: make an answer, or the next part of one."""
        try:
            assert connection.answer is not None
            next(connection.answer)
        except StopIteration:
            connection.answer = None
        except Exception:
            self._log.exception("a response was cut off")
            connection.answer, connection.closes = None, True
        self._done.put(connection)
        with contextlib.suppress(BlockingIOError):  # full: it will wake up
            os.write(self._wake[1], b"0")
