"""Inputs that the dispatcher fetches: no client, job or server takes the time of the others."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher_harness import DispatcherHarness
from joblauncher.inputs import allowance, deadline, fetch
from joblauncher.inputs.allowance import Allowance
from joblauncher.inputs.policy import Bounds, NotStored, Reference, Refused, TooLarge
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch import stage as staging
from pywps_hpc.dispatch.decide.turns import share
from pywps_hpc.jobs import Cause, Job, State, new_id
from servers import wait_for
from web_answers import HERE, OK_HEAD, Web, content, drip

PATIENT = replace(HERE, min_rate=0)


# Turns


def jobs(*clients: str, first: int = 0) -> list[Job]:
    return [Job(f"{first + at}", "w", "p", "", client=name) for at, name in enumerate(clients)]


def test_who_has_fewest_at_work_is_next_and_the_oldest_first() -> None:
    waiting = jobs("a", "a", "a", "b", "c")
    begin, stop = share(waiting, [], [], 3)
    assert [job.client for job in begin] == ["a", "b", "c"]
    assert begin[0].id == "0"
    assert stop == []


def test_one_client_may_use_all_there_is_while_nobody_else_waits() -> None:
    begin, stop = share(jobs("a", "a", "a", "a"), jobs("a", first=9), [], 4)
    assert (len(begin), stop) == (3, [])


def test_a_client_gives_back_the_latest_beyond_its_share() -> None:
    at_work = jobs("a", "a", "a", "a", first=10)
    begin, stop = share(jobs("a", "b"), at_work, [], 4)
    assert (begin, [job.id for job in stop]) == ([], ["13"])
    # Until its thread has ended its slot is not free, and nobody else is stopped for it.
    assert share(jobs("a", "b"), at_work[:3], at_work[3:], 4) == ([], [])
    begin, stop = share([*jobs("a", "b"), at_work[3]], at_work[:3], [], 4)
    assert ([job.client for job in begin], stop) == (["b"], [])


CLIENTS = st.lists(st.sampled_from("abcd"), max_size=12)


@given(CLIENTS, CLIENTS, st.integers(1, 8))
def test_nobody_waits_while_another_has_two_more(
    waiting: list[str], working: list[str], slots: int
) -> None:
    at_work = jobs(*working[:slots], first=100)
    begin, stop = share(jobs(*waiting), at_work, [], slots)
    assert len(at_work) + len(begin) <= slots
    # Once those that were stopped have ended:
    left = [job for job in at_work if job not in stop]
    queue = [job for job in (*jobs(*waiting), *stop) if job not in begin]
    more, again = share(queue, [*left, *begin], [], slots)
    assert again == []
    load = Counter(job.client for job in (*left, *begin, *more))
    still = {job.client for job in queue if job not in more}
    assert all(most < load[client] + 2 for client in still for most in load.values())
    assert not still or sum(load.values()) == slots


# Bounds


def elapse(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock of fetching that a test sets ahead."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    monkeypatch.setattr(deadline, "time", clock)
    monkeypatch.setattr(allowance, "time", clock)
    return passed.append


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (drip(b"x", 0.05, head=OK_HEAD), "its server sends it too slowly"),
        (drip(b"x" * 99, 0.05, head=OK_HEAD), "its server sends it too slowly"),
        (drip(b"X-More: x\r\n", 0.05, head=b"HTTP/1.1 200 OK\r\n"), "does not answer in time"),
        (drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), "does not answer in time"),
    ],
    ids=["bytes", "little", "headers", "continue"],
)
def test_a_server_that_only_drips_is_given_up(
    web: Web, tmp_path: Path, answer: Callable[[Any], None], words: str
) -> None:
    """A byte now and then keeps no download alive."""
    web.answers["/"] = answer
    bounds = replace(HERE, timeout=0.5, min_rate=4096)
    begun = time.monotonic()
    with pytest.raises(Refused, match=words):
        fetch.fetch(Reference(f"{web.url}/"), bounds, tmp_path / "x")
    assert time.monotonic() - begun < 60


def test_a_server_that_is_slow_enough_is_not_given_up(web: Web, tmp_path: Path) -> None:
    def slowly(handler: Any) -> None:
        handler.wfile.write(OK_HEAD)
        for _ in range(15):
            handler.wfile.write(b"x" * 500)
            time.sleep(0.05)

    web.answers["/"] = slowly
    fetch.fetch(Reference(f"{web.url}/"), replace(HERE, timeout=0.2, min_rate=100), tmp_path / "x")
    assert (tmp_path / "x").stat().st_size == 7500


def test_all_inputs_of_a_job_have_bounds_together(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers["/"] = content(b"x" * 400)
    one = Allowance(replace(HERE, max_bytes_per_job=1000))
    reference = Reference(f"{web.url}/")
    one.fetch(reference, tmp_path / "0")
    one.fetch(reference, tmp_path / "1")
    with pytest.raises(TooLarge, match="all inputs of the job together exceed the 1000 bytes"):
        one.fetch(reference, tmp_path / "2")
    with pytest.raises(TooLarge, match="it is larger than the 300 bytes allowed"):
        Allowance(replace(HERE, max_bytes=300)).fetch(reference, tmp_path / "2")
    unbounded = Allowance(replace(HERE, max_bytes_per_job=0))
    for number in range(3):
        unbounded.fetch(reference, tmp_path / str(number))

    pass_time = elapse(monkeypatch)

    def late(handler: Any) -> None:
        pass_time(400)
        content(b"x")(handler)

    web.answers["/"] = late
    timely = Allowance(replace(HERE, timeout=600, total_timeout=600, total_timeout_per_job=1000))
    timely.fetch(reference, tmp_path / "0")
    timely.fetch(reference, tmp_path / "1")
    with pytest.raises(Refused, match="the job's inputs did not arrive within 1000 seconds"):
        timely.fetch(reference, tmp_path / "2")
    with pytest.raises(Refused, match="the job's inputs did not arrive"):
        Allowance(replace(HERE, total_timeout_per_job=1000), 999.9).fetch(reference, tmp_path / "2")


# The dispatcher


def stage(harness: DispatcherHarness, client: str, *urls: str, bounds: Bounds = PATIENT) -> Job:
    """A job whose inputs are to be fetched."""
    job = harness.accept(state=State.STAGING, client=client)
    references = [{"input": "data", **asdict(Reference(url))} for url in urls]
    note = {"bounds": asdict(bounds), "references": references}
    harness.spool.open(job.id).references.write_text(json.dumps(note))
    return job


def has_left(harness: DispatcherHarness, job: Job) -> Callable[[], bool]:
    def left() -> bool:
        harness.dispatcher._stager.run()
        return harness.row(job).state is not State.STAGING

    return left


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[DispatcherHarness]:
    made = DispatcherHarness(tmp_path)
    made.settings = replace(made.settings, inputs=replace(made.settings.inputs, downloads=4))
    made.restart()
    made.cycle()
    yield made
    for fetching in made.dispatcher._stager._at_work.values():
        fetching.stop.set()


def test_a_client_with_a_dripping_server_stops_nobody_else(
    harness: DispatcherHarness, web: Web
) -> None:
    """He uses all there is; whoever else comes is served at once, and he goes on where he was."""
    release = threading.Event()

    def slow(handler: Any) -> None:
        handler.wfile.write(OK_HEAD)
        while not release.wait(0.1):
            handler.wfile.write(b"x")

    web.answers["/slow"] = slow
    his = [stage(harness, "he", f"{web.url}/{at}", f"{web.url}/slow") for at in range(6)]
    wait_for(lambda: harness.dispatcher._stager.run() or web.paths().count("/slow") == 4, "four")
    for client in ("she", "they", "she"):
        job = stage(harness, client, f"{web.url}/fine")
        wait_for(has_left(harness, job), f"the inputs of {client} are here")
        assert harness.row(job).state is State.ACCEPTED
    assert {harness.row(job).state for job in his} == {State.STAGING}
    release.set()
    for job in his:
        wait_for(has_left(harness, job), "his are here, too")
        assert harness.row(job).state is State.ACCEPTED
    # What had arrived before somebody was stopped was not fetched again.
    assert all(web.paths().count(f"/{at}") == 1 for at in range(6))


def test_what_was_fetched_cannot_be_written_by_accident(
    harness: DispatcherHarness, web: Web
) -> None:
    job = stage(harness, "he", f"{web.url}/a")
    wait_for(has_left(harness, job), "it is here")
    assert (harness.spool.open(job.id).fetched / "0").stat().st_mode & 0o777 == 0o400


def test_time_of_a_job_that_is_stopped_again_and_again_counts_together(
    harness: DispatcherHarness, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers["/slow"] = drip(b"x", 0.1, head=OK_HEAD)
    job = stage(
        harness, "he", f"{web.url}/slow", bounds=replace(PATIENT, total_timeout_per_job=5000)
    )
    stager = harness.dispatcher._stager
    pass_time = elapse(monkeypatch)
    monkeypatch.setattr(staging, "time", deadline.time)
    for turn, seconds in enumerate((400, 400, 4300), 1):
        stager._begin(job)
        wait_for(lambda: web.paths().count("/slow") == turn, "it is fetched")  # noqa: B023
        pass_time(seconds)
        if turn < 3:
            stager._at_work[job.id].stop.set()
            stager._collect(*stager._ended.get(timeout=60))
            assert stager._stopped[job.id].spent >= 400 * turn
    words = stager._ended.get(timeout=60)[1]
    assert words == "input data: the job's inputs did not arrive within 5000 seconds"


def note(folder: Path, *urls: str, bounds: Bounds = HERE) -> JobDir:
    job = JobDir(folder / new_id())
    job.path.mkdir()
    references = [
        {"input": "dataset", "url": url, "headers": [], "body": None, "body_url": ""}
        for url in urls
    ]
    job.references.write_text(json.dumps({"bounds": vars(bounds), "references": references}))
    return job


@pytest.mark.parametrize("trouble", ["", "No space left on device"])
def test_an_input_that_cannot_be_had_is_the_cause_unless_there_is_no_room_for_it(
    harness: DispatcherHarness, web: Web, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise NotStored(f"it cannot be stored: {trouble}")

    if trouble:
        monkeypatch.setattr(staging.Allowance, "fetch", full)
    web.answers["/a"] = content(b"", 500)
    job = stage(harness, "he", f"{web.url}/a")
    harness.dispatcher._stager.run()
    wait_for(harness.dispatcher._stager.is_due, "it has come to its end")
    harness.dispatcher._stager.run()
    row = harness.row(job)
    assert (row.state, row.cause) == (State.FAILED, Cause.SYSTEM if trouble else Cause.INPUT)
    assert row.message.startswith("input data: ")


def test_staging_goes_on_where_it_was_killed(web: Web, tmp_path: Path) -> None:
    job = note(tmp_path, f"{web.url}/a", f"{web.url}/b")
    web.answers["/b"] = content(b"", 500)
    stop = threading.Event()
    assert "input dataset: its server answered with HTTP status 500" in staging.stage(job, stop)
    del web.answers["/b"]
    assert staging.stage(job, stop) == ""
    assert web.paths() == ["/a", "/b", "/b"]
    assert sorted(os.listdir(job.fetched)) == ["0", "1"]
    assert not job.references.exists()
    assert staging.stage(job, stop) == ""  # killed before the row was moved
