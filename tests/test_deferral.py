"""What the batch system does not take for now is offered again; only what is final ends a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import Bench
from fake_scheduler import FakeScheduler
from pywps_hpc.dispatch.schedulers.base import BatchJob, SubmissionPostponed
from pywps_hpc.jobs import Job, State

Trouble = Callable[[BatchJob], SubmissionPostponed | None]


def unknown(words: str = "the moon is full") -> SubmissionPostponed:
    return SubmissionPostponed(words, answered=True, passing=False)


def maintenance() -> SubmissionPostponed:
    return SubmissionPostponed("Required partition not available", answered=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def arrays(tmp_path: Path) -> Bench:
    scheduler = FakeScheduler()
    scheduler.arrays = True
    return Bench(tmp_path, scheduler)


def states(bench: Bench, jobs: list[Job]) -> list[State]:
    return [bench.row(job).state for job in jobs]


def calls(bench: Bench) -> int:
    return bench.scheduler.calls.count("submit")


@pytest.mark.parametrize("trouble", [unknown, maintenance])
def test_what_may_pass_ends_no_job_and_is_told_meanwhile(bench: Bench, trouble: Trouble) -> None:
    bench.scheduler.postpone = lambda batch: trouble()  # type: ignore[call-arg]
    job = bench.accept()
    for _ in range(4):
        bench.cycle(later=30)
    row = bench.row(job)
    assert row.state is State.ACCEPTED
    assert row.message == f"waits: {trouble()}"  # type: ignore[call-arg]
    bench.scheduler.postpone = lambda batch: None
    bench.cycle(later=60)
    assert (bench.row(job).state, bench.row(job).message) == (State.QUEUED, "")


def test_unknown_trouble_ends_a_job_after_its_time_with_the_last_words(bench: Bench) -> None:
    bench.scheduler.postpone = lambda batch: unknown("no room in /var/spool/x/state.new")
    job = bench.accept()
    for _ in range(58):
        bench.cycle(later=60)
    assert bench.row(job).state is State.ACCEPTED
    for _ in range(5):
        bench.cycle(later=60)
    row = bench.row(job)
    assert (row.state, row.message) == (State.FAILED, "could not start: no room in …")
    assert row.message in bench.status(job).message


def test_known_trouble_is_waited_for_without_end(bench: Bench) -> None:
    bench.scheduler.postpone = lambda batch: maintenance()
    job = bench.accept()
    for _ in range(65):
        bench.cycle(later=60)
    assert bench.row(job).state is State.ACCEPTED


def test_clock_that_is_set_takes_no_jobs_time_away(bench: Bench) -> None:
    bench.scheduler.postpone = lambda batch: unknown()
    job = bench.accept()
    bench.cycle()
    for step in (40 * 86400.0, -80 * 86400.0, 40 * 86400.0):
        bench.cycle(later=step)
        bench.cycle(later=1)
    assert bench.row(job).state is State.ACCEPTED


def test_pauses_grow_so_that_the_batch_system_is_not_pestered(bench: Bench) -> None:
    bench.scheduler.postpone = lambda batch: unknown()
    bench.accept()
    for _ in range(120):
        bench.cycle(later=5)
    assert 10 <= calls(bench) <= 16


def test_trouble_of_one_job_blocks_no_other(bench: Bench) -> None:
    first = bench.accept()
    bench.scheduler.postpone = lambda batch: unknown() if batch.name == first.name else None
    others = [bench.accept() for _ in range(5)]
    bench.cycle()
    assert states(bench, [first, *others]) == [State.ACCEPTED, *[State.QUEUED] * 5]


def test_trouble_of_some_settings_blocks_no_other(bench: Bench) -> None:
    drained = replace(bench.settings.defaults, max_active=5)
    bench.settings = replace(bench.settings, processes={"drained": drained})
    bench.restart()
    jobs = [bench.accept(process="drained") for _ in range(70)]
    other = bench.accept()
    bench.scheduler.postpone = lambda batch: None if batch.name == other.name else maintenance()
    for _ in range(3):
        bench.cycle(later=1)
    assert bench.row(other).state is State.QUEUED
    assert set(states(bench, jobs)) == {State.ACCEPTED}


def test_a_thousand_jobs_that_wait_cost_few_questions(bench: Bench) -> None:
    bench.scheduler.postpone = lambda batch: unknown()
    jobs = [bench.accept() for _ in range(70)]
    for _ in range(6):
        bench.cycle(later=60)
    assert calls(bench) <= 6 * 3 * 2
    assert {bench.row(job).message for job in jobs} == {"waits: the moon is full"}
    bench.scheduler.postpone = lambda batch: None
    for _ in range(3):
        bench.cycle(later=60)
    assert set(states(bench, jobs)) == {State.QUEUED}


def test_each_of_many_jobs_is_told_in_the_end(bench: Bench) -> None:
    bench.scheduler.postpone = lambda batch: unknown()
    jobs = [bench.accept() for _ in range(8)]
    for _ in range(65):
        bench.cycle(later=60)
    assert set(states(bench, jobs)) == {State.FAILED}


def test_array_beyond_a_limit_goes_in_parts(arrays: Bench) -> None:
    """A limit of 20 jobs: an array of 64 would wait for ever."""
    arrays.scheduler.postpone = lambda batch: (
        maintenance() if len(batch.places) + len(arrays.scheduler.jobs) > 20 else None
    )
    jobs = [arrays.accept() for _ in range(64)]
    arrays.cycle()
    assert states(arrays, jobs).count(State.QUEUED) >= 16


def test_one_job_that_breaks_its_array_is_found(arrays: Bench) -> None:
    jobs = [arrays.accept() for _ in range(40)]
    bad = jobs[17].id
    arrays.scheduler.postpone = lambda batch: unknown() if bad in batch.script else None
    for _ in range(6):
        arrays.cycle(later=2)
    assert [job.id for job in jobs if arrays.row(job).state is State.ACCEPTED] == [bad]
    assert calls(arrays) < 30


def test_array_under_maintenance_costs_one_question_a_pause(arrays: Bench) -> None:
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


def test_answers_that_are_never_clear_end_a_job_in_words(bench: Bench) -> None:
    bench.scheduler.drop_reply = bench.scheduler.late = True
    job = bench.accept()
    for _ in range(400):
        bench.cycle(later=61)
        bench.scheduler.under_way.clear()
        if bench.row(job).state is State.FAILED:
            break
    row = bench.row(job)
    assert row.state is State.FAILED
    assert "no clear answer" in row.message
    assert bench.now - row.created > 3600
