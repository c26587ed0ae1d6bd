"""Web servers on this host whose answers a test chooses, names that it makes up, and how it fetches
from them."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from joblauncher.inputs import addresses, fetch
from joblauncher.inputs.policy import Bounds, Reference, Refused

#: A busy host may stand still for a while: no limit of time is reached but where a test wants it.
HERE = Bounds(allowed_networks=("127.0.0.0/8",), timeout=120, total_timeout=600, max_bytes=1 << 20)


@dataclass
class Web:
    """A web server whose answers a test chooses.

    Attributes:
        answers: by path; each writes to the handler it is given.
        seen: requests so far: method, path, headers and body.
        port: where it listens; 0 until it does: a free one.
    """

    answers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]


def serve(web: Web, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            web.seen.append((self.command, self.path, headers, self.rfile.read(length)))
            with contextlib.suppress(OSError):  # the other side has had enough
                web.answers.get(self.path, content(b"hello\n"))(self)

        do_POST = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that breaks off is what is tested."""

    server = Server(("127.0.0.1", web.port), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    web.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield web
    server.shutdown()
    server.server_close()


def content(body: bytes, status: int = 200, **headers: str) -> Callable[[Any], None]:
    """An answer with a body."""

    def answer(handler: Any) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def redirect(to: str, status: int = 302) -> Callable[[Any], None]:
    return content(b"", status, Location=to)


def drip(piece: bytes, pause: float, *, head: bytes = b"") -> Callable[[Any], None]:
    """An answer that never ends."""

    def answer(handler: Any) -> None:
        handler.wfile.write(head)
        while True:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)

    return answer


OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@pytest.fixture
def web() -> Iterator[Web]:
    yield from serve(Web())


@pytest.fixture
def other() -> Iterator[Web]:
    yield from serve(Web())


Names = dict[str, Sequence[str] | Callable[[], Sequence[str]]]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names that the resolver knows, with their addresses or a function that gives them."""
    known: Names = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
        if addresses.parse(str(host)):
            return real(host, port, *arguments, **named)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = known[host]
        if callable(found):
            found = found()
        return [entry for one in found for entry in real(one, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def get(reference: Reference | str, tmp_path: Path, bounds: Bounds = HERE) -> bytes:
    """Fetch; nothing but the whole file may be left."""
    target = Path(tempfile.mkdtemp(dir=tmp_path), "file")
    reference = Reference(reference) if isinstance(reference, str) else reference
    try:
        fetch.fetch(reference, bounds, target)
    except Refused:
        assert os.listdir(target.parent) == []
        raise
    assert os.listdir(target.parent) == ["file"]
    return target.read_bytes()
