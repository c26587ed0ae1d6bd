"""Changes of jobs that are made together: one transaction, each as if it were by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE, QUEUED, RUNNING
from pywps_hpc.dispatch import folders, pending
from pywps_hpc.dispatch.decide.evidence import Evidence
from pywps_hpc.dispatch.pending import PendingChanges
from pywps_hpc.dispatch.schedulers.base import JobStatus, SubmissionPostponed
from pywps_hpc.errors import LeadershipLost, TableUnavailable
from pywps_hpc.jobs import ControlRequest, Job, State
from pywps_hpc.timing import TIMING

JOBS = 30
#: A number that no column takes.
TOO_LARGE = 1 << 70


@pytest.fixture
def harness(tmp_path: Path, database: str) -> Iterator[DispatcherHarness]:
    made = DispatcherHarness(tmp_path, database=database)
    made.scheduler.arrays = True
    made.timing = replace(TIMING, change_delay=3600.0)  # however slow this disk is
    made.restart()
    yield made
    made.store.engine.dispose()


def written(harness: DispatcherHarness) -> list[Connection]:
    """A list that gets an entry with each transaction that changes jobs, from now on."""
    if not harness.dispatcher.leads:
        harness.dispatcher.lead()  # whoever begins to lead forgets what was missing: one more
    found: list[Connection] = []
    changes: set[Connection] = set()

    def executed(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE hpc_jobs"):
            changes.add(connection)

    def committed(connection: Connection) -> None:
        if connection in changes:
            changes.remove(connection)
            found.append(connection)

    sa.event.listen(harness.store.engine, "after_cursor_execute", executed)
    sa.event.listen(harness.store.engine, "commit", committed)
    return found


def queued(harness: DispatcherHarness, count: int = JOBS) -> list[Job]:
    jobs = [harness.accept() for _ in range(count)]
    harness.cycle()
    return [harness.row(job) for job in jobs]


def waiting(harness: DispatcherHarness, complaints: list[str] | None = None) -> PendingChanges:
    def complain(job: Job, error: Exception) -> None:
        assert complaints is not None, error
        complaints.append(job.id)

    return PendingChanges(harness.store, complain)


def test_the_changes_of_a_turn_are_one_transaction(harness: DispatcherHarness) -> None:
    jobs = queued(harness)
    for job in jobs:
        harness.scheduler.say(job.native_id, RUNNING)
        harness.begin(job)
    transactions = written(harness)
    assert harness.cycle() == JOBS
    assert {harness.row(job).state for job in jobs} == {State.RUNNING}
    assert len(transactions) == 1
    for job in jobs:
        harness.succeed_in_queue(job)
    assert harness.cycle() == JOBS
    assert {harness.row(job).state for job in jobs} == {State.SUCCEEDED}
    assert len(transactions) == 2


def test_the_dismissals_of_a_turn_are_one_transaction(harness: DispatcherHarness) -> None:
    jobs = [harness.accept() for _ in range(JOBS)]
    for job in jobs:
        assert harness.store.request(job.id, ControlRequest.DISMISS)
    transactions = written(harness)
    assert harness.cycle() == JOBS
    assert {harness.row(job).state for job in jobs} == {State.DISMISSED}
    assert len(transactions) == 1


def test_the_reasons_of_a_turn_are_one_transaction(harness: DispatcherHarness) -> None:
    jobs = [harness.accept() for _ in range(JOBS)]
    limit = SubmissionPostponed("the limit on jobs is reached", answered=True)
    harness.scheduler.postpone = lambda _: limit
    transactions = written(harness)
    harness.cycle()
    told = {harness.row(job).message for job in jobs}
    assert all("the limit on jobs is reached" in message for message in told)
    assert len(transactions) < JOBS / 2  # in halves, down to one


def test_a_job_that_changed_meanwhile_is_left_alone(harness: DispatcherHarness) -> None:
    first, second, third = queued(harness, 3)
    made: list[str] = []
    changes = waiting(harness)
    for job in (first, second, third):
        changes.add(job, State.FAILED, then=lambda job=job: made.append(job.id), message="broken")
    assert harness.store.request(first.id, ControlRequest.DISMISS)
    assert harness.store.move(second, State.RUNNING) is not None
    changes.flush()
    assert made == [third.id]
    assert changes.made == 1
    assert [harness.row(job).state for job in (first, second, third)] == [
        *(State.QUEUED, State.RUNNING, State.FAILED)
    ]


def test_a_request_that_was_replaced_meanwhile_stands(harness: DispatcherHarness) -> None:
    (job,) = queued(harness, 1)
    changes = waiting(harness)
    changes.add(job, request=ControlRequest.PAUSE, control=ControlRequest.NONE.value)
    assert harness.store.request(job.id, ControlRequest.PAUSE)
    assert harness.store.request(job.id, ControlRequest.DISMISS)
    changes.flush()
    assert harness.row(job).control is ControlRequest.DISMISS


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_one_that_the_table_cannot_take_keeps_out_no_other(
    harness: DispatcherHarness, bad: int
) -> None:
    jobs, complaints = queued(harness, 7), []
    changes = waiting(harness, complaints)
    for number, job in enumerate(jobs):
        changes.add(job, State.RUNNING, end_seen=TOO_LARGE if number == bad else 5)
    changes.flush()
    assert complaints == [jobs[bad].id]
    assert changes.made == 6
    states = [harness.row(job).state for job in jobs]
    assert states.pop(bad) is State.QUEUED
    assert set(states) == {State.RUNNING}


def test_a_transition_that_does_not_exist_keeps_out_no_other(harness: DispatcherHarness) -> None:
    first, second = queued(harness, 2)
    complaints: list[str] = []
    changes = waiting(harness, complaints)
    changes.add(first, State.STAGING)
    changes.add(second, State.RUNNING)
    changes.flush()
    assert complaints == [first.id]
    assert harness.row(second).state is State.RUNNING


def test_text_that_no_database_takes_is_stored_as_far_as_it_can_be(
    harness: DispatcherHarness,
) -> None:
    (job,) = queued(harness, 1)
    changes = waiting(harness)
    changes.add(job, message="a\0b\udc80c漢")
    changes.flush()
    assert harness.row(job).message == "a\ufffdb?c漢"


def test_one_job_has_its_changes_in_their_order(harness: DispatcherHarness) -> None:
    (job,) = queued(harness, 1)
    changes = waiting(harness)
    changes.add(job, message="first", missing_since=1.0)
    changes.add(job, State.RUNNING, message="second")
    changes.add(job, message="too late: it runs")
    changes.flush()
    row = harness.row(job)
    assert (row.state, row.message, row.missing_since) == (State.RUNNING, "second", 1.0)


def test_whoever_was_replaced_makes_none(harness: DispatcherHarness) -> None:
    jobs = queued(harness, 2)
    changes = PendingChanges(harness.store.led_by("another"), pytest.fail)
    for job in jobs:
        changes.add(job, State.RUNNING, then=lambda: pytest.fail("none was made"))
    with pytest.raises(LeadershipLost):
        changes.flush()
    assert {harness.row(job).state for job in jobs} == {State.QUEUED}


def test_they_wait_for_no_more_than_a_moment(harness: DispatcherHarness) -> None:
    jobs = queued(harness, 3)
    soon = PendingChanges(harness.store, pytest.fail, replace(TIMING, change_delay=0.0))
    soon.add(jobs[0], State.RUNNING)
    assert harness.row(jobs[0]).state is State.RUNNING
    later = PendingChanges(harness.store, pytest.fail, replace(TIMING, change_delay=3600.0))
    later.add(jobs[1], State.RUNNING)
    assert harness.row(jobs[1]).state is State.QUEUED
    later.flush()
    assert harness.row(jobs[1]).state is State.RUNNING


def test_there_are_never_more_than_so_many_in_one_transaction(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queued(harness, 5)
    monkeypatch.setattr(pending, "MOST", 2)
    changes = PendingChanges(harness.store, pytest.fail, replace(TIMING, change_delay=3600.0))
    transactions = written(harness)
    for job in jobs:
        changes.add(job, State.RUNNING)
    changes.flush()
    assert len(transactions) == 3
    assert {harness.row(job).state for job in jobs} == {State.RUNNING}


def test_what_a_turn_that_failed_has_left_is_decided_anew(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = queued(harness, 1)
    harness.scheduler.say(job.native_id, RUNNING)
    harness.begin(job)
    table = harness.dispatcher.store

    def away(_changes: object) -> None:
        raise TableUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(table, "apply", away)
        with pytest.raises(TableUnavailable):
            harness.cycle()
    harness.scheduler.say(job.native_id, QUEUED)  # the batch system took it back
    assert harness.cycle() == 0
    assert harness.row(job).state is State.QUEUED


def test_only_rows_of_which_the_reason_has_changed_are_written(harness: DispatcherHarness) -> None:
    jobs = queued(harness, 4)
    first = replace(QUEUED, waits="other jobs come first")
    for job in jobs:
        harness.scheduler.say(job.native_id, first)
    assert harness.cycle() == 4
    assert harness.cycle() == 0
    looked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "look", lambda folder: looked.append(folder.job_id) or Evidence())
        harness.scheduler.say(jobs[0].native_id, replace(QUEUED, waits="no licence is free"))
        assert harness.cycle() == 1
    assert looked == []  # no news of its process
    told = [harness.row(job).waits for job in jobs]
    assert told == ["no licence is free", *3 * ["other jobs come first"]]


@pytest.mark.parametrize("end", [RUNNING, DONE])
def test_the_reason_passes_with_the_wait(harness: DispatcherHarness, end: JobStatus) -> None:
    (job,) = queued(harness, 1)
    harness.scheduler.say(job.native_id, replace(QUEUED, waits="other jobs come first"))
    harness.cycle()
    assert harness.row(job).waits
    harness.succeed(job)
    harness.scheduler.say(job.native_id, end)
    harness.cycle()
    assert harness.row(job).state is not State.QUEUED
    assert harness.row(job).waits == ""
