"""Notices to the administrator: of ends and of a batch system that is silent, bounded, beside the
loop."""

from __future__ import annotations

import email
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatcher_harness import DispatcherHarness
from pywps_hpc.dispatch import notice_outbox
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.settings import build
from pywps_hpc.settings.sections import Notices
from pywps_hpc.timing import TIMING
from servers import wait_for
from web_answers import Web, content, serve

#: What the batch system says of a job whose process failed.
FAILED = JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=1)


@pytest.fixture
def web() -> Iterator[Web]:
    yield from serve(Web())


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(
        tmp_path, timing=replace(TIMING, notice_pause=0.001, notice_patience=0.001)
    )


def tell(harness: DispatcherHarness, *events: str, **ways: Any) -> None:
    """Let the administrator be told of these events."""
    harness.settings = replace(harness.settings, notices=Notices(tuple(events), **ways))
    harness.restart()


def sent(harness: DispatcherHarness) -> None:
    """One more turn, and whatever it sends has been sent."""
    time.sleep(0.002)
    harness.cycle()
    harness.dispatcher._notices.wait()


def outbox(harness: DispatcherHarness) -> notice_outbox.Outbox:
    """Of the only way."""
    (one,) = harness.dispatcher._notices._outboxes
    return one


def told(web: Web) -> list[Any]:
    return [json.loads(body) for _, _, _, body in web.seen]


def failed(harness: DispatcherHarness) -> str:
    job = harness.running()
    harness.fail(job, "the data has no time axis", "process")
    harness.scheduler.say(job.native_id, FAILED)
    harness.cycle()
    return job.id


def succeeded(harness: DispatcherHarness) -> None:
    harness.succeed_in_queue(harness.running())
    harness.cycle()


def test_a_job_that_failed_is_told_and_a_success_is_not(
    harness: DispatcherHarness, web: Web
) -> None:
    tell(harness, "failed", webhook=f"{web.url}/hook")
    succeeded(harness)
    job = failed(harness)
    sent(harness)
    (message,) = told(web)
    assert "the data has no time axis" in message["text"]
    assert message["left_out"] == 0
    (notice,) = message["notices"]
    assert (notice["event"], notice["job"]) == ("failed", job)


def test_all_ends_are_told_in_one_message_that_is_bounded(
    harness: DispatcherHarness, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice_outbox, "MOST", 2)
    tell(harness, "ended", webhook=f"{web.url}/")
    outbox(harness)._due = time.monotonic() + 3600
    for _ in range(4):
        succeeded(harness)
    assert told(web) == []
    outbox(harness)._due = 0.0
    sent(harness)
    (message,) = told(web)
    assert [notice["event"] for notice in message["notices"]] == ["ended", "ended"]
    assert message["left_out"] == 2
    assert "and 2 more events" in message["text"]


def test_what_waits_is_bounded_and_what_is_lost_is_counted(
    harness: DispatcherHarness, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice_outbox, "MOST_WAITING", 3)
    tell(harness, "ended", webhook=f"{web.url}/")
    outbox(harness)._due = time.monotonic() + 3600
    for _ in range(5):
        succeeded(harness)
    outbox(harness)._due = 0.0
    sent(harness)
    (message,) = told(web)
    assert (len(message["notices"]), message["left_out"]) == (3, 2)


def test_a_batch_system_that_is_silent_is_told_once_and_when_it_answers(
    harness: DispatcherHarness, web: Web
) -> None:
    tell(harness, "unreachable", webhook=f"{web.url}/")
    harness.accept()
    harness.cycle()
    harness.scheduler.unavailable = True
    for _ in range(3):
        sent(harness)
    harness.scheduler.unavailable = False
    sent(harness)
    sent(harness)
    events = [notice["event"] for message in told(web) for notice in message["notices"]]
    assert events == ["unreachable", "reachable"]
    assert "cannot be asked" in told(web)[0]["text"]


def test_one_that_is_silent_for_a_moment_is_not_told(harness: DispatcherHarness, web: Web) -> None:
    harness.timing = replace(harness.timing, notice_patience=3600.0)
    tell(harness, "unreachable", webhook=f"{web.url}/")
    harness.scheduler.unavailable = True
    sent(harness)
    harness.scheduler.unavailable = False
    sent(harness)
    assert told(web) == []


def test_a_receiver_that_hangs_does_not_hold_up_the_loop(
    harness: DispatcherHarness, web: Web
) -> None:
    go_on = threading.Event()

    def hang(handler: Any) -> None:
        go_on.wait(60)
        content(b"")(handler)

    web.answers["/"] = hang
    tell(harness, "failed", webhook=f"{web.url}/")
    try:
        first = failed(harness)
        begun = time.monotonic()
        for _ in range(5):
            second = failed(harness)
        assert time.monotonic() - begun < 30
        assert first != second
        assert outbox(harness)._sending._is_busy
    finally:
        go_on.set()
        harness.dispatcher._notices.wait()


def test_what_nobody_takes_is_tried_again_and_then_given_up(
    harness: DispatcherHarness, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    web.answers["/"] = content(b"", 503)
    tell(harness, "failed", webhook=f"{web.url}/")
    failed(harness)
    for _ in range(notice_outbox.TRIES + 3):
        sent(harness)
    assert len(web.seen) == notice_outbox.TRIES
    assert "HTTP status 503" in caplog.text
    web.answers["/"] = content(b"")
    job = failed(harness)
    sent(harness)
    assert [notice["job"] for notice in told(web)[-1]["notices"]] == [job]


class _Mail(socketserver.StreamRequestHandler):
    """A server that takes mail (RFC 5321), and keeps what it took."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail\r\n")
        for line in self.rfile:
            word = line.split()[0].upper()
            if word == b"QUIT" and _RUDE.is_set():
                self.wfile.write(b"421 no time\r\n")
                return
            if word == b"RCPT" and b"gone@" in line:
                self.wfile.write(b"550 no such user\r\n")
                continue
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                taken = bytearray()
                while (part := self.rfile.readline()) != b".\r\n":
                    taken += part
                _TAKEN.append(bytes(taken))
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


_TAKEN: list[bytes] = []
_RUDE = threading.Event()


@pytest.fixture
def mail() -> Iterator[tuple[str, int]]:
    _TAKEN.clear()
    _RUDE.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


def test_the_same_goes_by_mail(harness: DispatcherHarness, mail: tuple[str, int]) -> None:
    tell(harness, "failed", mail=("hpc@example.org", "on-call@example.org"), smtp=mail)
    job = failed(harness)
    sent(harness)
    (taken,) = _TAKEN
    message = email.message_from_bytes(taken)
    assert message["To"] == "hpc@example.org, on-call@example.org"
    assert message["Subject"].startswith("pywps-hpc: job ")
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert job in text.decode()


def test_a_way_that_fails_is_tried_again_and_the_other_tells_nothing_twice(
    harness: DispatcherHarness, web: Web, mail: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    web.answers["/"] = content(b"", 503)
    tell(harness, "failed", webhook=f"{web.url}/", mail=("hpc@example.org",), smtp=mail)
    first = failed(harness)
    for _ in range(2):
        sent(harness)
    assert len(web.seen) >= 2
    assert len(_TAKEN) == 1
    assert "could not be told by webhook, try 2 of 5" in caplog.text
    refused = len(web.seen)
    web.answers["/"] = content(b"")
    second = failed(harness)
    for _ in range(2):
        sent(harness)
    taken = [notice["job"] for message in told(web)[refused:] for notice in message["notices"]]
    assert taken == [first, second]
    mails = [email.message_from_bytes(each).get_payload() for each in _TAKEN]
    assert [sum(job in str(text) for text in mails) for job in (first, second)] == [1, 1]


def test_mail_that_fails_lets_the_webhook_alone(harness: DispatcherHarness, web: Web) -> None:
    nobody = ("127.0.0.1", 1)
    tell(harness, "failed", webhook=f"{web.url}/", mail=("hpc@example.org",), smtp=nobody)
    failed(harness)
    for _ in range(3):
        sent(harness)
    assert len(web.seen) == 1


def test_a_way_that_hangs_does_not_hold_up_the_other(
    harness: DispatcherHarness, web: Web, mail: tuple[str, int]
) -> None:
    go_on = threading.Event()

    def hang(handler: Any) -> None:
        go_on.wait(60)
        content(b"")(handler)

    web.answers["/"] = hang
    tell(harness, "failed", webhook=f"{web.url}/", mail=("hpc@example.org",), smtp=mail)
    try:
        failed(harness)
        time.sleep(0.002)
        harness.cycle()
        wait_for(lambda: _TAKEN, "the mail has come")
    finally:
        go_on.set()
        harness.dispatcher._notices.wait()


def test_what_a_mail_server_took_is_not_sent_again_for_what_came_after(
    harness: DispatcherHarness, mail: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    _RUDE.set()
    tell(harness, "failed", mail=("hpc@example.org", "gone@example.org"), smtp=mail)
    failed(harness)
    for _ in range(3):
        sent(harness)
    assert len(_TAKEN) == 1
    assert "does not take mail for gone@example.org: 550 no such user" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"), [("webhook", "hooks.example.org/x"), ("mail", "hpc"), ("events", "start")]
)
def test_what_is_no_address_is_refused(tmp_path: Path, key: str, value: str) -> None:
    sections = {"hpc": {"spool": str(tmp_path)}, "hpc.notices": {key: value}}
    with pytest.raises(ValueError, match=rf"\[hpc.notices\] {key}: "):
        build(sections, "pywps.cfg")
