"""One exchange over urllib3: what it must not do by itself, and answers that are not HTTP."""

from __future__ import annotations

import gzip
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from joblauncher.inputs import fetch
from joblauncher.inputs.policy import Reference, Refused, TooLarge
from web_answers import HERE, OK_HEAD, Web, content, drip, get, redirect

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def says(*pieces: bytes) -> Callable[[Any], None]:
    """An answer byte for byte, after which the server closes the connection."""

    def answer(handler: Any) -> None:
        for piece in pieces:
            handler.wfile.write(piece)

    return answer


# What urllib3 must not do by itself


def test_nothing_imports_urllib3_before_something_is_fetched() -> None:
    """The supervisor of each job and the dispatcher start without it."""
    starts = "joblauncher.supervisor, joblauncher.inputs.allowance, pywps_hpc.dispatch.stage"
    code = f"import sys, {starts}; print('urllib3' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_each_request_says_what_is_ours_to_say(web: Web, tmp_path: Path) -> None:
    get(f"{web.url}/", tmp_path)
    get(Reference(f"{web.url}/", headers=(("user-agent", "mine"),), body="{}"), tmp_path)
    plain, posted = (headers for _, _, headers, _ in web.seen)
    assert plain == {
        "host": f"127.0.0.1:{web.port}",
        "user-agent": "pywps-hpc",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }
    more = {"user-agent": "mine", "content-type": "text/xml", "content-length": "2"}
    assert posted == plain | more


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_server_that_breaks_off_is_asked_once(web: Web, tmp_path: Path, answer: bytes) -> None:
    web.answers["/"] = says(answer)
    with pytest.raises(Refused, match="closed the connection"):
        get(f"{web.url}/", tmp_path)
    with pytest.raises(Refused, match="closed the connection"):
        get(Reference(f"{web.url}/", body="{}"), tmp_path)
    assert len(web.seen) == 2


def test_no_cookie_is_sent_back(web: Web, tmp_path: Path) -> None:
    web.answers["/"] = content(b"", 302, Location="/next", Set_Cookie="name=value")
    assert get(f"{web.url}/", tmp_path) == b"hello\n"
    assert get(f"{web.url}/next", tmp_path) == b"hello\n"
    assert web.paths() == ["/", "/next", "/next"]
    assert not any("cookie" in headers for _, _, headers, _ in web.seen)


def test_a_body_is_sent_on_where_the_server_asks_for_it_only(web: Web, tmp_path: Path) -> None:
    """RFC 9110, section 15.4: 307 and 308 keep the method."""
    for status in (301, 302, 303, 307, 308):
        web.answers[f"/{status}"] = redirect("/next", status)
        get(Reference(f"{web.url}/{status}", body="{}"), tmp_path)
    ends = [(method, body) for method, path, _, body in web.seen if path == "/next"]
    assert ends == [("GET", b"")] * 3 + [("POST", b"{}")] * 2


# Answers that are not as they should be


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["no head", "status", "long status", "long header", "many headers", "two lengths"],
)
def test_an_answer_that_is_not_http_is_refused(web: Web, tmp_path: Path, answer: bytes) -> None:
    web.answers["/"] = says(answer)
    with pytest.raises(Refused, match=r"^its server's answer is not valid HTTP$"):
        get(f"{web.url}/", tmp_path)


def test_headers_that_cannot_be_parsed_fill_no_log(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = b"no header\r\n" + (b"x" * 60_000 + b"\r\n") * 50
    web.answers["/"] = says(b"HTTP/1.1 200 OK\r\n", lines, b"\r\n", b"hello")
    with caplog.at_level(logging.DEBUG):
        assert get(f"{web.url}/", tmp_path) == b"hello"
    assert sum(len(record.getMessage()) for record in caplog.records) < 1000


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2;x=y\r\nhe\r\n003\r\nllo\r\n0\r\nX-Trailer: x\r\n\r\n", b"hello"),
        (b"0\r\n\r\n", b""),
    ],
)
def test_chunks_are_put_together(web: Web, tmp_path: Path, answer: bytes, expected: bytes) -> None:
    web.answers["/"] = says(CHUNKED, answer)
    assert get(f"{web.url}/", tmp_path) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"5\r\nhello",
        b"5\r\nhello\r\n",
        b"x\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5" + b";x" * 40_000 + b"\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["none", "cut", "no end", "no size", "negative", "long line"],
)
def test_chunks_that_do_not_end_or_begin_are_no_file(
    web: Web, tmp_path: Path, answer: bytes
) -> None:
    web.answers["/"] = says(CHUNKED, answer)
    with pytest.raises(Refused, match=r"closed the connection early|answer is not valid HTTP"):
        get(f"{web.url}/", tmp_path)


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "chunked, chunked", "x"])
def test_a_transfer_coding_that_is_unknown_is_not_taken_for_content(
    web: Web, tmp_path: Path, coding: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()
    web.answers["/"] = says(head, b"5\r\nhello\r\n0\r\n\r\n")
    with pytest.raises(Refused, match="content encoding is not supported"):
        get(f"{web.url}/", tmp_path)


def test_what_comes_behind_the_length_is_no_content(web: Web, tmp_path: Path) -> None:
    def answer(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhello")
        time.sleep(0.2)  # the second read must not begin the count anew
        handler.wfile.write(b" worldly goods")

    web.answers["/"] = answer
    assert get(f"{web.url}/", tmp_path) == b"hello wo"


def test_the_length_of_an_answer_is_known_before_its_content(web: Web) -> None:
    web.answers["/long"] = drip(b"", 0.1, head=OK_HEAD[:-2] + b"Content-Length: 999999999\r\n\r\n")
    web.answers["/unknown"] = says(OK_HEAD, b"hello")
    assert fetch.content_length(Reference(f"{web.url}/long"), HERE) == 999_999_999
    assert fetch.content_length(Reference(f"{web.url}/unknown"), HERE) == 0


@pytest.mark.parametrize("coding", ["deflate", "zstd", "gzip, gzip"])
def test_only_one_content_coding_is_undone(web: Web, tmp_path: Path, coding: str) -> None:
    web.answers["/"] = content(gzip.compress(gzip.compress(b"x")), Content_Encoding=coding)
    with pytest.raises(Refused, match="content encoding is not supported"):
        get(f"{web.url}/", tmp_path)


def test_compressed_nothing_without_end_is_given_up(web: Web, tmp_path: Path) -> None:
    """It never has too many bytes but as it is sent."""
    head = OK_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
    web.answers["/"] = drip(gzip.compress(b"") * 500, 0, head=head)
    with pytest.raises(TooLarge, match="larger than the 1 MB allowed"):
        get(f"{web.url}/", tmp_path)


# Time


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"0", 0.05, head=CHUNKED),
        drip(b";x", 0.05, head=CHUNKED + b"5"),
        drip(b"X: x\r\n", 0.05, head=CHUNKED + b"5\r\nhello\r\n0\r\n"),
    ],
    ids=["size", "extension", "trailer"],
)
def test_lines_between_chunks_that_only_drip_are_given_up(
    web: Web, tmp_path: Path, answer: Callable[[Any], None]
) -> None:
    """They are no content, whose rate counts; and a part of a line must not pass for a size."""
    web.answers["/"] = answer
    begun = time.monotonic()
    with pytest.raises(Refused, match=r"^its server does not answer in time$"):
        get(f"{web.url}/", tmp_path, replace(HERE, timeout=0.5))
    assert time.monotonic() - begun < 60


def test_a_watched_connection_is_closed_with_the_rest(web: Web, tmp_path: Path) -> None:
    """The server sees the end of each connection when it is no longer needed."""
    ended: list[bytes] = []

    def answer(handler: Any) -> None:
        redirect("/next")(handler)
        ended.append(handler.connection.recv(1))

    web.answers["/"] = answer
    get(f"{web.url}/", tmp_path)
    deadline = time.monotonic() + 60
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended == [b""]


# Storing


def test_storage_that_is_full_is_told_as_such(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever byte: what is still buffered fails once more when the file is closed."""
    web.answers["/"] = content(b"x" * 300_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (100, 65_536, 299_999):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(Refused, match=r"^it cannot be stored: File too large$"):
                get(f"{web.url}/", tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(Refused, match=r"^it cannot be stored: Not a directory$"):
        fetch.fetch(Reference(f"{web.url}/"), HERE, tmp_path / "x" / "y")
