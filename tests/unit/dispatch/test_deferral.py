"""What the batch system does not take for now is offered again; only what is final ends a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dispatcher_harness import DispatcherHarness
from fake_scheduler import FakeScheduler
from pywps_hpc.dispatch.schedulers.base import BatchJob, SubmissionPostponed
from pywps_hpc.jobs import Job, State

Trouble = Callable[[BatchJob], SubmissionPostponed | None]


def unknown(words: str = "the moon is full") -> SubmissionPostponed:
    return SubmissionPostponed(words, answered=True, passing=False)


def maintenance() -> SubmissionPostponed:
    return SubmissionPostponed("Required partition not available", answered=True)


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(tmp_path)


@pytest.fixture
def arrays(tmp_path: Path) -> DispatcherHarness:
    scheduler = FakeScheduler()
    scheduler.arrays = True
    return DispatcherHarness(tmp_path, scheduler)


def states(harness: DispatcherHarness, jobs: list[Job]) -> list[State]:
    return [harness.row(job).state for job in jobs]


def calls(harness: DispatcherHarness) -> int:
    return harness.scheduler.calls.count("submit")


@pytest.mark.parametrize("trouble", [unknown, maintenance])
def test_what_may_pass_ends_no_job_and_is_told_meanwhile(
    harness: DispatcherHarness, trouble: Trouble
) -> None:
    harness.scheduler.postpone = lambda batch: trouble()  # type: ignore[call-arg]
    job = harness.accept()
    for _ in range(4):
        harness.cycle(later=30)
    row = harness.row(job)
    assert row.state is State.ACCEPTED
    assert row.message == f"waits: {trouble()}"  # type: ignore[call-arg]
    harness.scheduler.postpone = lambda batch: None
    harness.cycle(later=60)
    assert (harness.row(job).state, harness.row(job).message) == (State.QUEUED, "")


def test_unknown_trouble_ends_a_job_after_its_time_with_the_last_words(
    harness: DispatcherHarness,
) -> None:
    harness.scheduler.postpone = lambda batch: unknown("no room in /var/spool/x/state.new")
    job = harness.accept()
    for _ in range(58):
        harness.cycle(later=60)
    assert harness.row(job).state is State.ACCEPTED
    for _ in range(5):
        harness.cycle(later=60)
    row = harness.row(job)
    assert (row.state, row.message) == (State.FAILED, "could not start: no room in …")
    assert row.message in harness.status(job).message


def test_known_trouble_is_waited_for_without_end(harness: DispatcherHarness) -> None:
    harness.scheduler.postpone = lambda batch: maintenance()
    job = harness.accept()
    for _ in range(65):
        harness.cycle(later=60)
    assert harness.row(job).state is State.ACCEPTED


def test_clock_that_is_set_takes_no_jobs_time_away(harness: DispatcherHarness) -> None:
    harness.scheduler.postpone = lambda batch: unknown()
    job = harness.accept()
    harness.cycle()
    for step in (40 * 86400.0, -80 * 86400.0, 40 * 86400.0):
        harness.cycle(later=step)
        harness.cycle(later=1)
    assert harness.row(job).state is State.ACCEPTED


def test_pauses_grow_so_that_the_batch_system_is_not_pestered(harness: DispatcherHarness) -> None:
    harness.scheduler.postpone = lambda batch: unknown()
    harness.accept()
    for _ in range(120):
        harness.cycle(later=5)
    assert 10 <= calls(harness) <= 16


def test_trouble_of_one_job_blocks_no_other(harness: DispatcherHarness) -> None:
    first = harness.accept()
    harness.scheduler.postpone = lambda batch: unknown() if batch.name == first.name else None
    others = [harness.accept() for _ in range(5)]
    harness.cycle()
    assert states(harness, [first, *others]) == [State.ACCEPTED, *[State.QUEUED] * 5]


def test_trouble_of_some_settings_blocks_no_other(harness: DispatcherHarness) -> None:
    drained = replace(harness.settings.defaults, max_active=5)
    harness.settings = replace(harness.settings, processes={"drained": drained})
    harness.restart()
    jobs = [harness.accept(process="drained") for _ in range(70)]
    other = harness.accept()
    harness.scheduler.postpone = lambda batch: None if batch.name == other.name else maintenance()
    for _ in range(3):
        harness.cycle(later=1)
    assert harness.row(other).state is State.QUEUED
    assert set(states(harness, jobs)) == {State.ACCEPTED}


def test_a_thousand_jobs_that_wait_cost_few_questions(harness: DispatcherHarness) -> None:
    harness.scheduler.postpone = lambda batch: unknown()
    jobs = [harness.accept() for _ in range(70)]
    for _ in range(6):
        harness.cycle(later=60)
    assert calls(harness) <= 6 * 3 * 2
    assert {harness.row(job).message for job in jobs} == {"waits: the moon is full"}
    harness.scheduler.postpone = lambda batch: None
    for _ in range(3):
        harness.cycle(later=60)
    assert set(states(harness, jobs)) == {State.QUEUED}


def test_each_of_many_jobs_is_told_in_the_end(harness: DispatcherHarness) -> None:
    harness.scheduler.postpone = lambda batch: unknown()
    jobs = [harness.accept() for _ in range(8)]
    for _ in range(65):
        harness.cycle(later=60)
    assert set(states(harness, jobs)) == {State.FAILED}


def test_array_beyond_a_limit_goes_in_parts(arrays: DispatcherHarness) -> None:
    """A limit of 20 jobs: an array of 64 would wait for ever."""
    arrays.scheduler.postpone = lambda batch: (
        maintenance() if len(batch.array_indices) + len(arrays.scheduler.jobs) > 20 else None
    )
    jobs = [arrays.accept() for _ in range(64)]
    arrays.cycle()
    assert states(arrays, jobs).count(State.QUEUED) >= 16


def test_one_job_that_breaks_its_array_is_found(arrays: DispatcherHarness) -> None:
    jobs = [arrays.accept() for _ in range(40)]
    bad = jobs[17].id
    arrays.scheduler.postpone = lambda batch: unknown() if bad in batch.script else None
    for _ in range(6):
        arrays.cycle(later=2)
    assert [job.id for job in jobs if arrays.row(job).state is State.ACCEPTED] == [bad]
    assert calls(arrays) < 30


def test_array_under_maintenance_costs_one_question_a_pause(arrays: DispatcherHarness) -> None:
    arrays.scheduler.postpone = lambda batch: maintenance()
    jobs = [arrays.accept() for _ in range(64)]
    arrays.cycle()
    before = calls(arrays)
    for _ in range(10):
        arrays.cycle(later=60)
    assert calls(arrays) - before <= 10
    arrays.scheduler.postpone = lambda batch: None
    arrays.cycle(later=60)
    assert set(states(arrays, jobs)) == {State.QUEUED}
    assert calls(arrays) - before <= 20


def test_answers_that_are_never_clear_end_a_job_in_words(harness: DispatcherHarness) -> None:
    harness.scheduler.drop_reply = harness.scheduler.late = True
    job = harness.accept()
    for _ in range(400):
        harness.cycle(later=61)
        harness.scheduler.under_way.clear()
        if harness.row(job).state is State.FAILED:
            break
    row = harness.row(job)
    assert row.state is State.FAILED
    assert "no clear answer" in row.message
    assert harness.now - row.created > 3600
