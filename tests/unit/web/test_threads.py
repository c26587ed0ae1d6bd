"""The threads of a worker: few for tasks that are quick, and more for those that wait."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from pywps_hpc.web.server import threads
from servers import wait_for


def drive(pool: threads.Threads, done: list[int], number: int) -> None:
    """As the loop of a worker does."""
    deadline = time.monotonic() + 30
    while len(done) < number:
        assert time.monotonic() < deadline, done
        time.sleep(0.001)
        pool.relieve()


def test_quick_tasks_are_done_by_few_threads_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "TIMING", replace(threads.TIMING, quick_task=60.0))
    pool, lock = threads.Threads(16), threading.Lock()
    done: list[int] = []
    by_thread: dict[int, list[int]] = {}
    at_once, most = 0, 0

    def task(number: int) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.001)
        with lock:
            at_once -= 1
            done.append(number)
            by_thread.setdefault(threading.get_ident(), []).append(number)

    for number in range(200):
        pool.do(lambda number=number: task(number))  # type: ignore[misc]
    drive(pool, done, 200)
    assert 1 <= most <= threads.AT_ONCE
    assert sorted(done) == list(range(200))
    assert all(order == sorted(order) for order in by_thread.values())


def test_tasks_that_wait_hold_up_no_other() -> None:
    pool, go = threads.Threads(16), threading.Event()
    done: list[int] = []
    for _ in range(15):
        pool.do(lambda: done.append(-1) if go.wait(60) else None)
    pool.do(lambda: done.append(1))
    drive(pool, done, 1)
    assert done == [1]
    go.set()
    drive(pool, done, 16)


def test_there_are_never_more_threads_than_allowed() -> None:
    pool, go = threads.Threads(3), threading.Event()
    begun: list[int] = []
    for number in range(6):
        pool.do(lambda number=number: (begun.append(number), go.wait(60)))  # type: ignore[misc]
    drive(pool, begun, 3)
    for _ in range(20):
        time.sleep(threads.TIMING.quick_task)
        pool.relieve()
    assert begun == [0, 1, 2]
    assert pool.patience == 1.0  # whoever comes back takes the next
    go.set()
    wait_for(lambda: len(begun) == 6, "all are done", 30)
