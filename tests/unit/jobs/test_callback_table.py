"""Callbacks in the job table: due with the event, by the same transaction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pywps_hpc.jobs import Job, JobStore, State, job_name, new_id
from pywps_hpc.jobs.callbacks import Callback, Event

NOW, LONGEST = 1_000_000.0, 1000.0
URLS = {event: f"https://host.example.org/{event.value}" for event in Event}


@pytest.fixture
def store(database: str) -> JobStore:
    found = JobStore(database)
    found.create()
    return found


def accept(store: JobStore, urls: dict[Event, str] = URLS) -> Job:
    job_id = new_id()
    return store.add(Job(job_id, job_name("w", job_id), "p", "d" * 64), urls=urls)


def due(store: JobStore, now: float = NOW, **more: object) -> list[Callback]:
    return store.due_callbacks(now, LONGEST, **({"limit": 10} | more))  # type: ignore[arg-type]


def move(store: JobStore, job: Job, *states: State) -> Job:
    for state in states:
        moved = store.move(job, state)
        assert moved is not None
        job = moved
    return job


@pytest.mark.parametrize(
    ("last", "event"),
    [
        (State.QUEUED, Event.IN_PROGRESS),
        (State.SUCCEEDED, Event.SUCCESS),
        (State.FAILED, Event.FAILED),
        (State.DISMISSED, Event.FAILED),
    ],
)
def test_a_callback_is_due_with_its_event(store: JobStore, last: State, event: Event) -> None:
    job = accept(store)
    other = accept(store, {})
    assert (job.callbacks, other.callbacks) == (3, 0)
    move(store, other, State.SUBMITTING, State.QUEUED, State.SUCCEEDED)
    assert due(store) == []
    job = move(store, job, State.SUBMITTING)
    assert due(store) == []
    move(store, job, *([] if last is State.QUEUED else [State.QUEUED]), last)
    assert [(found.job, found.event, found.url) for found in due(store)] == [
        (job.id, event, URLS[event])
    ]
    left = {found.event for found in store.callbacks_of(job.id)}
    assert left == (set(Event) if last is State.QUEUED else {event})


def test_a_try_is_counted_before_it_is_made_and_no_other_makes_it(store: JobStore) -> None:
    move(store, accept(store), State.SUBMITTING, State.QUEUED, State.SUCCEEDED)
    [found] = due(store)
    assert store.try_callback(found, NOW + 10)
    assert not store.try_callback(found, NOW + 10)
    assert due(store) == []
    assert due(store, NOW + 10) == [replace(found, tries=1, due=NOW + 10)]
    assert due(store, NOW - 2 * LONGEST) != []  # the clock was set back
    assert store.close_callback(replace(found, tries=1, due=NOW + 10))
    assert store.callbacks_of(found.job) == []


def test_a_change_while_the_last_one_is_told_is_told_too(store: JobStore) -> None:
    job = move(store, accept(store), State.SUBMITTING, State.QUEUED)
    [found] = due(store)
    assert store.try_callback(found, NOW + 10)
    move(store, job, State.RUNNING)
    assert not store.close_callback(replace(found, tries=1, due=NOW + 10))
    assert due(store) == [found]
    assert store.try_callback(found, NOW + 20)
    assert store.close_callback(replace(found, tries=1, due=NOW + 20))
    assert due(store, NOW + 100) == []
    assert len(store.callbacks_of(job.id)) == 3  # it may come again


def test_those_tried_least_come_first_and_hosts_can_be_left_out(store: JobStore) -> None:
    for number in range(3):
        urls = {Event.SUCCESS: f"https://host{number}.example.org/"}
        move(store, accept(store, urls), State.SUBMITTING, State.QUEUED, State.SUCCEEDED)
    first = due(store)[0]
    assert store.try_callback(first, NOW)
    assert [found.tries for found in due(store)] == [0, 0, 1]
    assert first.host not in [found.host for found in due(store, besides=[first.host])]
    assert len(due(store, limit=1)) == 1


def test_a_removed_job_leaves_no_callback(store: JobStore) -> None:
    job = move(store, accept(store), State.SUBMITTING, State.QUEUED, State.SUCCEEDED)
    assert store.remove(job.id)
    assert due(store) == store.callbacks_of(job.id) == []


def test_a_job_that_is_not_recorded_leaves_no_callback(store: JobStore) -> None:
    job = accept(store)
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.add(job, urls=URLS)
    assert len(store.callbacks_of(job.id)) == 3
