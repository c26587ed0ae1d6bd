"""A job's log for its owner: bounded, by ranges, and harmless wherever it is shown."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from dispatcher_harness import DispatcherHarness
from pywps_hpc.jobs import new_id
from pywps_hpc.web import log
from pywps_hpc.web.errors import Busy, NotFound


class Desk:
    """A job with a log."""

    def __init__(self, folder: Path) -> None:
        harness = DispatcherHarness(folder)
        self.service: Any = SimpleNamespace(
            settings=harness.settings, store=harness.store, spool=harness.spool
        )
        self.service.spool.recognise(self.service.spool.identity())
        self.job = harness.accept(owner="anna")
        self.path = harness.folder(self.job).log

    def get(self, wanted: str = "", user: str = "anna", access: str = "") -> Response:
        environ = EnvironBuilder(environ_base={"REMOTE_USER": user}).get_environ()
        if wanted:
            environ["HTTP_RANGE"] = wanted
        return log.response(self.service, Request(environ), access or self.job.access)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_log_is_shown_to_its_owner_alone(desk: Desk) -> None:
    desk.path.write_bytes(b"began\n")
    answer = desk.get()
    assert (answer.status_code, answer.get_data()) == (200, b"began\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for user, access in (("ben", ""), ("", ""), ("anna", new_id())):
        with pytest.raises(NotFound, match=r"There is no such job\."):
            desk.get(user=user, access=access)


def test_a_job_that_has_not_begun_has_no_log_yet(desk: Desk) -> None:
    with pytest.raises(NotFound, match="has not written a log yet"):
        desk.get()
    desk.service.spool.root.rename(desk.service.spool.root.with_name("away"))
    with pytest.raises(Busy):
        desk.get()


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_plain_file_is_no_log(desk: Desk, kind: str) -> None:
    if kind == "folder":
        desk.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(desk.path)
    else:
        desk.path.symlink_to("/etc/passwd")
    with pytest.raises(NotFound, match="no log that can be read"):
        desk.get()


def test_of_a_large_log_the_end_is_shown_and_how_much_is_left_out(desk: Desk) -> None:
    lines = [f"line {number}\n".encode() for number in range(200_000)]
    desk.path.write_bytes(b"".join(lines))
    shown = desk.get().get_data()
    assert len(shown) <= log.MOST + 100
    notice, _, rest = shown.partition(b"\n")
    assert b"".join(lines).endswith(rest)
    assert rest.startswith(b"line ")
    assert notice.startswith(f"({desk.path.stat().st_size - len(rest)} bytes before".encode())


def test_ranges_walk_through_a_log_and_follow_its_end(desk: Desk) -> None:
    content = bytes(65 + number % 26 for number in range(3 * log.MOST))
    desk.path.write_bytes(content)
    found, size = b"", len(content)
    while len(found) < size:
        answer = desk.get(f"bytes={len(found)}-")
        assert answer.status_code == 206
        part = answer.get_data()
        last = len(found) + len(part) - 1
        assert answer.headers["Content-Range"] == f"bytes {len(found)}-{last}/{size}"
        assert len(part) == log.MOST
        found += part
    assert found == content
    end = desk.get(f"bytes={size}-")
    assert (end.status_code, end.headers["Content-Range"]) == (416, f"bytes */{size}")
    with desk.path.open("ab") as file:
        file.write(b"more")
    assert desk.get(f"bytes={size}-").get_data() == b"more"
    assert desk.get("bytes=-4").get_data() == b"more"
    assert desk.get(f"bytes=-{size}").get_data() == (content + b"more")[-log.MOST :]
    assert desk.get("bytes=1-3").get_data() == content[1:4]


@pytest.mark.parametrize("other", ["lines=1-2", "bytes=0-1,3-4", "bytes=x", "bytes=3-1", "bytes"])
def test_a_range_that_is_not_understood_is_none(desk: Desk, other: str) -> None:
    desk.path.write_bytes(b"abcdef")
    answer = desk.get(other)
    assert (answer.status_code, answer.get_data()) == (200, b"abcdef")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[31mred\x1b[0m\a\x00", b"?[31mred?[0m??"),
        (b"10 %\r20 %\r\ndone\r", b"10 %\n20 % \ndone\n"),
        ("é\t雪 \u202eevil\u2066\ufeff\x9b".encode(), "é\t雪 ???evil????????".encode()),
        (b"latin \xe9 \x9b1m", b"latin ? ?1m"),
        (b"\xff\xfe\x80", b"???"),
    ],
)
def test_what_moves_colours_or_turns_a_terminal_is_replaced(written: bytes, shown: bytes) -> None:
    assert log.harmless(written) == shown


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\x1b", "é雪😀\u202e".encode(), b"\xe9"])))
def test_every_range_is_a_part_of_the_whole(desk_parts: list[bytes]) -> None:
    content = b"".join(desk_parts)
    whole = log.harmless(content)
    assert len(whole) == len(content)
    for start in range(len(content)):
        for stop in range(start + 1, min(len(content), start + 6) + 1):
            assert log._part(io.BytesIO(content), start, stop) == whole[start:stop]
