"""The job table: changes that exclude one another, terminal states, control requests, a leader."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from pywps_hpc.jobs import (
    ACTIVE,
    TERMINAL,
    TRANSITIONS,
    ControlRequest,
    Job,
    JobStore,
    LeadershipLost,
    State,
    job_name,
    leadership,
    new_id,
)
from pywps_hpc.spool import is_job_id

Answer = TypeVar("Answer")


def add(store: JobStore, **facts: object) -> Job:
    job_id = new_id()
    given = {"process": "hello", "digest": "d" * 64} | facts
    return store.add(Job(job_id, job_name("w", job_id), **given))  # type: ignore[arg-type]


def bring(store: JobStore, *states: State) -> Job:
    """A new job that went through these states."""
    begun = states[:1] == (State.STAGING,)  # nothing turns into that: jobs begin there
    job = add(store, state=State.STAGING) if begun else add(store)
    for state in states[begun:]:
        moved = store.move(job, state)
        assert moved is not None
        job = moved
    return job


#: A way into each state.
WAYS = {
    State.STAGING: (State.STAGING,),
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


def test_a_store_made_before_a_fork_works_in_every_child(store: JobStore) -> None:
    job = add(store)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    engine = store.engine

    def work() -> None:
        assert store.engine is not engine, "connections must not be shared"
        answers.put(store.get(job.id) is not None and store.request(job.id, ControlRequest.PAUSE))

    children = [context.Process(target=work) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode == 0
    assert [answers.get() for _ in children] == [True] * 4
    assert len(store.requested()) == 1


# Transitions


@pytest.mark.parametrize("before", State)
def test_a_state_turns_only_into_those_of_the_table(store: JobStore, before: State) -> None:
    for after in State:
        job = bring(store, *WAYS[before])
        allowed = after in TRANSITIONS.get(before, ())
        if allowed:
            moved = store.move(job, after)
            assert moved is not None
            assert moved.state is after
        else:
            with pytest.raises(ValueError, match="cannot change to"):
                store.move(job, after)
        found = store.get(job.id)
        assert found is not None
        assert found.state is (after if allowed else before)


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
    assert len(store.in_state(ACTIVE)) == len(list(itertools.chain(*made))) == 80


def test_a_change_takes_its_columns_along_and_says_when(store: JobStore) -> None:
    job = add(store)
    moved = store.move(job, State.SUBMITTING, submitted=12.5)
    assert moved is not None
    assert moved.submitted == 12.5
    assert moved.changed >= job.changed
    noted = store.note(moved, missing_since=13.5)
    assert noted is not None
    assert (noted.state, noted.missing_since, noted.submitted) == (State.SUBMITTING, 13.5, 12.5)


# Controller


def test_a_request_is_seen_until_it_is_carried_out(store: JobStore) -> None:
    job = add(store)
    assert store.request(job.id, ControlRequest.PAUSE)
    [found] = store.requested()
    assert (found.id, found.control) == (job.id, ControlRequest.PAUSE)
    assert store.note(found, control=ControlRequest.NONE.value) is not None
    assert store.requested() == []


def test_what_waits_for_the_dispatcher_shows_when_something_comes(store: JobStore) -> None:
    empty = store.waiting()
    assert not empty.has_more_than(empty)
    first = add(store)
    one = store.waiting()
    assert one.has_more_than(empty)
    assert not empty.has_more_than(one)
    second = add(store)
    two = store.waiting()
    assert two.has_more_than(one)
    # Who was submitted, put back or ended is no news.
    taken = store.move(second, State.SUBMITTING)
    assert taken is not None
    assert not store.waiting().has_more_than(two)
    assert store.move(taken, State.ACCEPTED) is not None
    assert not store.waiting().has_more_than(two)
    assert store.request(first.id, ControlRequest.PAUSE)
    three = store.waiting()
    assert three.has_more_than(two)
    assert store.request(first.id, ControlRequest.DISMISS)
    assert store.waiting().has_more_than(three)


def test_a_dismissal_is_not_taken_back_by_a_later_request(store: JobStore) -> None:
    job = add(store)
    assert store.request(job.id, ControlRequest.DISMISS)
    assert not store.request(job.id, ControlRequest.RESUME)
    assert [row.control for row in store.requested()] == [ControlRequest.DISMISS]


@pytest.mark.parametrize("end", sorted(TERMINAL, key=lambda state: state.value))
def test_nobody_can_ask_anything_of_a_job_that_is_over(store: JobStore, end: State) -> None:
    job = add(store)
    store.request(job.id, ControlRequest.PAUSE)
    store.move(job, end)
    assert not store.request(job.id, ControlRequest.DISMISS)
    assert store.requested() == []


def test_nobody_can_ask_anything_of_an_unknown_job(store: JobStore) -> None:
    assert not store.request(new_id(), ControlRequest.DISMISS)


def test_only_finished_jobs_are_forgotten(store: JobStore) -> None:
    job = add(store)
    assert not store.remove(job.id)
    store.move(job, State.FAILED)
    assert store.remove(job.id)
    assert not store.remove(job.id)
    assert store.get(job.id) is None


# One dispatcher


@pytest.fixture
def later(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The database's clock stands still; this sets it, to seconds from the beginning."""
    with store.engine.connect() as connection:
        now = leadership.clock(connection)

    def set_to(seconds: float) -> None:
        monkeypatch.setattr(leadership, "clock", lambda _: now + seconds)

    set_to(0)
    return set_to


def silence(store: JobStore) -> float:
    """Seconds since the leader's last heartbeat."""
    leader = store.dispatcher()
    assert leader is not None
    return leader.silence


def test_one_dispatcher_leads_and_a_second_one_waits(store: JobStore) -> None:
    assert store.lead("a", 60)
    assert not store.lead("b", 60)
    assert store.lead("a", 60)
    assert store.leader() == "a"


def test_a_silent_leader_is_replaced_after_the_lease(
    store: JobStore, later: Callable[[float], None]
) -> None:
    store.lead("a", 60)
    later(59)
    assert not store.lead("b", 60)
    later(61)
    assert store.lead("b", 60)
    assert not store.lead("a", 60)


def test_a_heartbeat_keeps_the_leadership_and_never_takes_it(
    store: JobStore, later: Callable[[float], None]
) -> None:
    assert not store.keep_leading("a")  # nobody leads: that is to be taken
    assert store.leader() == ""
    store.lead("a", 60)
    later(61)
    assert store.keep_leading("a", "it stood still, and nobody took over")
    assert not store.lead("b", 60)
    later(122)
    assert store.lead("b", 60)
    later(1000)  # which stands still now, for longer than its lease
    assert not store.keep_leading("a")
    assert store.leader() == "b"
    assert store.lead("a", 60)


def test_a_sign_of_life_from_the_future_is_none(
    store: JobStore, later: Callable[[float], None]
) -> None:
    store.lead("a", 60)
    later(-3600)  # the database's clock was set back
    assert silence(store) == pytest.approx(3600, abs=30)
    assert store.lead("b", 60)
    assert silence(store) == pytest.approx(0, abs=30)


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_a_host_tells_nothing_about_silence(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    store.lead("a", 60)
    now = time.time()
    monkeypatch.setattr(leadership.time, "time", lambda: now + hours * 3600)
    assert silence(store) == pytest.approx(0, abs=30)
    assert not store.lead("b", 60)


def test_who_was_replaced_changes_nothing_any_more(store: JobStore) -> None:
    led, job = store.led_by("a"), add(store)
    store.lead("a", 60)
    taken = led.move(job, State.SUBMITTING)
    assert taken is not None
    store.resign("a")
    store.lead("b", 60)
    for change in (
        lambda: led.move(taken, State.QUEUED, native_id="1"),
        lambda: led.note(taken, missing_since=1.0),
        led.forget_absences,
        lambda: led.remove(job.id),
    ):
        with pytest.raises(LeadershipLost):
            change()
    assert store.get(job.id) == taken
    assert led.get(job.id) == taken  # it may look
    assert store.led_by("b").move(taken, State.QUEUED, native_id="2") is not None


def test_under_another_clock_every_absence_begins_anew(store: JobStore) -> None:
    missing, there = add(store), add(store)
    store.note(missing, missing_since=5.0)
    assert store.forget_absences() == 1
    for job in (missing, there):
        found = store.get(job.id)
        assert found is not None
        assert found.missing_since == 0


def test_of_many_at_once_exactly_one_leads(store: JobStore) -> None:
    leading = at_once(lambda number: store.lead(f"dispatcher {number}", 60))
    assert leading.count(True) == 1


def test_of_many_at_once_exactly_one_replaces_a_silent_leader(
    store: JobStore, later: Callable[[float], None]
) -> None:
    store.lead("gone", 60)
    later(61)
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
    assert store.dispatcher() is None
    store.lead("a", 60, "cannot reach slurmctld")
    leader = store.dispatcher()
    assert leader is not None
    assert leader.silence == pytest.approx(0, abs=30)
    assert leader.message == "cannot reach slurmctld"


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


def test_words_of_a_batch_system_may_hold_anything(store: JobStore) -> None:
    moved = store.move(add(store), State.FAILED, message="exit\0code\n漢")
    assert moved is not None
    assert moved.message == "exit\ufffdcode\n漢"


def test_sqlite_keeps_what_was_answered_through_a_power_failure(tmp_path: Path) -> None:
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
