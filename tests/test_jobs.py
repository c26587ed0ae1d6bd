"""The job table: changes that exclude one another, terminal states, wishes, one dispatcher."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from pywps_hpc import jobs
from pywps_hpc.jobs import (
    ACTIVE,
    TERMINAL,
    TRANSITIONS,
    Job,
    JobStore,
    State,
    Wish,
    job_name,
    new_id,
)
from pywps_hpc.spool import is_job_id

#: Another database for the same tests: PYWPS_HPC_TEST_DATABASE=postgresql+psycopg://…
OTHER = os.environ.get("PYWPS_HPC_TEST_DATABASE", "")
Answer = TypeVar("Answer")


@pytest.fixture(params=["sqlite", *([OTHER] if OTHER else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param if request.param == OTHER else f"sqlite:///{tmp_path / 'jobs.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[JobStore]:
    made = JobStore(url)
    made.create()
    with made.engine.begin() as connection:
        for table in ("hpc_jobs", "hpc_dispatcher"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    yield made
    made.engine.dispose()


def add(store: JobStore, **facts: object) -> Job:
    job_id = new_id()
    given = {"process": "hello", "digest": "d" * 64} | facts
    return store.add(Job(job_id, job_name("w", job_id), **given))  # type: ignore[arg-type]


def bring(store: JobStore, *states: State) -> Job:
    """A new job that went through these states."""
    job = add(store)
    for state in states:
        moved = store.move(job, state)
        assert moved is not None
        job = moved
    return job


#: A way into each state.
WAYS = {
    State.ACCEPTED: (),
    State.SUBMITTING: (State.SUBMITTING,),
    State.QUEUED: (State.SUBMITTING, State.QUEUED),
    State.RUNNING: (State.SUBMITTING, State.QUEUED, State.RUNNING),
    State.PAUSED: (State.SUBMITTING, State.QUEUED, State.PAUSED),
    State.SUCCEEDED: (State.SUCCEEDED,),
    State.FAILED: (State.FAILED,),
    State.DISMISSED: (State.DISMISSED,),
}


def at_once(work: Callable[[int], Answer], count: int = 8) -> list[Answer]:
    """What all of these threads got when they started together."""
    ready = threading.Barrier(count)

    def run(number: int) -> Answer:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


# Records


def test_a_job_comes_back_as_it_was_recorded(store: JobStore) -> None:
    facts = {"owner": "anna", "sync": True, "message": "é\n漢", "native_id": "7"}
    made = add(store, **facts)
    assert store.get(made.id) == made
    assert made.created == pytest.approx(time.time(), abs=60)


def test_an_unknown_job_is_none(store: JobStore) -> None:
    assert store.get(new_id()) is None


def test_the_same_id_cannot_be_recorded_twice(store: JobStore) -> None:
    job = add(store)
    with pytest.raises(sa.exc.IntegrityError):
        store.add(dataclasses.replace(job, process="other"))
    assert store.get(job.id) == job


def test_lists_are_in_order_of_arrival(store: JobStore) -> None:
    made = [add(store, created=float(moment)) for moment in (30, 10, 20)]
    expected = [made[1].id, made[2].id, made[0].id]
    assert [job.id for job in store.in_state(ACTIVE)] == expected
    assert [job.id for job in store.in_state(ACTIVE, limit=2)] == expected[:2]
    assert [job.id for job in store.recent(2)] == expected[:0:-1]


def test_active_jobs_are_counted_by_process(store: JobStore) -> None:
    add(store)
    add(store, process="other")
    store.move(add(store), State.FAILED)
    assert store.count_active() == 2
    assert store.count_active("other") == 1
    assert store.count_active("none") == 0


def test_a_store_made_before_a_fork_works_in_every_child(store: JobStore) -> None:
    job = add(store)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    engine = store.engine

    def work() -> None:
        assert store.engine is not engine, "connections must not be shared"
        answers.put(store.get(job.id) is not None and store.wish(job.id, Wish.PAUSE))

    children = [context.Process(target=work) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert [answers.get() for _ in children] == [True] * 4
    assert len(store.wished()) == 1


# Transitions


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_state_turns_only_into_those_of_the_table(
    store: JobStore, before: State, after: State
) -> None:
    job = bring(store, *WAYS[before])
    if after in TRANSITIONS.get(before, ()):
        moved = store.move(job, after)
        assert moved is not None
        assert moved.state is after
    else:
        with pytest.raises(ValueError, match="cannot turn into"):
            store.move(job, after)
    found = store.get(job.id)
    assert found is not None
    assert found.state is (after if after in TRANSITIONS.get(before, ()) else before)


def test_terminal_is_terminal() -> None:
    assert not TERMINAL & TRANSITIONS.keys()
    assert set(TRANSITIONS) == ACTIVE
    assert set(WAYS) == set(State)


@pytest.mark.parametrize("end", sorted(TERMINAL, key=lambda state: state.value))
def test_a_finished_job_is_not_turned_back_by_one_who_read_it_earlier(
    store: JobStore, end: State
) -> None:
    earlier = bring(store, *WAYS[State.RUNNING])
    assert store.move(earlier, end) is not None
    for state in TRANSITIONS[State.RUNNING]:
        assert store.move(earlier, state) is None
    assert store.note(earlier, message="too late") is None
    found = store.get(earlier.id)
    assert found is not None
    assert (found.state, found.message) == (end, "")


def test_of_many_at_once_exactly_one_changes_a_state(store: JobStore) -> None:
    job = add(store)
    moved = at_once(lambda number: store.move(job, State.SUBMITTING, native_id=str(number)))
    winners = [row for row in moved if row is not None]
    assert len(winners) == 1
    assert store.get(job.id) == winners[0]


def test_of_many_ends_at_once_exactly_one_counts(store: JobStore) -> None:
    job = bring(store, *WAYS[State.RUNNING])
    ends = [State.SUCCEEDED, State.FAILED, State.DISMISSED] * 3
    moved = at_once(lambda number: store.move(job, ends[number], message=str(number)), 9)
    winners = [row for row in moved if row is not None]
    assert len(winners) == 1
    assert store.get(job.id) == winners[0]


def test_many_writers_wait_for_one_another(store: JobStore) -> None:
    made = at_once(lambda _: [add(store) for _ in range(10)])
    assert store.count_active() == len(list(itertools.chain(*made))) == 80


def test_a_change_takes_its_columns_along_and_says_when(store: JobStore) -> None:
    job = add(store)
    moved = store.move(job, State.SUBMITTING, submitted=12.5)
    assert moved is not None
    assert moved.submitted == 12.5
    assert moved.changed >= job.changed
    noted = store.note(moved, missing_since=13.5)
    assert noted is not None
    assert (noted.state, noted.missing_since, noted.submitted) == (State.SUBMITTING, 13.5, 12.5)


# Wishes


def test_a_wish_is_seen_until_it_is_granted(store: JobStore) -> None:
    job = add(store)
    assert store.wish(job.id, Wish.PAUSE)
    [wished] = store.wished()
    assert (wished.id, wished.wish) == (job.id, Wish.PAUSE)
    assert store.grant(wished)
    assert store.wished() == []


def test_a_dismissal_is_not_taken_back_by_a_later_wish(store: JobStore) -> None:
    job = add(store)
    assert store.wish(job.id, Wish.DISMISS)
    assert not store.wish(job.id, Wish.RESUME)
    assert [row.wish for row in store.wished()] == [Wish.DISMISS]


def test_granting_a_wish_does_not_swallow_a_newer_one(store: JobStore) -> None:
    job = add(store)
    store.wish(job.id, Wish.PAUSE)
    [seen] = store.wished()
    store.wish(job.id, Wish.DISMISS)
    assert not store.grant(seen)
    assert [row.wish for row in store.wished()] == [Wish.DISMISS]


@pytest.mark.parametrize("end", sorted(TERMINAL, key=lambda state: state.value))
def test_nobody_can_wish_anything_of_a_job_that_is_over(store: JobStore, end: State) -> None:
    job = add(store)
    store.wish(job.id, Wish.PAUSE)
    store.move(job, end)
    assert not store.wish(job.id, Wish.DISMISS)
    assert store.wished() == []


def test_nobody_can_wish_anything_of_an_unknown_job(store: JobStore) -> None:
    assert not store.wish(new_id(), Wish.DISMISS)


def test_only_finished_jobs_are_forgotten(store: JobStore) -> None:
    job = add(store)
    assert not store.remove(job.id)
    store.move(job, State.FAILED)
    assert store.remove(job.id)
    assert not store.remove(job.id)
    assert store.get(job.id) is None


# One dispatcher


def test_one_dispatcher_leads_and_a_second_one_waits(store: JobStore) -> None:
    assert store.lead("a", 60)
    assert not store.lead("b", 60)
    assert store.lead("a", 60)
    assert store.leader() == "a"


def test_a_silent_leader_is_replaced_after_the_lease(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    store.lead("a", 60)
    monkeypatch.setattr(jobs.time, "time", lambda: now + 59)
    assert not store.lead("b", 60)
    monkeypatch.setattr(jobs.time, "time", lambda: now + 61)
    assert store.lead("b", 60)
    assert not store.lead("a", 60)


def test_of_many_at_once_exactly_one_leads(store: JobStore) -> None:
    leading = at_once(lambda number: store.lead(f"dispatcher {number}", 60))
    assert leading.count(True) == 1


def test_of_many_at_once_exactly_one_replaces_a_silent_leader(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    store.lead("gone", 60)
    monkeypatch.setattr(jobs.time, "time", lambda: now + 61)
    leading = at_once(lambda number: store.lead(f"dispatcher {number}", 60))
    assert leading.count(True) == 1
    assert store.leader() == f"dispatcher {leading.index(True)}"


def test_who_resigns_can_be_replaced_at_once_and_nobody_else_loses_by_it(store: JobStore) -> None:
    store.lead("a", 60)
    store.resign("b")
    assert store.leader() == "a"
    store.resign("a")
    assert store.leader() == ""
    assert store.lead("b", 60)


def test_the_heartbeat_tells_how_long_ago_and_what(store: JobStore) -> None:
    assert store.heartbeat() == (float("inf"), "")
    store.lead("a", 60, "cannot reach slurmctld")
    silence, message = store.heartbeat()
    assert silence == pytest.approx(0, abs=30)
    assert message == "cannot reach slurmctld"


# Ids and names


def test_ids_are_unguessable_and_canonical() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(map(is_job_id, ids))
    # Every one of the 128 bits takes both values: none is fixed to a version or a time.
    numbers = [int(job_id.replace("-", ""), 16) for job_id in ids]
    for bit in range(128):
        assert {number >> bit & 1 for number in numbers} == {0, 1}, bit


@pytest.mark.parametrize("prefix", ["w", "ab", "abc"])
def test_names_fit_every_batch_system(prefix: str) -> None:
    name = job_name(prefix, new_id())
    assert len(name) == 15
    assert name.startswith(prefix)
    assert name.isalnum()
    assert name == name.lower()


def test_sqlite_keeps_what_was_answered_through_a_power_failure(tmp_path: Path) -> None:
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
