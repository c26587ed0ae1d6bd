"""The dispatcher is woken by a datagram, which may be lost, sent twice or forged."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pywps_hpc.errors import TableUnavailable
from pywps_hpc.jobs import ControlRequest, Job, JobStore, job_name, new_id
from pywps_hpc.jobs.wakeup import Listener, address, wake
from pywps_hpc.timing import TIMING

AT_ONCE, LONG = 5.0, 60.0


@pytest.fixture
def holder() -> str:
    return f"a-dispatcher:{new_id()}"


@pytest.fixture
def listener(holder: str) -> Iterator[Listener]:
    made = Listener(holder)
    yield made
    made.close()


def added(store: JobStore) -> Job:
    job_id = new_id()
    return store.add(Job(job_id, job_name("w", job_id), "hello", "d"))


def test_whoever_listens_is_woken(holder: str, listener: Listener) -> None:
    assert not listener.wait(0)
    assert wake(holder)
    assert listener.wait(LONG)
    assert not listener.wait(0)


def test_nobody_has_to_listen(holder: str) -> None:
    assert not wake(holder)
    assert not wake("")


def test_one_that_was_woken_ten_times_is_woken_once(holder: str, listener: Listener) -> None:
    for _ in range(10):
        assert wake(holder)
    assert listener.wait(0)
    assert not listener.wait(0)


def test_whoever_wakes_one_that_does_not_read_waits_for_nothing(
    holder: str, listener: Listener
) -> None:
    begun = time.monotonic()
    for _ in range(5000):  # more than are kept
        assert wake(holder)
    assert time.monotonic() - begun < LONG
    assert listener.wait(0)


def test_a_pause_lies_between_two_times_however_often_somebody_wakes_it(holder: str) -> None:
    listener, stop = Listener(holder, replace(TIMING, wake_pause=0.1)), threading.Event()

    def flood() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            while not stop.is_set():
                try:
                    sender.sendto(b"anything at all" * 100, address(holder))
                except BlockingIOError:
                    time.sleep(0.001)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        begun = time.monotonic()
        for _ in range(6):
            assert listener.wait(LONG)
        assert time.monotonic() - begun >= 5 * 0.1
    finally:
        stop.set()
        thread.join()
        listener.close()


def test_two_of_one_name_cannot_listen(holder: str, listener: Listener) -> None:
    with pytest.raises(OSError, match="in use"):
        Listener(holder)


def test_whatever_waits_for_the_dispatcher_wakes_it(
    store: JobStore, holder: str, listener: Listener
) -> None:
    assert store.lead(holder, 60)
    job = added(store)
    assert listener.wait(AT_ONCE)
    assert store.request(job.id, ControlRequest.PAUSE)
    assert listener.wait(AT_ONCE)
    assert store.saw_end(job.id)
    assert listener.wait(AT_ONCE)
    assert not store.saw_end(job.id)
    assert not store.request(new_id(), ControlRequest.DISMISS)
    assert not listener.wait(0)


def test_another_leader_is_woken_once_the_first_is_gone(
    store: JobStore, holder: str, listener: Listener
) -> None:
    gone = Listener(f"{holder}-before")
    assert store.lead(f"{holder}-before", 60)
    added(store)
    assert gone.wait(AT_ONCE)
    gone.close()
    store.resign(f"{holder}-before")
    assert store.lead(holder, 60)
    store._leader_known = store._leader_known[0], time.monotonic() - TIMING.leader_unheard
    added(store)
    assert listener.wait(AT_ONCE)


def test_a_leader_on_another_host_is_not_asked_for_with_each_job(
    store: JobStore, holder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.lead(holder, 60)
    asked: list[str] = []
    leader = store.leader
    monkeypatch.setattr(store, "leader", lambda: asked.append("") or leader())
    begun = time.monotonic()
    for _ in range(5):
        added(store)
    assert len(asked) <= 1 + (time.monotonic() - begun) / TIMING.leader_unheard


def test_a_job_is_accepted_though_nobody_can_be_woken(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> str:
        raise TableUnavailable("it is away")

    monkeypatch.setattr(store, "leader", away)
    assert store.get(added(store).id) is not None
