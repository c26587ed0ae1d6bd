"""What lets the dispatcher's loop go on before it would look by itself, and what it costs idle."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE, QUEUED, RUNNING
from joblauncher.shared import outcome
from pywps_hpc.dispatch import follow, reconciler, submit
from pywps_hpc.dispatch.dispatcher import Dispatcher
from pywps_hpc.dispatch.ends import EndWatch
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Phase,
    SubmissionPostponed,
)
from pywps_hpc.jobs import ControlRequest, State
from pywps_hpc.jobs.queries import _ENDS, _NEWEST, _REQUESTS
from pywps_hpc.jobs.wakeup import Listener, wake
from pywps_hpc.timing import TIMING
from servers import wait_for as waits_for

#: Far longer than a test takes.
NEVER = 3600.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    waits_for(condition, what, 30)


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    made = DispatcherHarness(tmp_path)
    made.settings = replace(made.settings, poll_interval=NEVER, poll_backoff=NEVER)
    return made


@contextlib.contextmanager
def at_work(harness: DispatcherHarness, **timing: float) -> Iterator[Dispatcher]:
    """Its loop runs meanwhile, and looks at nothing by itself."""
    dispatcher = Dispatcher(
        *(harness.settings, harness.store, harness.spool, harness.scheduler),
        holder=harness.dispatcher.holder,
        timing=replace(TIMING, **{"table_look": NEVER} | timing),
    )
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: dispatcher._pace.due_in() > 0, "it has had its first turn")
        yield dispatcher
    finally:
        stop.set()
        while thread.is_alive():
            wake(dispatcher.holder)
            thread.join(0.05)


def test_it_submits_what_is_accepted_at_once(harness: DispatcherHarness) -> None:
    with at_work(harness):
        job = harness.accept(created=time.time())
        wait_for(lambda: harness.row(job).state is State.QUEUED, "it is submitted")


def test_it_carries_a_dismissal_out_at_once(harness: DispatcherHarness) -> None:
    job = harness.queued()
    with at_work(harness):
        assert harness.store.request(job.id, ControlRequest.DISMISS)
        wait_for(lambda: harness.scheduler.cancelled == [job.native_id], "it is cancelled")


def test_one_that_is_recorded_after_a_later_one_is_not_left_until_the_next_poll(
    harness: DispatcherHarness,
) -> None:
    with at_work(harness, table_look=0.1):
        now = time.time()
        first = harness.accept(created=now)
        wait_for(lambda: harness.row(first).state is State.QUEUED, "it is submitted")
        second = harness.accept(created=now - 5)
        wait_for(lambda: harness.row(second).state is State.QUEUED, "so is the other")


def test_without_being_woken_it_looks_every_so_often(
    harness: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as stack:
        dispatchers: list[Dispatcher] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pywps_hpc.dispatch.dispatcher.Listener", _deaf)
            dispatchers.append(stack.enter_context(at_work(harness, table_look=0.05)))
        job = harness.accept(created=time.time())
        wait_for(lambda: harness.row(job).state is State.QUEUED, "it is submitted")
    assert "cannot be woken, looks every 0.05 s" in caplog.text


def _deaf(holder: str, timing: object) -> Listener:
    raise OSError(1, "it may not listen")


def test_being_woken_for_nothing_costs_a_bounded_number_of_looks(
    harness: DispatcherHarness,
) -> None:
    pause = 0.1
    with at_work(harness, wake_pause=pause) as dispatcher:
        looked: list[float] = []
        waiting = dispatcher.store.waiting
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                dispatcher.store, "waiting", lambda: looked.append(time.monotonic()) or waiting()
            )
            end = time.monotonic() + 1
            while time.monotonic() < end:
                wake(dispatcher.holder)
        calls = Counter(harness.scheduler.calls)
        assert 2 <= len(looked) <= 1 / pause + 2
        assert calls["poll"] <= 1


def test_it_asks_about_a_job_soon_after_its_report_tells_an_end(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    with at_work(harness, table_look=0.05):
        harness.scheduler.say(job.native_id, DONE)
        harness.succeed(job)
        wait_for(lambda: harness.row(job).state is State.SUCCEEDED, "it is over")


def test_until_the_batch_system_confirms_an_end_it_is_asked_again_soon(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    with at_work(harness, table_look=0.05, hurried_poll=0.1, end_expected=NEVER):
        asked = harness.scheduler.calls.count("poll")
        harness.succeed(job)
        wait_for(lambda: harness.scheduler.calls.count("poll") > asked + 3, "it has asked again")
        harness.scheduler.say(job.native_id, DONE)
        wait_for(lambda: harness.row(job).state is State.SUCCEEDED, "it is over")


@pytest.fixture
def rarely_polled(harness: DispatcherHarness) -> DispatcherHarness:
    harness.settings = replace(harness.settings, poll_interval=120.0, poll_backoff=120.0)
    return harness


def test_a_job_that_was_given_away_since_the_latest_poll_is_asked_about_once_it_tells_its_end(
    rarely_polled: DispatcherHarness,
) -> None:
    harness = rarely_polled
    waiting = harness.queued()
    with at_work(harness, table_look=0.05):
        job = harness.accept(created=time.time())
        wait_for(lambda: harness.row(job).state is State.QUEUED, "it is submitted")
        asked = harness.scheduler.calls.count("poll")
        harness.succeed_in_queue(job)
        wait_for(lambda: harness.row(job).state is State.SUCCEEDED, "it is over")
        assert harness.scheduler.calls.count("poll") == asked + 1
    assert harness.row(waiting).state is State.QUEUED


@pytest.mark.parametrize("said", [QUEUED, JobStatus(Phase.HELD), None], ids=str)
def test_so_is_any_job_that_did_not_run_when_it_was_polled(
    rarely_polled: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, said: JobStatus | None
) -> None:
    harness = rarely_polled
    monkeypatch.setattr(follow, "NEXT_TO_BEGIN", 1)
    before, job = harness.queued(), harness.queued()
    with at_work(harness, table_look=0.05) as dispatcher:
        if said is None:
            del harness.scheduler.queue[job.native_id]
        else:
            harness.scheduler.say(job.native_id, said)
        asked = harness.scheduler.calls.count("poll")
        dispatcher._pace.start_anew()
        wake(dispatcher.holder)
        wait_for(lambda: harness.scheduler.calls.count("poll") > asked, "it is polled")
        harness.succeed_in_queue(job)
        wait_for(lambda: harness.row(job).state is State.SUCCEEDED, "it is over")
    assert harness.row(before).state is State.QUEUED


def test_ends_are_noticed_while_one_submission_follows_the_other(
    rarely_polled: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, over = rarely_polled, threading.Event()
    monkeypatch.setattr(submit, "BATCH", 1)
    job = harness.running()

    def one_more(_job: BatchJob) -> None:
        if not over.is_set():
            harness.accept(created=time.time())

    harness.scheduler.on_submit = one_more
    with at_work(harness, table_look=0.05):
        harness.accept(created=time.time())
        wait_for(lambda: harness.scheduler.calls.count("submit") > 5, "there is no pause")
        try:
            harness.succeed_in_queue(job)
            wait_for(lambda: harness.row(job).state is State.SUCCEEDED, "it is over")
        finally:
            over.set()


def test_one_that_was_found_in_the_queue_after_an_unclear_answer_is_looked_at_too(
    harness: DispatcherHarness,
) -> None:
    harness.scheduler.drop_reply = True
    job = harness.accept()
    harness.cycle()
    harness.scheduler.drop_reply = False
    harness.dispatcher.lead()
    harness.dispatcher.cycle(poll=False)
    assert harness.row(job).state is State.QUEUED
    (likely, others) = harness.dispatcher._follower.may_have_ended()
    assert ([found.id for found in likely], others) == ([job.id], [])
    harness.cycle()
    (likely, others) = harness.dispatcher._follower.may_have_ended()
    assert ([found.id for found in likely], others) == ([job.id], [])


# The reports of jobs


def watch(harness: DispatcherHarness, **timing: float) -> EndWatch:
    context = harness.dispatcher._submitter._context
    return EndWatch(replace_timing(context, **{"end_look": 0.0, "end_look_cost": NEVER} | timing))


def replace_timing(context: Any, **timing: float) -> Any:
    return replace(context, timing=replace(TIMING, **timing))


def test_each_job_lets_the_batch_system_be_asked_once(harness: DispatcherHarness) -> None:
    first, second = harness.running(), harness.running()
    ends = watch(harness)
    ends.follow([first, second])
    assert not ends.look()
    harness.succeed(second)
    assert ends.look()
    assert ends.are_expected()
    harness.begin(second)  # it forges what it likes
    harness.fail(second, "no", "process")
    assert not ends.look()
    harness.fail(first, "no outlet", "process")
    assert ends.look()
    ends.follow([])
    assert not ends.are_expected()
    assert not ends.look()


@pytest.mark.parametrize("cause", sorted(outcome.PROVISIONAL))
def test_a_report_after_which_something_follows_tells_no_end(
    harness: DispatcherHarness, cause: str
) -> None:
    job = harness.running()
    ends = watch(harness)
    ends.follow([job])
    harness.fail(job, "stopped", cause)
    assert not ends.look()


def test_a_folder_in_which_anything_may_be_stops_nothing(harness: DispatcherHarness) -> None:
    gone, strange, job = harness.running(), harness.running(), harness.running()
    harness.folder(gone).report.unlink()
    harness.folder(strange).report.unlink()
    harness.folder(strange).report.mkdir()
    harness.succeed(job)
    ends = watch(harness)
    ends.follow([gone, strange, job])
    assert ends.look()
    assert not ends.look()


def slowed(ends: EndWatch, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let each look at a report take its time, and find no end; the ids of the jobs looked at."""
    looked: list[str] = []

    def slow(job_id: str) -> bool:
        looked.append(job_id)
        time.sleep(0.02)
        return False

    monkeypatch.setattr(ends, "_tells_end", slow)
    return looked


def test_a_look_takes_a_bounded_time_and_the_next_goes_on_with_the_others(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [harness.running() for _ in range(4)]
    ends = watch(harness, end_look_cost=0.01)
    looked = slowed(ends, monkeypatch)
    ends.follow(jobs)
    for _ in range(4):
        assert not ends.look()
        ends.follow(jobs)
    assert looked == [job.id for job in jobs]


def test_many_jobs_that_wait_do_not_delay_the_look_at_those_that_run(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, waiting = [harness.queued()], [harness.queued() for _ in range(3)]
    ends = watch(harness, end_look_cost=0.01)
    looked = slowed(ends, monkeypatch)
    for _ in range(3):
        ends.follow(running, waiting)
        assert not ends.look()
    assert looked == [id for job in waiting for id in (running[0].id, job.id)]


# What very many jobs cost while nothing happens


def test_jobs_that_rest_are_not_read_again_and_again(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = SubmissionPostponed("the limit on jobs is reached", answered=True)
    harness.scheduler.postpone = lambda _: limit
    jobs = [harness.accept() for _ in range(5)]
    table = harness.dispatcher.store
    harness.cycle()
    harness.cycle()
    read: list[State] = []
    in_line = table.in_line
    monkeypatch.setattr(table, "in_line", lambda state: read.append(state) or in_line(state))
    for _ in range(3):
        harness.cycle()
    assert read == []
    harness.scheduler.postpone = lambda _: None
    another = harness.accept()
    harness.cycle()  # a newcomer is offered at once
    assert harness.row(another).state is State.QUEUED
    harness.cycle(later=TIMING.longest_deferral)
    assert {harness.row(job).state for job in jobs} == {State.QUEUED}


def test_a_job_that_comes_back_is_offered_though_others_rest(harness: DispatcherHarness) -> None:
    limit = SubmissionPostponed("the limit on jobs is reached", answered=True)
    harness.scheduler.postpone = lambda _: limit
    resting, paused = harness.accept(), harness.accept()
    assert harness.store.request(paused.id, ControlRequest.PAUSE)
    harness.cycle()
    harness.cycle()
    harness.scheduler.postpone = lambda _: None
    # One leaves in the turn in which another one comes back.
    assert harness.store.request(resting.id, ControlRequest.DISMISS)
    assert harness.store.request(paused.id, ControlRequest.RESUME)
    harness.cycle()
    assert harness.row(resting).state is State.DISMISSED
    assert harness.row(paused).state is State.QUEUED


def test_of_jobs_to_which_nothing_has_happened_nothing_is_decided(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [harness.running() for _ in range(3)]
    harness.cycle()
    decided: list[str] = []
    decide = reconciler.decide
    monkeypatch.setattr(
        reconciler,
        "decide",
        lambda job, *a, **more: decided.append(job.id) or decide(job, *a, **more),
    )
    harness.cycle()
    assert decided == []
    assert harness.store.request(jobs[0].id, ControlRequest.PAUSE)  # another row
    harness.scheduler.say(jobs[1].native_id, JobStatus(Phase.RUNNING, detail="COMPLETING"))
    del harness.scheduler.queue[jobs[2].native_id]  # no answer
    harness.cycle()
    assert sorted(decided) == sorted(job.id for job in jobs)
    harness.scheduler.say(jobs[2].native_id, QUEUED)
    harness.cycle()
    assert harness.row(jobs[2]).state is State.QUEUED


def test_a_job_that_was_missing_is_noted_to_be_there_again(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.cycle()
    del harness.scheduler.queue[job.native_id]
    harness.cycle()
    assert harness.row(job).missing_since
    harness.scheduler.say(job.native_id, RUNNING)
    harness.cycle()
    assert not harness.row(job).missing_since
    harness.cycle()
    assert harness.row(job).state is State.RUNNING


@pytest.mark.parametrize("question", [_REQUESTS, _ENDS, _NEWEST], ids=["requests", "ends", "new"])
def test_what_is_asked_all_the_while_reads_no_row_of_the_others(
    harness: DispatcherHarness, question: Any
) -> None:
    engine = harness.store.engine
    words = str(question.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}").all())
    own = ("ix_hpc_jobs_wish (wish=", "ix_hpc_jobs_end_seen (end_seen>", "COVERING INDEX")
    assert any(index in plan for index in own), plan
    assert "SCAN hpc_jobs" not in plan
