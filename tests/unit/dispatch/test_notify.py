"""Callbacks: told at least once, at most five times, over restarts, and beside the loop."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE, RUNNING
from ogcapi_schemas import assert_valid
from pywps_hpc.dispatch import delivery, notify
from pywps_hpc.dispatch.notify import HOSTS, TRIES
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.errors import LeadershipLost
from pywps_hpc.jobs import ControlRequest, Job, State
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.settings.sections import Callbacks
from pywps_hpc.timing import TIMING
from servers import wait_for
from web_answers import Web, content, serve

SECRET = "correct horse battery staple"
HOUR = 3600.0
OVER = JobStatus(Phase.FINISHED, Outcome.CANCELLED)


@pytest.fixture
def web() -> Iterator[Web]:
    yield from serve(Web())


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    found = DispatcherHarness(
        tmp_path, timing=replace(TIMING, callback_look=0.0, callback_rest=0.0)
    )
    allow(found, "127.0.0.1", "localhost", secret=secret)
    return found


def allow(harness: DispatcherHarness, *hosts: str, secret: Path | None = None) -> None:
    """Let these hosts be told, and no others."""
    own = Callbacks(hosts, secret or harness.settings.callbacks.secret)
    harness.settings = replace(harness.settings, callbacks=own)
    harness.restart()


def all_of(url: str) -> dict[Event, str]:
    return {event: f"{url}/{event.value}" for event in Event}


def told(web: Web, path: str) -> list[Any]:
    return [json.loads(body) for _, seen, _, body in web.seen if seen == path]


def run(harness: DispatcherHarness, urls: Mapping[Event, str]) -> Job:
    """A job that runs, and whose receivers have been told so."""
    job = harness.accept(urls)
    harness.cycle()
    job = harness.row(job)
    harness.scheduler.say(job.native_id, RUNNING)
    harness.begin(job)
    harness.cycle()
    return harness.row(job)


def test_each_change_and_the_results_of_a_success_are_told(
    harness: DispatcherHarness, web: Web
) -> None:
    job = run(harness, all_of(web.url))
    outputs = [
        {"identifier": "mean", "type": "literal", "data": "3.5", "data_type": "float"},
        {"identifier": "name", "type": "literal", "data": "x", "data_type": "string"},
    ]
    harness.succeed_in_queue(job, outputs=outputs)
    harness.cycle()
    assert web.paths() == ["/inProgress", "/inProgress", "/success"]
    before = told(web, "/inProgress")
    for found in before:
        assert_valid("statusInfo", found)
        assert found["jobID"] == job.access
    assert [found["status"] for found in before] == ["accepted", "running"]
    assert told(web, "/success") == [{"mean": 3.5, "name": "x"}]
    assert harness.store.callbacks_of(job.id) == []
    for _ in range(3):
        harness.cycle(later=HOUR)
    assert len(web.seen) == 3


@pytest.mark.parametrize(("status", "how"), [("failed", "fail"), ("dismissed", "dismiss")])
def test_a_failure_and_a_dismissal_are_told_as_a_status(
    harness: DispatcherHarness, web: Web, status: str, how: str
) -> None:
    urls = {event: url for event, url in all_of(web.url).items() if event is not Event.IN_PROGRESS}
    job = run(harness, urls)
    if how == "dismiss":
        assert harness.store.request(job.id, ControlRequest.DISMISS)
        harness.cycle()
    else:
        harness.fail(job, "no outlet", "process")
    harness.scheduler.say(job.native_id, OVER if how == "dismiss" else DONE)
    harness.cycle()
    assert harness.row(job).state.value == status
    [found] = told(web, "/failed")
    assert_valid("statusInfo", found)
    assert found["status"] == status
    assert web.paths() == ["/failed"]


def test_a_message_is_signed_and_names_its_job(harness: DispatcherHarness, web: Web) -> None:
    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    harness.succeed_in_queue(job)
    harness.cycle()
    [(method, _, headers, body)] = web.seen
    assert method == "POST"
    assert headers["content-type"] == "application/json"
    assert headers["pywps-hpc-event"] == "success"
    assert headers["pywps-hpc-job"] == job.access
    moment, code = (part.partition("=")[2] for part in headers["pywps-hpc-signature"].split(","))
    assert abs(int(moment) - harness.now) <= 1
    signed = f"{moment}.".encode() + body
    assert code == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_a_receiver_that_fails_is_tried_five_times_with_longer_and_longer_pauses(
    harness: DispatcherHarness, web: Web
) -> None:
    web.answers["/success"] = content(b"", 500)
    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    harness.succeed_in_queue(job)
    harness.cycle()
    pauses = []
    for number in range(1, TRIES):
        assert len(web.seen) == number
        [callback] = harness.store.callbacks_of(job.id)
        pauses.append(callback.due - harness.now)
        harness.cycle(later=pauses[-1] - 1)
        assert len(web.seen) == number
        harness.cycle(later=2)
    assert len(web.seen) == TRIES == 5
    assert pauses == sorted(pauses)
    assert pauses[0] * 10 < pauses[-1]
    assert harness.store.callbacks_of(job.id) == []
    harness.cycle(later=100 * HOUR)
    assert len(web.seen) == TRIES
    assert harness.row(job).state is State.SUCCEEDED


def test_a_receiver_that_is_away_over_a_restart_is_told_later(harness: DispatcherHarness) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # nobody listens there
        job = harness.accept({Event.SUCCESS: f"http://127.0.0.1:{port}/success"})
        harness.cycle()
        harness.succeed_in_queue(job)
        harness.cycle()
        [callback] = harness.store.callbacks_of(job.id)
        assert callback.tries == 1
        harness.restart()
        harness.cycle(later=TIMING.callback_pause + 1)
        [callback] = harness.store.callbacks_of(job.id)
        assert callback.tries == 2  # a new dispatcher does not begin anew
    here = Web(port=port)
    servers = serve(here)
    next(servers)
    try:
        harness.restart()
        harness.cycle(later=HOUR)
        assert here.paths() == ["/success"]
        assert harness.store.callbacks_of(job.id) == []
    finally:
        next(servers, None)


def test_a_dispatcher_that_is_killed_after_it_told_tells_again(
    harness: DispatcherHarness, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> bool:
        raise LeadershipLost

    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    harness.succeed_in_queue(job)
    with monkeypatch.context() as patch:
        patch.setattr(type(harness.store), "close_callback", killed)
        harness.cycle()
    assert web.paths() == ["/success"]
    harness.restart()
    harness.cycle()
    assert web.paths() == ["/success"]  # not at once
    harness.cycle(later=HOUR)
    assert web.paths() == ["/success"] * 2
    assert harness.store.callbacks_of(job.id) == []


def test_a_receiver_that_hangs_delays_neither_the_loop_nor_another_receiver(
    harness: DispatcherHarness, web: Web
) -> None:
    release = threading.Event()
    web.answers["/hang"] = lambda _handler: release.wait(60)
    jobs = [
        harness.accept({Event.SUCCESS: url})
        for url in (f"{web.url}/hang", f"{web.url.replace('127.0.0.1', 'localhost')}/fine")
    ]
    harness.cycle()
    for job in jobs:
        harness.succeed_in_queue(job)
    begun = time.monotonic()
    harness.turn()
    assert time.monotonic() - begun < 5
    assert [harness.row(job).state for job in jobs] == [State.SUCCEEDED] * 2
    wait_for(lambda: sorted(web.paths()) == ["/fine", "/hang"], "both were asked")
    wait_for(lambda: not harness.store.callbacks_of(jobs[1].id), "it was told")
    for _ in range(3):
        harness.turn()
    assert web.paths().count("/hang") == 1  # one message at a time goes to a host
    release.set()
    harness.dispatcher._notifier.wait()


def test_a_receiver_that_hangs_is_given_up_in_time(harness: DispatcherHarness, web: Web) -> None:
    release = threading.Event()
    web.answers["/hang"] = lambda _handler: release.wait(60)
    harness.timing = replace(harness.timing, callback_answer=0.3, callback_total=0.5)
    harness.restart()
    job = harness.accept({Event.SUCCESS: f"{web.url}/hang"})
    harness.cycle()
    harness.succeed_in_queue(job)
    begun = time.monotonic()
    harness.cycle()
    assert time.monotonic() - begun < 10
    release.set()
    assert [found.tries for found in harness.store.callbacks_of(job.id)] == [1]


def test_no_redirection_is_followed(harness: DispatcherHarness, web: Web) -> None:
    web.answers["/success"] = content(b"", 307, Location=f"{web.url}/elsewhere")
    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    harness.succeed_in_queue(job)
    harness.cycle()
    harness.cycle(later=HOUR)
    assert web.paths() == ["/success"] * 2


@pytest.mark.parametrize("hosts", [(), ("hooks.example.org",), ("10.0.0.0/8",), ("*",)])
def test_a_host_that_is_not_allowed_any_more_is_not_connected_to(
    harness: DispatcherHarness, web: Web, hosts: tuple[str, ...]
) -> None:
    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    allow(harness, *hosts)
    harness.succeed_in_queue(job)
    harness.cycle()
    assert web.seen == []
    assert harness.row(job).state is State.SUCCEEDED


def test_few_hosts_are_told_at_once(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked = threading.Event(), []

    def post(url: str, *_: object) -> None:
        asked.append(url)
        release.wait(60)

    allow(harness, "*")
    monkeypatch.setattr(delivery, "post", post)
    jobs = [
        harness.accept({Event.SUCCESS: f"http://host{number}.example.org/"})
        for number in range(3 * HOSTS)
    ]
    harness.cycle()
    for job in jobs:
        harness.succeed_in_queue(job)
    harness.turn()
    wait_for(lambda: len(asked) == HOSTS, "as many as may be are asked")
    for _ in range(3):
        harness.turn()
    assert len(asked) == HOSTS
    release.set()
    for _ in range(3):
        harness.cycle()
    assert sorted(asked) == sorted(f"http://host{number}.example.org/" for number in range(12))


def test_a_removed_job_is_not_told_of(harness: DispatcherHarness, web: Web) -> None:
    web.answers["/success"] = content(b"", 500)
    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    harness.succeed_in_queue(job)
    harness.cycle()
    assert harness.store.remove(job.id)
    assert harness.store.callbacks_of(job.id) == []
    harness.cycle(later=HOUR)
    assert len(web.seen) == 1


def test_what_is_too_large_for_a_message_is_a_link_in_it(
    harness: DispatcherHarness, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "INLINE", 10)
    job = harness.accept({Event.SUCCESS: f"{web.url}/success"})
    harness.cycle()
    folder = replace(harness.folder(job), access=job.access)
    href = f"http://here/outputs/{job.access}"
    outputs = []
    for name, size in (("small", 5), ("large", 11)):
        folder.outputs.mkdir(parents=True, exist_ok=True)
        (folder.outputs / name).write_bytes(b"x" * size)
        outputs.append(
            {
                **{"identifier": name, "type": "complex", "mimetype": "text/plain"},
                **{"href": f"{href}/{name}"},
            }
        )
    harness.succeed_in_queue(job, outputs=outputs)
    harness.cycle()
    [found] = told(web, "/success")
    assert found["small"] == {"value": "xxxxx", "mediaType": "text/plain"}
    assert found["large"]["href"] == f"{href}/large"


def test_results_that_cannot_be_written_keep_no_other_message(
    harness: DispatcherHarness, web: Web
) -> None:
    """A process may leave a report with anything in it."""
    urls = {Event.SUCCESS: f"{web.url}/success"}
    forged, fine = harness.accept(urls), harness.accept(urls)
    harness.cycle()
    box = {"identifier": "box", "type": "bbox", "bbox": ["x"], "crs": "EPSG:4326"}
    harness.succeed_in_queue(forged, outputs=[box])
    harness.succeed_in_queue(fine)
    harness.cycle()
    assert told(web, "/success") == [{}]
    assert harness.store.callbacks_of(fine.id) == []
    assert [found.tries for found in harness.store.callbacks_of(forged.id)] == [1]


def test_nothing_is_asked_of_the_table_where_nobody_may_be_told(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(harness)
    monkeypatch.setattr(notify.Notifier, "_look", lambda _: pytest.fail("it looked"))
    harness.queued()
    harness.cycle()
