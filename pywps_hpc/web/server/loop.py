"""A gunicorn worker in which no client holds a thread: not by being slow, silent or gone.

One loop receives requests and sends answers; threads get a request when it is whole, and make as
much of an answer as the client takes. gunicorn's own parser reads the head of each request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import resource
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from html import escape
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser
from gunicorn.workers.base import Worker

from pywps_hpc import lifecycle
from pywps_hpc.web.server.connections import AHEAD, Connection, Phase
from pywps_hpc.web.server.framing import LINE, Malformed
from pywps_hpc.web.waiting import LISTENS

#: Connections of one worker, if the limit of open files allows them: each takes one, and two more
#: for a large body and for a file that is sent.
CONNECTIONS, FILES_OF_OTHERS = 4096, 256
#: Bytes of request bodies that one worker keeps in temporary files, in largest requests.
BODIES = 8
#: Seconds that a stopping worker leaves a client that may have a request on its way.
LAST = 2.0
_IN, _OUT, _GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP
_REPORT = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows/1.1" version="1.0.0">\n'
    '  <ows:Exception exceptionCode="{code}"><ows:ExceptionText>{words}</ows:ExceptionText>'
    "</ows:Exception>\n</ows:ExceptionReport>\n"
)


class BufferingWorker(Worker):  # type: ignore[misc]
    """See the module. ``threads`` of gunicorn's settings are all that work or wait."""

    def run(self) -> None:
        """Serve until told to stop; then finish what was begun."""
        self._pool = _Threads(self.cfg.threads)
        self._done: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._open: dict[int, Connection] = {}
        self._most, self._line = _request_bounds()
        self._limit = _connections()
        self._spooled = 0
        self._poll = select.epoll()
        self._poll.register(self.PIPE[0], _IN)
        self._listeners = {listener.fileno(): listener for listener in self.sockets}
        for listener in self.sockets:
            listener.setblocking(False)
            self._poll.register(listener, _IN)
        swept = time.monotonic()
        while self.alive and not self.retiring and self.ppid == os.getppid():
            self.notify()
            self._turn()
            if time.monotonic() - swept > 1:
                swept = time.monotonic()
                self._sweep(swept)
        self._finish()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: clients that wait are answered, no new ones taken."""
        self.alive = False

    def init_signals(self) -> None:
        """Two signals more than gunicorn's."""
        self.retiring = False
        super().init_signals()
        signal.signal(signal.SIGUSR2, self._retire)

    @property
    def is_leaving(self) -> bool:
        """Whether clients are told with each answer that their connection is closed after it; one
        who has not been told may have sent the next request already, and gets an answer to it."""
        return self.retiring or not self.alive

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """SIGUSR1: log files are opened anew."""
        lifecycle.reopen_logs_aside()

    def _retire(self, sig: int, frame: Any) -> None:
        """SIGUSR2: others take new clients; those that are here get their answers."""
        self.retiring = True

    def _finish(self) -> None:
        drain = time.monotonic() + getattr(self.app, "drain", 0.0)
        self._listeners.clear()
        for listener in self.sockets:
            self._poll.unregister(listener)
            listener.close()
        while self._open and self.retiring and self.alive and time.monotonic() < drain:
            self._finish_turn()
        self.alive = False
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while self._open and time.monotonic() < deadline:
            self._finish_turn()

    def _finish_turn(self) -> None:
        """One turn; a connection that is idle is closed, unless a request may be on its way."""
        self.notify()
        # First what has come in: this process may have stood still for longer than the client.
        self._turn()
        now = time.monotonic()
        for connection in [c for c in self._open.values() if c.is_idle]:
            if now - connection.begun > LAST:
                self._close(connection)
        self._sweep(now)

    def _turn(self) -> None:
        """Wait for what happens, and do what is to be done."""
        for number, event in self._poll.poll(1.0):
            if number == self.PIPE[0]:
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

    def _accept(self, listener: Any) -> None:
        for _ in range(64):
            try:
                accepted, client = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self.log.warning("no connection can be taken now: %s", error.strerror)
                if not self._give_way():
                    time.sleep(0.05)
                return
            if len(self._open) >= self._limit and not self._give_way():
                with contextlib.suppress(OSError):
                    accepted.send(_refusal("503 Service Unavailable", "ServerBusy", _BUSY))
                accepted.close()
                continue
            accepted.setblocking(False)
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = listener.getsockname()
            connection = Connection(accepted, client, server, self._most, self._line)
            self._open[accepted.fileno()] = connection
            self._poll.register(accepted, _IN | _GONE)

    def _give_way(self) -> bool:
        """Close connections for others: idle ones, a few at once since each look costs time, or a
        slow one, of whoever has most; whether there was any."""
        found = [c for c in self._open.values() if c.phase is not Phase.WORKING]
        many = Counter(c.host for c in found)
        found.sort(key=lambda c: (c.is_idle, many[c.host], -c.moved), reverse=True)
        idle = sum(c.is_idle for c in found)
        for connection in found[: max(1, min(idle, self._limit // 16))]:
            self._close(connection)
        return bool(found)

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
            self._close(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(AHEAD)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._close(connection)
            return
        connection.progress(len(data))
        if connection.phase is Phase.RECEIVING:
            self._feed(connection, data)
        elif connection.is_late(connection.moved):
            self._close(connection)

    def _feed(self, connection: Connection, data: bytes) -> None:
        incoming, before = connection.incoming, connection.incoming.spooled
        try:
            connection.ahead = incoming.feed(data)
        except Malformed as error:
            self._refuse(connection, error.status, "InvalidParameterValue", str(error))
            return
        except OSError as error:
            self.log.error("a request's body cannot be kept: %s", error.strerror)
            self._refuse(connection, "503 Service Unavailable", "ServerBusy", _BUSY)
            return
        self._spooled += incoming.spooled - before
        if self._spooled > BODIES * max(self._most, 1 << 20):
            self._refuse(connection, "503 Service Unavailable", "ServerBusy", _BUSY)
        elif incoming.whole:
            connection.enter(Phase.WORKING)
            connection.answer = self._answer(connection)
            self._poll.modify(connection.socket, _GONE)
            self._pool.do(lambda: self._work(connection))
        elif incoming.continues:
            incoming.continues = False
            connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, connection: Connection, status: str, code: str, words: str) -> None:
        """Answer what is no request, or one for which there is no room."""
        connection.closes, connection.answer = True, None
        connection.outbox.sendall(_refusal(status, code, words))
        connection.enter(Phase.SENDING)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        connection.progress(connection.outbox.flush(connection.socket))
        if connection.outbox.size:
            self._watch(connection, _OUT)
        elif connection.answer is not None:  # there is more
            connection.phase = Phase.WORKING
            self._watch(connection, _GONE)
            self._pool.do(lambda: self._work(connection))
        elif connection.closes or connection.left:
            self._linger(connection)
        else:
            rest = connection.ahead
            self._forget_body(connection)
            connection.again()
            self._watch(connection, _IN | _GONE)
            if rest:
                connection.progress(len(rest))
                self._feed(connection, rest)

    def _linger(self, connection: Connection) -> None:
        connection.socket.shutdown(socket.SHUT_WR)
        if connection.left:
            self._close(connection)
            return
        connection.enter(Phase.LINGERING)
        self._watch(connection, _IN | _GONE)

    def _watch(self, connection: Connection, events: int) -> None:
        try:
            self._poll.modify(connection.socket, events)
        except FileNotFoundError:  # its client has closed its side, which would be told for ever
            if events & _OUT:
                self._poll.register(connection.socket, _OUT)

    def _forget_body(self, connection: Connection) -> None:
        self._spooled -= connection.incoming.spooled
        connection.incoming.close()

    def _close(self, connection: Connection) -> None:
        self._spooled -= connection.incoming.spooled
        self._open.pop(connection.socket.fileno(), None)
        connection.close()

    def _sweep(self, now: float) -> None:
        for connection in [c for c in self._open.values() if c.is_late(now)]:
            if connection.phase is Phase.RECEIVING and not connection.is_idle:
                words = "The request did not come in within the time that is given to it."
                with contextlib.suppress(OSError):
                    connection.socket.send(
                        _refusal("408 Request Timeout", "NoApplicableCode", words)
                    )
            self._close(connection)

    # In a thread

    def _work(self, connection: Connection) -> None:
        """Make an answer, or the next part of one."""
        try:
            assert connection.answer is not None
            next(connection.answer)
        except StopIteration:
            connection.answer = None
        except Exception:
            self.log.exception("an answer was broken off")
            connection.answer, connection.closes = None, True
        self._done.put(connection)
        with contextlib.suppress(BlockingIOError):  # full: it will wake up
            os.write(self.PIPE[1], b"0")

    def _answer(self, connection: Connection) -> Iterator[None]:
        outbox, incoming = connection.outbox, connection.incoming
        begun = datetime.now()
        try:
            request = next(RequestParser(self.cfg, iter([bytes(incoming.head)]), connection.client))
            response, environ = wsgi.create(
                request, outbox, connection.client, connection.server, self.cfg
            )
        except Exception as error:
            connection.closes = True
            self.handle_error(None, outbox, connection.client, error)
            return
        environ["wsgi.multithread"] = True
        environ["wsgi.input"] = incoming.body
        environ[LISTENS] = lambda: self.alive and not connection.left
        environ.pop("gunicorn.socket", None)
        if incoming.declared is None:
            environ["CONTENT_LENGTH"] = str(incoming.size)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        if incoming.cut or self.is_leaving:
            response.force_close()
        answer: Any = ()
        try:
            answer = self.wsgi(environ, response.start_response)
            for part in answer:
                response.write(part)
                if outbox.size >= AHEAD:
                    yield
            response.close()
        except GeneratorExit:
            raise
        except Exception as error:
            connection.closes = True
            if response.headers_sent:
                raise
            self.handle_error(request, outbox, connection.client, error)
        finally:
            connection.closes |= response.should_close() if response.status else True
            self.log.access(response, request, environ, datetime.now() - begun)
            if hasattr(answer, "close"):
                answer.close()


class _Threads:
    """At most so many threads, started as they are needed; none keeps the process from its end."""

    def __init__(self, most: int) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._most, self._started = most, 0
        self._undone = 0
        self._lock = threading.Lock()

    def do(self, task: Callable[[], None]) -> None:
        """Have a task done; it has to catch what it raises."""
        with self._lock:
            self._undone += 1
            start = self._started < min(self._undone, self._most)
            self._started += start
        self._tasks.put(task)
        if start:
            threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._tasks.get()()
            with self._lock:
                self._undone -= 1


_BUSY = "The service is busy. Please try later."


def _refusal(status: str, code: str, words: str) -> bytes:
    """An exception report (OWS Common 06-121r3, clause 8) as a whole HTTP answer."""
    body = _REPORT.format(code=code, words=escape(words)).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    )
    if status.startswith("503"):
        head += "Retry-After: 30\r\n"
    return head.encode() + b"\r\n" + body


def _request_bounds() -> tuple[int, int]:
    """Bytes of a request's body and of its first line, by ``[server] maxrequestsize``."""
    from pywps_hpc.web.requests.limits import largest_request

    most = largest_request()
    return most, min(most, LINE)


def _connections() -> int:
    """How many connections the limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS, (files - FILES_OF_OTHERS) // 3))
