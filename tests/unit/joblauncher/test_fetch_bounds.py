"""How much is fetched, and how long it may take."""

from __future__ import annotations

import contextlib
import gzip
import os
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblauncher.inputs import deadline, fetch, resolve
from joblauncher.inputs.policy import (
    Reference,
    Refused,
    Stopped,
    TooLarge,
)
from web_answers import HERE, OK_HEAD, Names, Web, content, drip, get

UNREACHABLE = "its host is unknown or not allowed"


def test_a_body_is_posted_and_may_itself_be_fetched(web: Web, tmp_path: Path) -> None:
    web.answers["/body"] = content(b"<fetched/>")
    headers = (("content-type", "application/json"), ("Accept", "text/csv"))
    get(Reference(f"{web.url}/", headers=headers, body="{}"), tmp_path)
    get(Reference(f"{web.url}/", body_url=f"{web.url}/body"), tmp_path)
    posts = [(h["content-type"], h["accept"], body) for m, _, h, body in web.seen if m == "POST"]
    assert posts == [("application/json", "text/csv", b"{}"), ("text/xml", "*/*", b"<fetched/>")]


@pytest.mark.parametrize("status", [204, 206, 304, 400, 404, 500, 599])
def test_an_error_page_is_not_an_input(web: Web, tmp_path: Path, status: int) -> None:
    web.answers["/"] = content(b"" if status in (204, 304) else b"sorry", status)
    if status == 204:
        assert get(f"{web.url}/", tmp_path) == b""
        return
    with pytest.raises(Refused, match=f"HTTP status {status}"):
        get(f"{web.url}/", tmp_path)


# Bytes


def test_what_says_that_it_is_too_large_is_not_read(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = drip(b"x", 0, head=OK_HEAD[:-2] + b"Content-Length: 1048577\r\n\r\n")
    with pytest.raises(TooLarge, match="larger than the 1 MB allowed"):
        get(f"{web.url}/", tmp_path)
    web.answers["/"] = content(b"x" * (1 << 20))
    assert len(get(f"{web.url}/", tmp_path)) == 1 << 20


def test_fault_22_what_never_ends_is_given_up(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = drip(b"x" * 5000, 0, head=OK_HEAD)
    with pytest.raises(TooLarge):
        get(f"{web.url}/", tmp_path)


def test_compressed_content_counts_as_what_it_becomes(web: Web, tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * (200 << 20))
    assert len(bomb) < 1 << 20
    web.answers["/bomb"] = content(bomb, Content_Encoding="gzip")
    with pytest.raises(TooLarge):
        get(f"{web.url}/bomb", tmp_path)
    text = os.urandom(300_000) + b"a" * 300_000
    two = gzip.compress(text[:1000]) + gzip.compress(text[1000:])
    web.answers["/fine"] = content(two, Content_Encoding="x-gzip")
    assert get(f"{web.url}/fine", tmp_path) == text
    web.answers["/cut"] = content(two[:-9], Content_Encoding="gzip")
    with pytest.raises(Refused, match="early"):
        get(f"{web.url}/cut", tmp_path)
    web.answers["/not"] = content(b"plain", Content_Encoding="gzip")
    with pytest.raises(Refused, match="damaged"):
        get(f"{web.url}/not", tmp_path)
    web.answers["/br"] = content(b"x", Content_Encoding="br")
    with pytest.raises(Refused, match="not supported"):
        get(f"{web.url}/br", tmp_path)


@pytest.mark.parametrize("chunked", [False, True])
def test_half_a_file_is_no_file(web: Web, tmp_path: Path, chunked: bool) -> None:
    def answer(handler: Any) -> None:
        kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100"
        body = b"64\r\nhalf" if chunked else b"half"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n\r\n" + body)

    web.answers["/"] = answer
    with pytest.raises(Refused, match="closed the connection early"):
        get(f"{web.url}/", tmp_path)


# Time


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the time for an input be over at once."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    monkeypatch.setattr(deadline, "time", clock)
    return lambda: passed.append(HERE.total_timeout)


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"x", 0.1, head=OK_HEAD),
        drip(b"X-More: x\r\n", 0.1, head=b"HTTP/1.1 200 OK\r\n"),
        drip(b"x", 0.1, head=b"HTTP/1.1 200 OK\r\nX: "),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1),
        drip(b"", 0.1),
    ],
    ids=["body", "headers", "one header", "continue", "silence"],
)
def test_fault_22_a_slow_server_is_given_up(
    web: Web, tmp_path: Path, answer: Callable[[Any], None], pass_time: Callable[[], None]
) -> None:
    def slowly(handler: Any) -> None:
        threading.Timer(0.5, pass_time).start()
        answer(handler)

    web.answers["/"] = slowly
    with pytest.raises(Refused, match="did not arrive within 600 seconds"):
        get(f"{web.url}/", tmp_path)


def test_a_silent_server_is_given_up_before_its_time_is_over(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers["/"] = drip(b"", 0.1)
    here = [ip_address("127.0.0.1")]  # the resolver is given up in other words
    monkeypatch.setattr(resolve, "resolve", lambda host, port, timeout: here)
    with pytest.raises(Refused, match="does not answer in time"):
        get(f"{web.url}/", tmp_path, replace(HERE, timeout=0.5, total_timeout=3600))


def test_a_resolver_that_does_not_answer_is_given_up(resolver: Names, tmp_path: Path) -> None:
    release = threading.Event()
    resolver["slow.example.org"] = lambda: ["127.0.0.1"] * release.wait(60)
    with pytest.raises(Refused, match=UNREACHABLE):
        get("http://slow.example.org/", tmp_path, replace(HERE, timeout=0.3))
    release.set()


def test_whoever_no_longer_wants_an_input_stops_it(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = drip(b"", 0.1, head=OK_HEAD)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        fetch.fetch(Reference(f"{web.url}/"), HERE, tmp_path / "x", stop.is_set)


def test_a_handshake_that_never_ends_is_given_up(
    tmp_path: Path, pass_time: Callable[[], None]
) -> None:
    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            threading.Timer(0.5, pass_time).start()
            with contextlib.suppress(OSError):
                self.request.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB begins
                while True:
                    self.request.sendall(b"\0")
                    time.sleep(0.1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Refused, match="did not arrive within 600 seconds"):
            get(f"https://127.0.0.1:{server.server_address[1]}/", tmp_path)
        server.shutdown()
