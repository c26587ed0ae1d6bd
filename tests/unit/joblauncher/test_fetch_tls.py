"""Certificates and proxies: the name counts though an address is connected to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest

from joblauncher.inputs import fetch
from joblauncher.inputs.policy import Bounds, Reference, Refused, Stopped
from web_answers import HERE, OK_HEAD, Names, Web, content, drip, get, serve

UNREACHABLE = "its host is unknown or not allowed"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for data.example.org that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=data.example.org", "-addext", "subjectAltName=DNS:data.example.org"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[tuple[Web, list[str | None]]]:
    """A server with that certificate, and the names that clients asked for."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    for web in serve(Web(), context):
        yield web, names


def test_tls_keeps_the_name_though_the_connection_goes_to_an_address(
    secure: tuple[Web, list[str | None]],
    certificate: tuple[Path, Path],
    resolver: Names,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web, names = secure
    resolver.update({"data.example.org": ["127.0.0.1"], "evil.example.org": ["127.0.0.1"]})
    with pytest.raises(Refused, match="certificate of its server is not valid"):
        get(f"https://data.example.org:{web.port}/", tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(certificate[0]))
    assert get(f"https://data.example.org:{web.port}/", tmp_path) == b"hello\n"
    with pytest.raises(Refused, match="certificate of its server is not valid"):
        get(f"https://evil.example.org:{web.port}/", tmp_path)
    assert names == ["data.example.org", "data.example.org", "evil.example.org"]
    assert web.seen[0][2]["host"] == f"data.example.org:{web.port}"


def test_proxies_of_the_environment_do_not_count(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(f"{web.url}/", tmp_path) == b"hello\n"


def test_the_administrator_s_proxy_is_asked_but_not_for_this_host(
    web: Web, tmp_path: Path, resolver: Names
) -> None:
    through = replace(HERE, proxy=f"http://127.0.0.1:{web.port}", allowed_networks=())
    assert get("http://only-the-proxy-knows.example.org/a", tmp_path, through) == b"hello\n"
    assert web.paths() == ["http://only-the-proxy-knows.example.org/a"]
    resolver["sly.example.org"] = ["8.8.8.8", "10.0.0.1"]
    for host in ("127.0.0.1", "10.0.0.1", "sly.example.org"):
        with pytest.raises(Refused, match=UNREACHABLE):
            get(f"http://{host}/", tmp_path, through)
    assert len(web.seen) == 1


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"x", 0.05, head=b"HTTP/1.1 200 OK\r\nX: "),
        drip(b"x", 0.05, head=OK_HEAD),
        drip(b"0", 0.05, head=CHUNKED_HEAD),
        drip(b"", 0.05, head=OK_HEAD),
    ],
    ids=["head", "body", "chunk", "silence"],
)
def test_whoever_no_longer_wants_an_input_stops_it_inside_tls(
    secure: tuple[Web, list[str | None]],
    certificate: tuple[Path, Path],
    resolver: Names,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Any], None],
) -> None:
    """The connection is cut below TLS, which a reader is using."""
    web, _ = secure
    web.answers["/"] = answer
    resolver["data.example.org"] = ["127.0.0.1"]
    monkeypatch.setattr(certifi, "where", lambda: str(certificate[0]))
    url = Reference(f"https://data.example.org:{web.port}/")
    with pytest.raises(Stopped):
        fetch.fetch(url, HERE, tmp_path / "x", lambda: bool(web.seen))


# A tunnel through the proxy (RFC 9110, section 9.3.6)


def tunnel(port: int) -> Callable[[Any], None]:
    """What a proxy does for CONNECT; the target's name it takes for this host's."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def answer(handler: Any) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            handler.wfile.write(b"HTTP/1.1 200 Connection established\r\nX: x\r\n\r\n")
            there = threading.Thread(target=pump, args=(handler.connection, far), daemon=True)
            there.start()
            pump(far, handler.connection)
            there.join()

    return answer


def through(proxy: Web, **named: Any) -> Bounds:
    return replace(HERE, proxy=f"http://127.0.0.1:{proxy.port}", **named)


def test_tls_goes_through_the_proxy_to_the_name(
    secure: tuple[Web, list[str | None]],
    certificate: tuple[Path, Path],
    web: Web,
    resolver: Names,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy may know what this host does not; what it says of the certificate is no answer."""
    target, names = secure
    monkeypatch.setattr(certifi, "where", lambda: str(certificate[0]))
    for host in ("data.example.org", "evil.example.org"):
        web.answers[f"{host}:{target.port}"] = tunnel(target.port)
    url = f"https://me:secret@data.example.org:{target.port}/a"
    assert get(url, tmp_path, through(web)) == b"hello\n"
    [(method, path, headers, _)] = web.seen
    assert (method, path) == ("CONNECT", f"data.example.org:{target.port}")
    assert "authorization" not in headers
    [(_, path, headers, _)] = target.seen
    assert (path, headers["host"]) == ("/a", f"data.example.org:{target.port}")
    with pytest.raises(Refused, match="certificate of its server is not valid"):
        get(f"https://evil.example.org:{target.port}/", tmp_path, through(web))
    assert names == ["data.example.org", "evil.example.org"]
    assert len(target.seen) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (content(b"no", 407), "cannot be reached, or closed the connection"),
        (drip(b"X: x\r\n", 0.05, head=b"HTTP/1.1 200 OK\r\n"), "does not answer in time"),
        (drip(b"x", 0.05, head=b"HTTP/1.1 200 "), "does not answer in time"),
    ],
    ids=["refused", "headers", "status"],
)
def test_a_proxy_that_makes_no_tunnel_is_given_up(
    web: Web, resolver: Names, tmp_path: Path, answer: Callable[[Any], None], message: str
) -> None:
    web.answers["data.example.org:443"] = answer
    with pytest.raises(Refused, match=message):
        get("https://data.example.org/", tmp_path, through(web, timeout=0.5))


def test_a_proxy_is_asked_for_no_address_of_this_host_by_a_tunnel(web: Web, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=UNREACHABLE):
        get("https://127.0.0.1/", tmp_path, through(web, allowed_networks=()))
    assert web.seen == []
