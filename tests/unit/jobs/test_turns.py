"""Threads that write to SQLite queue up: nobody is overtaken, and every wait has an end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pywps_hpc.jobs import Job, JobStore, TableUnavailable
from pywps_hpc.jobs.database import begin
from pywps_hpc.jobs.job import new_id
from pywps_hpc.jobs.turns import Turns
from servers import wait_for


def test_turns_come_in_the_order_of_coming() -> None:
    turns, order = Turns(), []
    assert turns.take(0)

    def work(number: int) -> None:
        assert turns.take(60)
        order.append(number)
        turns.give_back()

    threads = []
    for number in range(20):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        wait_for(lambda number=number: len(turns._waiting) == number + 1, "it waits", 30)
    turns.give_back()
    assert not turns.take(0)  # whoever comes now does not overtake them
    for thread in threads:
        thread.join(60)
    assert order == list(range(20))
    assert turns.take(0)


def test_who_has_waited_for_too_long_takes_no_turn() -> None:
    turns = Turns()
    assert turns.take(0)
    begun = time.monotonic()
    assert not turns.take(0.05)
    assert 0.05 <= time.monotonic() - begun < 10
    turns.give_back()
    assert turns.take(0)


def test_a_change_waits_for_its_turn_and_no_longer(tmp_path: Path) -> None:
    store = JobStore(f"sqlite:///{tmp_path}/jobs.sqlite", timeout=0.2)
    store.create()
    job = Job(new_id(), "name", "process", "0" * 64)
    with begin(store.engine, write=True):
        found: list[Exception | Job] = []

        def add() -> None:
            try:
                found.append(store.add(job))
            except TableUnavailable as error:
                found.append(error)

        thread = threading.Thread(target=add)
        thread.start()
        thread.join(60)
        [error] = found
        assert isinstance(error, TableUnavailable)
        assert store.get(job.id) is None  # who only reads waits for nobody
    assert store.add(job).id == job.id
    with pytest.raises(ZeroDivisionError), begin(store.engine, write=True):
        _ = 1 / 0
    assert store.note(job, message="afterwards") is not None
