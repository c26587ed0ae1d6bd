"""The dispatcher's loop against a batch system in memory: every fault between them, and kill -9."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dispatcher_harness import GRACE, DispatcherHarness
from fake_scheduler import DONE, QUEUED, RUNNING
from joblauncher.shared import status_xml
from joblauncher.shared.exits import REFUSED
from kill_points import Fragile, Hooks, Killed
from pywps_hpc.dispatch import clean, finish, folders
from pywps_hpc.dispatch import dispatcher as dispatcher_module
from pywps_hpc.dispatch import leader as lead
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.evidence import Evidence
from pywps_hpc.dispatch.leader import Leadership, LeadershipLost
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.dispatch.submission import Submission
from pywps_hpc.jobs import TERMINAL, Cause, ControlRequest, Job, JobStore, State, leadership
from pywps_hpc.settings import Container, SettingsError
from pywps_hpc.timing import TIMING
from servers import wait_for

TIMEOUT = JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT, detail="TIMEOUT")
CANCELLED = JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail="CANCELLED by 0")
#: Seconds for what another thread or process does at once if it does it at all.
PATIENCE = 120.0


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(tmp_path)


def failed(code: int) -> JobStatus:
    return JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=code)


# The way of a job


def test_an_accepted_job_is_submitted_followed_and_ended(harness: DispatcherHarness) -> None:
    job = harness.accept()
    harness.cycle()
    assert harness.row(job).state is State.QUEUED
    assert harness.row(job).native_id == "1"
    harness.scheduler.say("1", RUNNING)
    harness.begin(job)
    harness.cycle()
    assert harness.row(job).state is State.RUNNING
    assert harness.row(job).started > 0
    harness.succeed_in_queue(job)
    harness.cycle()
    row = harness.row(job)
    assert row.state is State.SUCCEEDED
    assert row.finished == pytest.approx(harness.now)
    assert harness.status(job).state == "succeeded"
    assert not harness.folder(job).work.exists()
    assert not harness.folder(job).temporary.exists()
    assert harness.folder(job).storage.exists()


def test_the_batch_system_gets_the_job_under_its_name_with_script_and_log(
    harness: DispatcherHarness,
) -> None:
    job = harness.queued()
    batch = harness.scheduler.jobs[job.native_id]
    assert (batch.name, batch.comment) == (job.name, job.id)
    assert batch.log == str(harness.folder(job).log)
    assert harness.folder(job).script.read_text() == batch.script
    assert job.digest in batch.script


def test_the_row_says_submitting_before_the_batch_system_is_asked(
    harness: DispatcherHarness,
) -> None:
    job = harness.accept()
    states = []
    harness.scheduler.on_submit = lambda _: states.append(harness.row(job).state)
    harness.cycle()
    assert states == [State.SUBMITTING]


def test_all_jobs_are_asked_about_in_one_question(harness: DispatcherHarness) -> None:
    for _ in range(5):
        harness.accept()
    harness.cycle()
    harness.scheduler.calls.clear()
    harness.cycle()
    assert harness.scheduler.calls == ["poll"]


@pytest.mark.parametrize("left", ["nothing", "success"])
def test_a_job_whose_id_the_batch_system_gave_to_another_one_is_lost(
    harness: DispatcherHarness, left: str
) -> None:
    old = harness.running()
    harness.scheduler.queue.clear()  # it has lost its memory
    new = harness.accept(created=harness.now + 1)
    harness.now += 1
    harness.cycle()
    harness.store.note(harness.row(new), native_id=old.native_id)
    if left == "success":
        harness.succeed(old)
    harness.scheduler.say(old.native_id, DONE)
    harness.succeed(new)
    harness.cycle()
    assert harness.row(new).state is State.SUCCEEDED
    row = harness.row(old)
    if left == "success":
        assert row.state is State.SUCCEEDED
    else:
        assert (row.state, row.message) == (State.FAILED, messages.LOST)
        assert harness.status(old).message == messages.LOST


def test_documents_of_jobs_that_did_not_change_are_not_opened(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [harness.running() for _ in range(3)]
    opened = []
    look = folders.look
    monkeypatch.setattr(folders, "look", lambda f: opened.append(f.job_id) or look(f))
    harness.cycle()
    assert opened == []
    harness.scheduler.say(jobs[1].native_id, JobStatus(Phase.RUNNING, detail="COMPLETING"))
    harness.cycle()
    assert opened == [jobs[1].id]


def running_until(harness: DispatcherHarness, end: str) -> Job:
    """A job whose process told this end, and that the batch system has running still."""
    job = harness.running()
    tell(harness, job, end)
    return job


def tell(harness: DispatcherHarness, job: Job, end: str) -> None:
    """The job's folder tells this end."""
    if end == "success":
        harness.succeed(job)
    else:
        harness.fail(job, "no outlet", "process")


@pytest.mark.parametrize("end", ["success", "failure"])
def test_a_document_of_an_end_ends_no_job_that_the_batch_system_has_alive(
    harness: DispatcherHarness, end: str
) -> None:
    job = running_until(harness, end)
    harness.scheduler.say(job.native_id, JobStatus(Phase.RUNNING, detail="COMPLETING"))
    for _ in range(3):
        harness.cycle(later=GRACE)
        assert harness.row(job).state is State.RUNNING
    harness.scheduler.say(job.native_id, DONE if end == "success" else failed(1))
    harness.cycle()
    assert harness.row(job).state.value == harness.status(job).state


@pytest.mark.parametrize("how", [failed(137), TIMEOUT, CANCELLED])
def test_a_forged_success_of_a_job_that_the_batch_system_saw_fail_is_overruled(
    harness: DispatcherHarness, how: JobStatus
) -> None:
    job = harness.running()
    harness.succeed(job)
    harness.scheduler.say(job.native_id, how)
    harness.cycle()
    harness.cycle(later=10)
    assert harness.row(job).state is State.FAILED
    assert harness.row(job).message.startswith(("killed", "cancelled"))
    assert harness.status(job).message == harness.row(job).message
    assert harness.report(job).state == "failed"


def test_a_job_that_told_its_end_and_works_on_is_ended(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.succeed(job)
    assert harness.store.saw_end(job.id)
    assert not harness.store.saw_end(job.id)
    harness.now = float(harness.row(job).end_seen)
    harness.cycle(later=TIMING.linger - 1)
    assert harness.scheduler.cancelled == []
    harness.cycle(later=1)
    assert harness.scheduler.cancelled == [job.native_id]
    harness.scheduler.say(job.native_id, CANCELLED)
    harness.restart()
    harness.cycle()
    harness.cycle(later=10)
    assert (harness.row(job).state, harness.row(job).message) == (State.FAILED, messages.LINGERED)
    assert harness.status(job).message == messages.LINGERED


def test_a_success_that_the_batch_system_confirms_late_outlives_the_order_to_end_its_job(
    harness: DispatcherHarness,
) -> None:
    """The daemon of its node was away for longer than a job may work on."""
    job = harness.running()
    harness.succeed(job)
    harness.store.saw_end(job.id)
    harness.now = float(harness.row(job).end_seen)
    for _ in range(3):
        harness.cycle(later=TIMING.linger)
    assert harness.row(job).message == messages.LINGERED
    assert harness.scheduler.cancelled == [job.native_id] * 3
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle()
    assert (harness.row(job).state, harness.row(job).message) == (State.SUCCEEDED, "")
    assert harness.status(job).state == "succeeded"


@pytest.mark.parametrize("restarted", [False, True])
def test_time_in_which_no_end_could_be_heard_of_is_no_work_after_it(
    harness: DispatcherHarness, restarted: bool
) -> None:
    """A batch system that comes back may take some seconds to hear who ended meanwhile."""
    job = harness.running()
    harness.succeed(job)
    harness.store.saw_end(job.id)
    harness.now = float(harness.row(job).end_seen)
    if not restarted:
        harness.scheduler.unavailable = True
        harness.cycle(later=10 * TIMING.linger)
        harness.scheduler.unavailable = False
    else:
        harness.restart()
        harness.now += 10 * TIMING.linger
    for _ in range(2):
        harness.cycle(later=TIMING.linger / 2 - 1)
        assert harness.scheduler.cancelled == []
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle(later=1)
    assert harness.row(job).state is State.SUCCEEDED


def test_a_start_after_the_one_that_told_its_end_is_not_ended_by_that(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.succeed(job)
    harness.store.saw_end(job.id)
    harness.begin(job)
    harness.cycle(later=10 * TIMING.linger)
    assert harness.scheduler.cancelled == []
    assert harness.row(job).end_seen == 0


def test_a_success_whose_start_the_batch_system_repeats_counts_and_the_rest_is_cleared_away(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.succeed(job)
    harness.scheduler.say(job.native_id, dataclasses.replace(QUEUED, restarts=1))
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED
    assert harness.scheduler.cancelled == [job.native_id]


def test_held_and_suspended_jobs_are_shown_as_paused_and_go_on(harness: DispatcherHarness) -> None:
    job = harness.queued()
    for phase, state in [
        (Phase.HELD, State.PAUSED),
        (Phase.QUEUED, State.QUEUED),
        (Phase.RUNNING, State.RUNNING),
        (Phase.SUSPENDED, State.PAUSED),
        (Phase.RUNNING, State.RUNNING),
    ]:
        harness.scheduler.say(job.native_id, JobStatus(phase))
        harness.cycle()
        assert harness.row(job).state is state


def test_limit_that_only_the_log_tells_is_told_soon_where_nobody_knows_the_job(
    harness: DispatcherHarness,
) -> None:
    """A server that keeps no ended jobs, a site without accounting."""
    job, lost = harness.running(), harness.running()
    harness.folder(job).log.write_text("slurmstepd: error: Exceeded job memory limit\n")
    for one in (job, lost):
        harness.scheduler.forget(one.native_id)
    harness.cycle()
    assert harness.row(job).state is State.RUNNING  # one answer may lack a job
    harness.cycle(later=TIMING.document_lag)
    assert harness.row(job).state is State.FAILED
    assert harness.row(job).message.startswith("killed: used more than the ")
    assert harness.status(job).message == harness.row(job).message
    assert harness.row(lost).state is State.RUNNING
    harness.cycle(later=GRACE)
    assert harness.row(lost).message == messages.LOST


def test_a_job_that_can_never_start_is_explained_until_it_can(harness: DispatcherHarness) -> None:
    job = harness.queued()
    harness.scheduler.say(
        job.native_id, JobStatus(Phase.QUEUED, detail="PENDING (PartitionTimeLimit)", hopeless=True)
    )
    harness.cycle()
    assert "PartitionTimeLimit" in harness.row(job).message
    harness.scheduler.say(job.native_id, QUEUED)
    harness.cycle()
    assert harness.row(job).message == ""


# Ways to die


def test_a_killed_job_s_document_is_replaced_by_the_reason(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.say(job.native_id, TIMEOUT)
    harness.cycle()
    harness.cycle(later=6)
    message = "killed: time limit 00:10:00 reached"
    assert (harness.row(job).state, harness.row(job).message) == (State.FAILED, message)
    assert harness.status(job).state == "failed"
    assert message in harness.status(job).message
    facts = harness.report(job)
    assert (facts.state, facts.message, facts.cause) == ("failed", message, "dispatcher")
    assert facts.finished > 0


def test_a_document_that_shows_late_wins_over_the_batch_system(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.say(job.native_id, failed(1))
    harness.cycle()
    assert harness.row(job).state is State.RUNNING
    harness.fail(job, "The catchment has no outlet.", "process")
    harness.cycle(later=1)
    assert harness.row(job).state is State.FAILED
    assert harness.row(job).message == "The catchment has no outlet."
    assert harness.status(job).message == "The catchment has no outlet."


def test_exit_code_0_without_a_result_is_a_failure_after_the_grace(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle()
    harness.cycle(later=GRACE - 1)
    assert harness.row(job).state is State.RUNNING
    harness.cycle(later=2)
    assert harness.row(job).state is State.FAILED
    assert "without leaving a result" in harness.status(job).message


def test_what_the_launcher_only_knows_as_a_stop_is_refined(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.fail(job, "stopped by the batch system (SIGTERM)", "stopped")
    harness.cycle()
    assert harness.row(job).state is State.RUNNING, "the batch system has not said why"
    harness.scheduler.say(job.native_id, CANCELLED)
    harness.cycle()
    message = "cancelled by an administrator of the cluster (CANCELLED by 0)"
    assert harness.row(job).message == message
    assert harness.status(job).message.endswith(message)


def test_the_batch_system_s_words_in_the_log_tell_of_a_memory_limit(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.folder(job).log.write_text("slurmstepd: error: Exceeded job memory limit\n")
    harness.scheduler.say(job.native_id, JobStatus(Phase.FINISHED, Outcome.SIGNALLED, signal=9))
    harness.cycle()
    harness.cycle(later=6)
    assert harness.row(job).message == "killed: used more than the 2 GB asked for"


def test_a_job_that_could_not_start_is_cleared_from_the_queue(harness: DispatcherHarness) -> None:
    job = harness.queued()
    status = JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail="Eqw")
    harness.scheduler.say(job.native_id, status)
    harness.cycle()
    harness.cycle(later=6)
    assert harness.row(job).message == "could not start (Eqw)"
    assert harness.scheduler.cancelled == [job.native_id]


def test_a_job_suspended_after_its_last_word_ends_when_it_goes_on(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.succeed(job)
    harness.store.saw_end(job.id)
    harness.scheduler.say(job.native_id, JobStatus(Phase.SUSPENDED))
    harness.cycle(later=10 * TIMING.linger)
    assert harness.row(job).state is State.PAUSED
    assert harness.scheduler.cancelled == []
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED


def test_a_job_with_a_result_that_is_not_listed_is_cleared_away(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.running()
    harness.succeed(job)
    monkeypatch.setattr(harness.scheduler, "poll", lambda ids: {})
    harness.cycle()
    assert harness.row(job).state is State.RUNNING, "accounting may come to know it"
    harness.cycle(later=GRACE)
    assert harness.row(job).state is State.SUCCEEDED
    assert harness.scheduler.cancelled == [job.native_id]


def test_a_job_that_cannot_be_cleared_away_now_ends_when_it_can(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.running()
    harness.succeed(job)
    harness.scheduler.say(job.native_id, dataclasses.replace(QUEUED, restarts=1))

    def unavailable(_ids: Sequence[str]) -> None:
        raise SchedulerUnavailable("cannot connect to server")

    with monkeypatch.context() as away:
        away.setattr(harness.scheduler, "cancel", unavailable)
        harness.cycle()
    assert harness.row(job).state is State.RUNNING
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED
    assert harness.scheduler.cancelled == [job.native_id]


def test_of_a_job_that_waits_for_another_start_only_a_later_report_counts(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    assert job.attempt == 0
    for attempt in (1, 2):
        for _ in range(2):
            harness.scheduler.say(job.native_id, QUEUED)
            harness.cycle()
            assert (harness.row(job).state, harness.row(job).attempt) == (State.QUEUED, attempt)
        harness.scheduler.say(job.native_id, RUNNING)
        dataclasses.replace(harness.report(job), attempt=attempt).write(harness.folder(job))
        harness.cycle()
        assert (harness.row(job).state, harness.row(job).attempt) == (State.RUNNING, attempt)


@pytest.mark.parametrize("told", ["started", "succeeded"])
def test_a_report_is_completed_where_the_launcher_did_not_live_to(
    harness: DispatcherHarness, told: str
) -> None:
    job = harness.running()
    harness.succeed(job)
    facts = harness.report(job)
    facts.state, facts.finished = told, 0.0
    facts.write(harness.folder(job))
    node_failed = JobStatus(Phase.FINISHED, Outcome.NODE_FAILURE)
    harness.scheduler.say(job.native_id, node_failed)
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED
    assert harness.report(job).state == "succeeded"
    assert harness.report(job).is_final()


def test_what_a_killed_writer_left_unfinished_goes_at_the_end(harness: DispatcherHarness) -> None:
    job = harness.running()
    folder = harness.folder(job)
    for name in (".status.xml.x1", ".outcome.json.x2", ".job.sh.x3", ".hidden"):
        (folder.path / name).touch()
    harness.succeed_in_queue(job)
    harness.cycle()
    left = {path.name for path in folder.path.iterdir() if path.name.startswith(".")}
    assert left == {".hidden"}


def test_a_success_that_appears_at_the_last_moment_is_not_overwritten(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.running()
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle()
    look = folders.look

    def look_then_succeed(folder: Any) -> Evidence:
        seen = look(folder)
        harness.succeed(job)
        return seen

    monkeypatch.setattr(folders, "look", look_then_succeed)
    harness.cycle(later=GRACE)
    assert harness.status(job).state == "succeeded"
    monkeypatch.undo()
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED


@pytest.mark.parametrize("name", ["status.xml", "outcome.json", "job.log"])
def test_a_process_cannot_stop_the_dispatcher_by_a_pipe_in_place_of_a_file(
    harness: DispatcherHarness, name: str
) -> None:
    job = harness.running()
    path = harness.folder(job).path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    harness.scheduler.say(job.native_id, failed(3))
    worker = threading.Thread(target=lambda: [harness.cycle(), harness.cycle(later=6)], daemon=True)
    worker.start()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert harness.row(job).state is State.FAILED


def test_nonsense_in_a_report_does_not_keep_a_job_from_its_end(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.folder(job).report.write_text(
        '{"job": "x", "process": "y", "usage": [], "finished": "z"}'
    )
    harness.scheduler.say(job.native_id, failed(3))
    harness.cycle()
    harness.cycle(later=6)
    assert harness.row(job).state is State.FAILED


# "Cannot ask" is not "not there"


def test_a_failed_question_changes_nothing_but_the_message(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.unavailable = True
    for _ in range(3):
        harness.cycle(later=10 * GRACE)
    assert harness.row(job) == job
    assert harness.told() == "cannot connect to server"
    harness.scheduler.unavailable = False
    harness.cycle()
    assert harness.told() == ""


def test_trouble_stands_until_the_batch_system_was_asked_again(harness: DispatcherHarness) -> None:
    harness.running()
    harness.scheduler.unavailable = True
    harness.cycle()
    harness.dispatcher.cycle(poll=False)
    assert harness.told() == "cannot connect to server"


def test_trouble_is_logged_once(
    harness: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.running()
    harness.scheduler.unavailable = True
    for _ in range(5):
        harness.cycle()
    assert sum("cannot connect" in r.getMessage() for r in caplog.records) == 1


def test_absent_job_is_not_failed_before_its_grace_ends(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.cycle()
    harness.cycle(later=GRACE - 1)
    assert harness.row(job).state is State.RUNNING
    harness.cycle(later=2)
    assert harness.row(job).state is State.FAILED
    assert "no longer knows the job" in harness.status(job).message


def test_absence_counts_only_while_it_lasts(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.cycle()
    harness.scheduler.say(job.native_id, RUNNING)
    harness.cycle(later=GRACE + 1)
    harness.scheduler.forget(job.native_id)
    harness.cycle(later=1)
    harness.cycle(later=GRACE - 1)
    assert harness.row(job).state is State.RUNNING


def test_time_in_which_nobody_could_be_asked_is_no_absence(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = True
    for _ in range(3):
        harness.cycle(later=10 * GRACE)
    assert harness.row(job).state is State.RUNNING
    assert harness.told() == "accounting does not answer"


def test_time_for_which_a_dispatcher_is_held_up_is_no_absence(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.cycle()
    history = harness.scheduler.history

    def slow(ids: Sequence[str]) -> dict[str, JobStatus]:
        harness.now += 10 * GRACE
        return history(ids)

    monkeypatch.setattr(harness.scheduler, "history", slow)
    harness.cycle(later=1)
    assert harness.row(job).state is State.RUNNING


@pytest.mark.parametrize("restarted", [False, True])
def test_time_in_which_nobody_asked_is_no_absence(
    harness: DispatcherHarness, restarted: bool
) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.cycle()
    if restarted:
        harness.restart()
    harness.cycle(later=10 * GRACE)
    assert harness.row(job).state is State.RUNNING
    harness.cycle(later=GRACE - 1)
    assert harness.row(job).state is State.RUNNING
    harness.cycle(later=2)
    assert harness.row(job).state is State.FAILED


def test_time_in_which_accounting_was_down_is_no_absence(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = True
    for _ in range(4):
        harness.cycle(later=GRACE / 2)
    # It answers again, and hears of the job's end a moment later.
    harness.scheduler.accounting_unavailable = False
    harness.cycle(later=1)
    assert harness.row(job).state is State.RUNNING
    harness.scheduler.forget(job.native_id, TIMEOUT)
    harness.cycle(later=1)
    harness.cycle(later=6)
    assert "time limit" in harness.row(job).message


@pytest.mark.parametrize("end", ["success", "failure"])
@pytest.mark.parametrize("down", [False, True], ids=["off", "down"])
def test_a_job_that_forges_its_end_while_the_queue_leaves_it_out_is_not_over(
    harness: DispatcherHarness, end: str, down: bool
) -> None:
    """A job that is there may be missing for less than the grace, and an order may be lost."""
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = down
    harness.cycle()
    harness.cycle(later=GRACE / 2)
    tell(harness, job, end)
    for _ in range(4):
        harness.cycle(later=GRACE / 10)
        assert harness.row(job).state is State.RUNNING
    harness.scheduler.say(job.native_id, RUNNING)
    harness.cycle(later=GRACE / 10)
    harness.cycle(later=GRACE)
    assert harness.row(job).state is State.RUNNING
    assert harness.scheduler.cancelled == []


@pytest.mark.parametrize("end", ["success", "failure"])
def test_an_end_is_told_where_the_queue_has_forgotten_the_job_and_accounting_is_down(
    harness: DispatcherHarness, end: str
) -> None:
    job = running_until(harness, end)
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = True
    for _ in range(2):
        harness.cycle(later=1)
        assert harness.row(job).state is State.RUNNING, "accounting may contradict it"
    harness.cycle(later=GRACE)
    assert harness.row(job).state.value == harness.status(job).state
    assert harness.row(job).state in (State.SUCCEEDED, State.FAILED)


@pytest.mark.parametrize("end", ["success", "failure"])
def test_an_end_is_told_at_once_where_the_batch_system_says_that_it_has_forgotten_the_job(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    job = running_until(harness, end)
    harness.scheduler.forget(job.native_id)
    monkeypatch.setattr(harness.scheduler, "forgotten", {job.native_id}, raising=False)
    harness.cycle(later=1)
    assert harness.row(job).state is State.RUNNING
    harness.cycle(later=TIMING.document_lag + 1)
    assert harness.row(job).state.value == harness.status(job).state
    assert harness.row(job).state in (State.SUCCEEDED, State.FAILED)


@pytest.mark.parametrize("end", ["success", "failure"])
def test_a_job_that_forged_its_end_is_not_over_while_one_answer_only_says_that_it_is_unknown(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    job = running_until(harness, end)
    for _ in range(3):
        harness.scheduler.forget(job.native_id)
        monkeypatch.setattr(harness.scheduler, "forgotten", {job.native_id}, raising=False)
        harness.cycle(later=TIMING.document_lag + 1)
        assert harness.row(job).state is State.RUNNING
        harness.scheduler.say(job.native_id, RUNNING)
        monkeypatch.setattr(harness.scheduler, "forgotten", (), raising=False)
        harness.cycle(later=1)
        assert harness.row(job).state is State.RUNNING


def test_time_in_which_the_queue_could_not_be_asked_is_no_absence_from_it(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.running()
    harness.succeed(job)
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = True
    monkeypatch.setattr(harness.scheduler, "unpolled", {job.native_id}, raising=False)
    for _ in range(4):
        harness.cycle(later=GRACE / 2)
    assert harness.row(job).state is State.RUNNING, "it may be alive"
    monkeypatch.setattr(harness.scheduler, "unpolled", ())
    harness.cycle()
    assert harness.row(job).state is State.RUNNING
    harness.cycle(later=GRACE)
    assert harness.row(job).state is State.SUCCEEDED


PBS_LINES = {
    "time limit": "=>> PBS: job killed: walltime 623 exceeded limit 600",
    "memory": "=>> PBS: job killed: mem 2481072kb exceeded limit 2097152kb",
}
#: Batch system -> its own last lines in the log of a job that met a limit.
LAST_LINES = {
    "slurm": {
        "time limit": "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT … DUE TO TIME LIMIT ***",
        "memory": "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the …",
    },
    "torque": PBS_LINES,
    "openpbs": PBS_LINES,
}


@pytest.mark.parametrize("down", [False, True], ids=["off", "down"])
@pytest.mark.parametrize("limit", ["time limit", "memory"])
@pytest.mark.parametrize("system", LAST_LINES)
def test_limit_is_told_by_the_log_within_15_s_where_the_batch_system_has_forgotten_the_job(
    harness: DispatcherHarness,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    limit: str,
    down: bool,
) -> None:
    job = harness.running()
    module = importlib.import_module(f"pywps_hpc.dispatch.schedulers.dialects.{system}")
    monkeypatch.setattr(harness.scheduler, "explain", module.DIALECT().explain)
    harness.folder(job).log.write_text(f"step 3\n{LAST_LINES[system][limit]}\n")
    harness.fail(job, "stopped by the batch system (SIGTERM)", "stopped")
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = down
    told, ended = {"time limit": "time limit 00:10:00", "memory": "2 GB asked for"}, harness.now
    while harness.row(job).state not in TERMINAL:
        harness.cycle(later=1)
        assert harness.now - ended <= 15
    assert told[limit] in harness.row(job).message


def test_accounting_tells_of_a_job_that_left_the_queue(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id, TIMEOUT)
    harness.cycle()
    harness.cycle(later=6)
    assert "time limit" in harness.row(job).message


@pytest.mark.parametrize("place", ["queue", "accounting"])
def test_another_job_that_had_the_same_id_is_not_taken_for_ours(
    harness: DispatcherHarness, place: str
) -> None:
    """A batch system that lost its memory counts from the beginning; accounting lags behind."""
    job = harness.running()
    theirs = dataclasses.replace(CANCELLED, name="tsomeothername")
    if place == "queue":
        harness.scheduler.say(job.native_id, theirs)
        harness.scheduler.accounting[job.native_id] = theirs
    else:
        harness.scheduler.forget(job.native_id, theirs)
    harness.cycle()
    harness.cycle(later=GRACE - 1)
    assert harness.row(job).state is State.RUNNING
    harness.scheduler.forget(job.native_id, dataclasses.replace(TIMEOUT, name=job.name))
    harness.cycle(later=0.5)
    harness.cycle(later=6)
    assert "time limit" in harness.row(job).message


def test_a_spool_that_is_not_mounted_ends_no_job(harness: DispatcherHarness) -> None:
    job, accepted = harness.running(), harness.accept()
    spool = harness.settings.spool
    spool.rename(harness.root / "unmounted")
    spool.mkdir()
    harness.scheduler.say(job.native_id, DONE)
    for _ in range(3):
        harness.cycle(later=10 * GRACE)
    assert harness.row(job).state is State.RUNNING
    assert harness.row(accepted).state is State.ACCEPTED
    spool.rmdir()
    (harness.root / "unmounted").rename(spool)
    harness.succeed(job)
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED
    assert harness.row(accepted).state is State.QUEUED


def test_a_job_whose_folder_was_removed_ends(harness: DispatcherHarness) -> None:
    job, accepted = harness.running(), harness.accept()
    for gone in (job, accepted):
        shutil.rmtree(harness.folder(gone).path)
    harness.accept()  # the spool itself is there
    harness.scheduler.say(job.native_id, failed(1))
    harness.cycle()
    harness.cycle(later=6)
    assert harness.row(job).state is State.FAILED
    assert harness.row(accepted).message == "the job's folder was removed"


# Submitting once


def test_a_submission_in_doubt_is_looked_up_and_adopted(harness: DispatcherHarness) -> None:
    harness.scheduler.drop_reply = True
    job = harness.accept()
    harness.cycle()
    assert harness.row(job).state is State.SUBMITTING
    assert harness.told() == "Socket timed out"
    harness.scheduler.drop_reply = False
    harness.cycle()
    assert (harness.row(job).state, harness.row(job).native_id) == (State.QUEUED, "1")
    assert len(harness.scheduler.jobs) == 1


def test_a_submission_that_arrives_late_is_not_repeated(harness: DispatcherHarness) -> None:
    harness.scheduler.drop_reply = harness.scheduler.late = True
    job = harness.accept()
    harness.cycle()
    for _ in range(4):
        harness.cycle(later=GRACE / 5)
    harness.scheduler.arrive()
    harness.cycle()
    assert harness.row(job).state is State.QUEUED
    assert harness.scheduler.calls.count("submit") == 1


def test_a_submission_that_never_arrived_is_repeated_after_the_grace(
    harness: DispatcherHarness,
) -> None:
    harness.scheduler.drop_reply = harness.scheduler.late = True
    job = harness.accept()
    harness.cycle()
    harness.scheduler.under_way.clear()
    harness.scheduler.drop_reply = False
    harness.cycle(later=1)
    harness.cycle(later=GRACE - 1)
    assert harness.row(job).state is State.SUBMITTING
    harness.cycle(later=2)
    harness.cycle()
    assert harness.row(job).state is State.QUEUED
    assert len(harness.scheduler.jobs) == 1


@pytest.mark.parametrize("then", ["dismissed", "refused"])
def test_a_job_that_ran_after_it_was_taken_for_lost_succeeds_unless_dismissed(
    harness: DispatcherHarness, then: str
) -> None:
    harness.scheduler.drop_reply = harness.scheduler.late = True
    job = harness.accept()
    harness.cycle()
    harness.cycle(later=1)
    harness.succeed(job)  # and the batch system has forgotten it already
    harness.scheduler.drop_reply = False
    if then == "dismissed":
        harness.store.request(job.id, ControlRequest.DISMISS)
    else:
        harness.scheduler.refuse = "Invalid partition name specified"
    for _ in range(3):
        harness.cycle(later=GRACE + 1)
    if then == "dismissed":
        assert (harness.row(job).state, harness.row(job).message) == (State.DISMISSED, "dismissed")
        assert harness.status(job).message == "dismissed"
    else:
        assert (harness.row(job).state, harness.row(job).message) == (State.SUCCEEDED, "")
        assert harness.status(job).state == "succeeded"


def test_while_nobody_can_be_asked_a_doubtful_submission_is_not_repeated(
    harness: DispatcherHarness,
) -> None:
    harness.scheduler.drop_reply = harness.scheduler.late = True
    job = harness.accept()
    harness.cycle()
    harness.scheduler.unavailable = True
    for _ in range(3):
        harness.cycle(later=10 * GRACE)
    assert harness.row(job).state is State.SUBMITTING
    harness.scheduler.unavailable = harness.scheduler.drop_reply = False
    harness.scheduler.arrive()
    harness.cycle()
    assert harness.row(job).state is State.QUEUED
    assert harness.scheduler.calls.count("submit") == 1


def test_a_job_that_could_not_be_handed_over_stays_accepted(harness: DispatcherHarness) -> None:
    harness.scheduler.unavailable = True
    jobs = [harness.accept() for _ in range(3)]
    harness.cycle()
    assert [harness.row(job).state for job in jobs] == [State.ACCEPTED] * 3
    assert harness.scheduler.calls.count("submit") == 1, "the others would only wait, too"
    harness.scheduler.unavailable = False
    harness.cycle()
    assert [harness.row(job).state for job in jobs] == [State.QUEUED] * 3


def test_a_refused_job_fails_in_words(harness: DispatcherHarness) -> None:
    harness.scheduler.refuse = "Invalid partition name specified"
    job = harness.accept()
    harness.cycle()
    message = "could not start: Invalid partition name specified"
    assert (harness.row(job).state, harness.row(job).message) == (State.FAILED, message)
    assert message in harness.status(job).message


def test_a_second_start_that_found_the_lease_taken_leads_to_the_first(
    harness: DispatcherHarness,
) -> None:
    first = harness.running()
    [twin] = harness.scheduler._take(harness.scheduler.jobs[first.native_id])
    harness.store.note(first, native_id=twin)
    harness.scheduler.say(twin, failed(75))
    harness.cycle()
    assert harness.row(first).native_id == first.native_id
    harness.succeed_in_queue(first)
    harness.cycle()
    assert harness.row(first).state is State.SUCCEEDED


def test_a_job_that_only_refused_starts_of_itself_fails_in_words(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.scheduler._take(harness.scheduler.jobs[job.native_id])
    for number in harness.scheduler.jobs:
        harness.scheduler.say(number, failed(75))
    for _ in range(3):
        harness.cycle()
    assert "a second time" in harness.row(job).message


# Controller


def test_a_job_dismissed_while_accepted_is_never_submitted(harness: DispatcherHarness) -> None:
    job = harness.accept()
    harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED
    assert harness.status(job).message.endswith("dismissed")
    assert "submit" not in harness.scheduler.calls


def test_a_dismissal_between_reading_and_submitting_counts(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.accept()
    take = Submission._take

    def dismiss_meanwhile(self: Any, jobs: Sequence[Job]) -> list[Job]:
        harness.store.request(jobs[0].id, ControlRequest.DISMISS)
        return take(self, jobs)

    monkeypatch.setattr(Submission, "_take", dismiss_meanwhile)
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED
    assert "submit" not in harness.scheduler.calls


def test_a_job_to_be_paused_is_not_submitted_in_between(harness: DispatcherHarness) -> None:
    job = harness.accept()
    harness.store.request(job.id, ControlRequest.PAUSE)
    harness.dispatcher._submitter.run()  # the request came after this turn had read the requests
    assert harness.row(job).state is State.ACCEPTED


def test_a_dismissed_job_is_cancelled_and_ends_when_the_batch_system_says_so(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    assert harness.scheduler.cancelled == [job.native_id]
    assert harness.row(job).state is State.RUNNING
    assert harness.status(job).state == "started", "the launcher may still be writing"
    harness.fail(job, "stopped by the batch system (SIGTERM)", "stopped")
    harness.scheduler.say(job.native_id, CANCELLED)
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED
    assert harness.status(job).message.endswith("dismissed")


def test_a_dismissed_job_that_may_be_in_the_queue_is_looked_for_first(
    harness: DispatcherHarness,
) -> None:
    harness.scheduler.drop_reply = True
    job = harness.accept()
    harness.cycle()
    harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    harness.cycle()
    assert harness.scheduler.cancelled == ["1"]
    harness.scheduler.say("1", CANCELLED)
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED


def test_a_dismissal_is_repeated_while_the_job_is_still_there(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.store.request(job.id, ControlRequest.DISMISS)
    for _ in range(5):
        harness.cycle(later=1)
    assert harness.scheduler.cancelled == [job.native_id]
    harness.cycle(later=60)
    assert harness.scheduler.cancelled == [job.native_id] * 2


def test_a_dismissal_that_is_refused_is_repeated_after_pauses_that_grow(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    harness.timing = dataclasses.replace(
        TIMING, refused_dismissal=2.0, longest_refused_dismissal=8.0
    )
    harness.restart()
    jobs = [harness.running(), harness.running()]
    refusal, tried = ["Access denied"], []

    def refuse(ids: Sequence[str]) -> None:
        if refusal:
            if list(ids) == [jobs[0].native_id]:
                tried.append(harness.now)
            raise NotPermitted(refusal[0])
        harness.scheduler.cancelled += ids

    monkeypatch.setattr(harness.scheduler, "cancel", refuse)
    for job in jobs:
        assert harness.store.request(job.id, ControlRequest.DISMISS)
    for _ in range(24):
        harness.cycle(later=1)
    assert [after - before for before, after in itertools.pairwise(tried)] == [2, 4, 8, 8]
    assert caplog.text.count("cannot dismiss: Access denied") == len(jobs)
    assert harness.row(jobs[0]).message == "cannot dismiss: Access denied"
    refusal[:] = ["Invalid user"]  # another reason is told
    harness.cycle(later=8)
    assert caplog.text.count("cannot dismiss: Invalid user") == len(jobs)
    refusal.clear()
    harness.cycle(later=8)
    assert sorted(harness.scheduler.cancelled) == sorted(job.native_id for job in jobs)


@pytest.mark.parametrize("left", ["success", "failure", "nothing"])
@pytest.mark.parametrize("how", [DONE, failed(1), TIMEOUT, None])
def test_a_recorded_dismissal_comes_before_every_end(
    harness: DispatcherHarness, left: str, how: JobStatus | None
) -> None:
    job = harness.running()
    (harness.folder(job).outputs).mkdir(parents=True)
    (harness.folder(job).outputs / "map.png").touch()
    if left == "success":
        harness.succeed(job)
    elif left == "failure":
        harness.fail(job, "no outlet", "process")
    if how is None:
        harness.scheduler.forget(job.native_id)
    else:
        harness.scheduler.say(job.native_id, how)
    assert harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    harness.cycle(later=GRACE)
    assert (harness.row(job).state, harness.row(job).message) == (State.DISMISSED, "dismissed")
    assert harness.status(job) == status_xml.Status("failed", 100, "dismissed")
    assert harness.report(job).state == "failed"
    assert not harness.folder(job).storage.exists()
    assert not harness.store.request(job.id, ControlRequest.DISMISS), "it is over"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_dismissal_recorded_while_an_end_is_written_wins(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    job = harness.running()
    if state is State.SUCCEEDED:
        harness.succeed_in_queue(job)
    else:
        harness.fail(job, "no outlet", "process")
        harness.scheduler.say(job.native_id, failed(1))
    complete = finish.complete_report

    def complete_meanwhile(*arguments: Any) -> None:
        complete(*arguments)
        assert harness.store.request(job.id, ControlRequest.DISMISS)

    monkeypatch.setattr(finish, "complete_report", complete_meanwhile)
    harness.cycle()
    assert harness.row(job).state is State.RUNNING
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED
    assert harness.status(job).message == "dismissed"


def test_a_dismissed_job_that_vanishes_counts_as_gone_after_the_grace(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    harness.scheduler.forget(job.native_id)
    harness.cycle()
    assert harness.row(job).state is State.RUNNING, "one answer without it proves nothing"
    harness.cycle(later=GRACE)
    assert harness.row(job).state is State.DISMISSED


def test_a_dismissed_job_that_the_batch_system_has_twice_is_cancelled_under_both_ids(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    [twin] = harness.scheduler._take(harness.scheduler.jobs[job.native_id])
    harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    harness.scheduler.say(job.native_id, CANCELLED)
    harness.cycle()
    harness.cycle()
    assert harness.scheduler.cancelled == [job.native_id, twin]
    harness.scheduler.say(twin, CANCELLED)
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED


def test_pause_and_resume_reach_the_batch_system(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.store.request(job.id, ControlRequest.PAUSE)
    harness.cycle()
    harness.cycle()
    assert (harness.row(job).state, harness.row(job).control) == (State.PAUSED, ControlRequest.NONE)
    harness.store.request(job.id, ControlRequest.RESUME)
    harness.cycle()
    harness.cycle()
    assert (harness.row(job).state, harness.row(job).control) == (
        State.RUNNING,
        ControlRequest.NONE,
    )


def test_a_pause_that_the_batch_system_lost_is_ordered_again(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = harness.running()
    with monkeypatch.context() as lossy:
        lossy.setattr(harness.scheduler, "pause", lambda ids: None)
        harness.store.request(job.id, ControlRequest.PAUSE)
        harness.cycle()
        harness.cycle()
    assert (harness.row(job).state, harness.row(job).control) == (
        State.RUNNING,
        ControlRequest.PAUSE,
    )
    harness.cycle(later=TIMING.repeat_control)
    harness.cycle()
    assert (harness.row(job).state, harness.row(job).control) == (State.PAUSED, ControlRequest.NONE)


def test_a_pause_that_is_not_permitted_is_told_and_forgotten(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.scheduler.not_permitted = "an operator of the cluster may do this"
    harness.store.request(job.id, ControlRequest.PAUSE)
    harness.cycle()
    harness.cycle()
    row = harness.row(job)
    assert (row.state, row.control) == (State.RUNNING, ControlRequest.NONE)
    assert row.message == "cannot pause: an operator of the cluster may do this"


def test_a_job_paused_while_accepted_waits_for_its_resumption(harness: DispatcherHarness) -> None:
    job = harness.accept()
    harness.store.request(job.id, ControlRequest.PAUSE)
    harness.cycle()
    assert harness.row(job).state is State.PAUSED
    harness.cycle()
    assert "submit" not in harness.scheduler.calls
    harness.store.request(job.id, ControlRequest.RESUME)
    harness.cycle()
    harness.cycle()
    assert harness.row(job).state is State.QUEUED


def test_requests_that_need_nobody_are_carried_out_while_nobody_can_be_asked(
    harness: DispatcherHarness,
) -> None:
    running, accepted = harness.running(), harness.accept()
    harness.scheduler.unavailable = True
    for job in (running, accepted):
        harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle()
    assert harness.row(accepted).state is State.DISMISSED
    assert (harness.row(running).state, harness.row(running).control) == (
        State.RUNNING,
        ControlRequest.DISMISS,
    )


# One job's trouble is not the others'


def test_a_job_that_cannot_be_attended_to_does_not_stop_the_others(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd, good, accepted = harness.running(), harness.running(), harness.accept()
    look = folders.look

    def fail_once(folder: Any) -> Evidence:
        if folder.job_id == odd.id:
            raise RuntimeError("a mistake")
        return look(folder)

    monkeypatch.setattr(folders, "look", fail_once)
    for job in (odd, good):
        harness.succeed_in_queue(job)
    for _ in range(3):
        harness.cycle()
    assert harness.row(odd).state is State.RUNNING
    assert harness.row(good).state is State.SUCCEEDED
    assert harness.row(accepted).state is State.QUEUED
    assert sum(odd.id in r.getMessage() for r in caplog.records if r.levelname == "ERROR") == 1
    monkeypatch.undo()
    harness.cycle()
    assert harness.row(odd).state is State.SUCCEEDED


def test_settings_that_fit_in_no_script_are_refused_at_start(harness: DispatcherHarness) -> None:
    container = Container(runtime="none", environment={"WORDS": "two\nlines"})
    defaults = dataclasses.replace(harness.settings.defaults, container=container)
    harness.settings = dataclasses.replace(harness.settings, defaults=defaults)
    with pytest.raises(SettingsError, match="control characters"):
        harness.restart()


# One dispatcher


def test_a_second_dispatcher_does_nothing(harness: DispatcherHarness) -> None:
    harness.cycle()
    job = harness.accept()
    second = dispatcher_module.Dispatcher(
        harness.settings, harness.store, harness.spool, harness.scheduler, holder="another"
    )
    with pytest.raises(LeadershipLost):
        second.cycle()
    assert harness.row(job).state is State.ACCEPTED


def test_a_standby_takes_over_from_a_dispatcher_that_was_killed(harness: DispatcherHarness) -> None:
    leader = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert harness.store.lead(lead.name_of(leader.pid), 120.0)
        standby = Leadership(harness.store, 120.0)
        assert not standby.take()
        leader.kill()  # whoever started it may not have noticed yet: it is a zombie
        _until(standby.take)
    finally:
        leader.kill()
        leader.communicate()


def test_a_heartbeat_takes_nothing_from_a_leader_that_is_silent(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_up = Leadership(harness.store, 60.0, "held up")
    assert held_up.take()
    harness.store.resign("held up")
    assert harness.store.lead("another", 60)
    soon = time.time() + 1000  # the other one, too, stands still for longer than its lease
    monkeypatch.setattr(leadership, "clock", lambda _: soon)
    with pytest.raises(LeadershipLost):
        held_up.heartbeat_now()
    assert harness.store.leader() == "another"
    assert held_up.take()  # between two cycles it may


def test_who_leads_and_fails_notices_that_another_one_took_over(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if not one of its cycles came to its end."""
    monkeypatch.setattr(harness, "settings", dataclasses.replace(harness.settings, poll_interval=0))
    timing = dataclasses.replace(TIMING, heartbeat=0.02)
    monkeypatch.setattr(harness, "timing", timing)
    runner, stop, failures = harness.restart(), threading.Event(), []

    def fail(**_: object) -> int:
        failures.append(1)
        raise OSError("no luck")

    monkeypatch.setattr(runner, "cycle", fail)
    caplog.set_level("INFO", "pywps_hpc.dispatch.dispatcher")
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        _until(lambda: len(failures) > 3)
        assert caplog.text.count(": leads") == 1
        _replace(harness)
        _until(lambda: "another one took over" in caplog.text)
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert caplog.text.count(": leads") == 1
    assert harness.store.leader() == "another"


def test_a_process_that_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = lead.name_of(process.pid)
        assert not lead.is_dead(name)
        process.kill()
    assert lead.is_dead(name)


def test_a_dispatcher_elsewhere_is_believed_to_live(harness: DispatcherHarness) -> None:
    host, _, _, started, token = lead.name_of(os.getpid()).split(":")
    assert not lead.is_dead(f"{host}:elsewhere:999999:{started}:{token}")
    assert not lead.is_dead("some words")


def test_a_process_id_given_to_somebody_else_is_no_sign_of_life() -> None:
    host, place, pid, _, token = lead.name_of(os.getpid()).split(":")
    assert lead.is_dead(f"{host}:{place}:{pid}:1.00:{token}")


def test_a_job_that_another_dispatcher_ended_is_left_alone(harness: DispatcherHarness) -> None:
    stale = harness.running()
    harness.store.move(stale, State.SUCCEEDED)
    context = harness.dispatcher._follower._context
    assert not finish.end(context, stale, State.FAILED, "lost", rewrite=True)
    assert harness.status(stale).state == "started"
    assert harness.row(stale).state is State.SUCCEEDED


def _replace(harness: DispatcherHarness) -> None:
    """Another dispatcher takes over, unnoticed."""
    harness.store.resign(harness.holder)
    assert harness.store.lead("another", 60)


def test_a_dispatcher_replaced_before_the_row_is_set_submits_nothing(
    harness: DispatcherHarness,
) -> None:
    harness.cycle()
    job = harness.accept()
    _replace(harness)
    with pytest.raises(LeadershipLost):
        harness.cycle()
    assert "submit" not in harness.scheduler.calls
    assert harness.row(job).state is State.ACCEPTED


def test_a_dispatcher_replaced_after_the_row_was_set_submits_nothing(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.cycle()
    job = harness.accept()
    batch_job = Scripts.batch_job

    def slowly(self: Scripts, jobs: Sequence[Job]) -> BatchJob:
        _replace(harness)
        harness.dispatcher._leadership._last = float("-inf")  # a heartbeat is due
        return batch_job(self, jobs)

    monkeypatch.setattr(Scripts, "batch_job", slowly)
    with pytest.raises(LeadershipLost):
        harness.cycle()
    assert "submit" not in harness.scheduler.calls
    assert harness.row(job).state is State.SUBMITTING  # the other one looks it up


def test_a_dispatcher_replaced_before_an_end_leaves_document_and_row(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    _replace(harness)
    harness.dispatcher._leadership._last = float("-inf")
    context = harness.dispatcher._follower._context
    with pytest.raises(LeadershipLost):
        finish.end(context, job, State.FAILED, "lost", rewrite=True)
    assert harness.status(job).state == "started"
    assert harness.row(job) == job


def test_a_clock_that_is_set_lets_no_grace_pass(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = harness.running()
    del harness.scheduler.queue[job.native_id]
    harness.cycle()
    assert harness.row(job).missing_since
    harness.dispatcher._watch_clock()
    assert harness.row(job).missing_since  # it goes as it should
    monkeypatch.setattr(dispatcher_module, "_offset", lambda: time.time() + 3600)
    harness.now += 3600
    harness.dispatcher._watch_clock()
    harness.cycle()
    row = harness.row(job)
    assert row.state is State.RUNNING
    assert row.missing_since == harness.now
    assert "the clock was set by" in caplog.text


def test_a_report_that_a_killed_launcher_left_open_is_completed(harness: DispatcherHarness) -> None:
    job = harness.running()
    harness.succeed(job)
    facts = harness.report(job)
    facts.state, facts.finished, facts.outputs = "started", 0.0, [{"identifier": "result"}]
    facts.write(harness.folder(job))
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle()
    assert harness.row(job).state is State.SUCCEEDED
    completed = harness.report(job)
    assert (completed.state, completed.finished) == ("succeeded", pytest.approx(harness.now))
    assert completed.outputs == [{"identifier": "result"}]


def test_the_loop_notices_new_jobs_at_once_and_resigns_at_the_end(
    harness: DispatcherHarness,
) -> None:
    rarely = 10 * PATIENCE
    harness.settings = dataclasses.replace(
        harness.settings, poll_interval=rarely, poll_backoff=rarely
    )
    runner, stop = harness.restart(), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        _until(lambda: runner.leads)
        time.sleep(0.3)  # now it pauses
        job = harness.accept()
        _until(lambda: harness.row(job).state is State.QUEUED)  # long before its next turn
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert harness.store.dispatcher() is None


def test_the_loop_outlives_a_turn_that_fails(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.settings = dataclasses.replace(harness.settings, poll_interval=0.05)
    runner, stop, job = harness.restart(), threading.Event(), harness.accept()
    requested, faults = JobStore.requested, []

    def fail_first(self: JobStore) -> list[Job]:
        if len(faults) < 2:
            faults.append(1)
            raise RuntimeError("the database is away")
        return requested(self)

    monkeypatch.setattr(JobStore, "requested", fail_first)
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        _until(lambda: harness.row(job).state is State.QUEUED)
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert len(faults) == 2


def test_questions_stay_quick_while_an_end_is_to_be_judged(harness: DispatcherHarness) -> None:
    harness.scheduler.system = "slurm"
    dispatcher = harness.restart()
    job = harness.running()
    harness.scheduler.say(job.native_id, DONE)
    for _ in range(3):
        dispatcher._plan(harness.cycle(later=1), polled=True)
    assert dispatcher._pace.due_in() <= harness.settings.poll_interval


def _until(condition: Any) -> None:
    wait_for(condition, "what was to happen", PATIENCE)


# Folders without a row


def test_a_folder_that_was_never_recorded_goes_after_an_hour(harness: DispatcherHarness) -> None:
    ran = harness.queued()
    left, kept, recent = harness.accept(), harness.accept(), harness.accept()
    harness.restart()
    with harness.store.engine.begin() as connection:
        for job in (left, recent, ran):
            connection.exec_driver_sql("DELETE FROM hpc_jobs WHERE id = ?", (job.id,))
    harness.scheduler.unavailable = True
    for job in (left, kept, ran):
        os.utime(harness.folder(job).path, (harness.now - 4000, harness.now - 4000))
    harness.cycle()
    there = {job.id: harness.folder(job).path.exists() for job in (left, kept, recent, ran)}
    assert there == {left.id: False, kept.id: True, recent.id: True, ran.id: True}


# kill -9 at any point


def _play(
    harness: DispatcherHarness, hooks: Hooks, monkeypatch: pytest.MonkeyPatch, end: str
) -> Job:
    """One job's life, with a dispatcher that may be killed once, and then started anew."""
    write_failure = Fragile(finish, hooks).write_failure
    monkeypatch.setattr(finish, "write_failure", write_failure)
    monkeypatch.setattr(clean.Background, "start", lambda aside: aside._what())
    job = harness.accept()
    scheduler = Fragile(harness.scheduler, hooks, sturdy=("header",))
    with contextlib.suppress(Killed):
        harness.restart(store=Fragile(harness.store, hooks), scheduler=scheduler)
    ended = False
    for _ in range(15):
        try:
            harness.cycle(later=GRACE)
        except Killed:
            harness.restart()
        row = harness.row(job)
        if row.state in TERMINAL:
            break
        if row.state is State.QUEUED and harness.scheduler.queue["1"] == QUEUED:
            harness.begin(job)
            harness.scheduler.say("1", RUNNING)
        elif harness.scheduler.cancelled:
            harness.scheduler.say("1", CANCELLED)
        elif row.state is State.RUNNING and not ended:
            ended = True
            if end == "success":
                harness.succeed_in_queue(job)
            elif end == "time limit":
                harness.scheduler.say("1", TIMEOUT)
            else:
                harness.store.request(job.id, ControlRequest.DISMISS)
    monkeypatch.undo()
    return job


@pytest.mark.timeout(1200)  # it computes all the while, and others beside it
@pytest.mark.parametrize(
    ("end", "state", "document"),
    [
        ("success", State.SUCCEEDED, "succeeded"),
        ("time limit", State.FAILED, "failed"),
        ("dismissal", State.DISMISSED, "failed"),
    ],
)
def test_a_dispatcher_killed_at_any_point_finishes_every_job_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, state: State, document: str
) -> None:
    points, spared = 0, False
    while not spared:
        points += 1
        root = tmp_path / str(points)
        root.mkdir()
        harness, hooks = DispatcherHarness(root), Hooks()
        with hooks.armed(points, hooks.kill):
            job = _play(harness, hooks, monkeypatch, end)
        spared = hooks.passed < points
        harness.restart()
        harness.cycle()
        assert harness.row(job).state is state, points
        assert harness.status(job).state == document, points
        assert len(harness.scheduler.jobs) == 1, points
        assert not harness.folder(job).work.exists(), points
        harness.store.engine.dispose()
    assert points > 50  # it was really killed at each


def test_resumption_reaches_a_running_job_that_others_sent_a_stop_signal(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    stopped = JobStatus(Phase.SUSPENDED, detail="STOPPED", by_signal=True)
    harness.scheduler.say(job.native_id, stopped)
    harness.cycle()
    row = harness.row(job)
    assert (row.state, row.message) == (State.RUNNING, messages.SIGNAL_SENT)
    harness.store.request(job.id, ControlRequest.RESUME)
    harness.cycle(later=1)
    assert harness.scheduler.calls.count("resume") == 1
    assert harness.scheduler.queue[job.native_id].phase is Phase.RUNNING
    harness.cycle(later=1)
    harness.cycle(later=1)
    row = harness.row(job)
    assert (row.state, row.message, row.control) == (State.RUNNING, "", ControlRequest.NONE)


# Why a job failed, as data


def over(outcome: Outcome, **facts: Any) -> JobStatus:
    return JobStatus(Phase.FINISHED, outcome, **facts)


@pytest.mark.parametrize(
    ("told", "status", "cause"),
    [
        ("process", DONE, Cause.PROCESS),
        ("input", DONE, Cause.INPUT),
        ("crashed", failed(1), Cause.PROCESS),
        ("launcher", failed(REFUSED), Cause.SYSTEM),
        ("memory", failed(1), Cause.MEMORY),
        ("killed", over(Outcome.MEMORY_LIMIT), Cause.MEMORY),
        ("stopped", over(Outcome.TIME_LIMIT), Cause.TIME),
        ("killed", over(Outcome.NODE_FAILURE), Cause.NODE),
        ("killed", over(Outcome.CANCELLED), Cause.SYSTEM),
    ],
)
def test_the_row_of_a_failed_job_keeps_the_cause(
    harness: DispatcherHarness, told: str, status: JobStatus, cause: Cause
) -> None:
    job = harness.running()
    harness.fail(job, "killed: time limit reached", told)  # whatever the message says
    harness.scheduler.say(job.native_id, status)
    harness.cycle()
    row = harness.row(job)
    assert (row.state, row.cause) == (State.FAILED, cause)


def test_a_job_that_did_not_fail_has_no_cause(harness: DispatcherHarness) -> None:
    done, gone = harness.running(), harness.running()
    harness.succeed_in_queue(done)
    assert harness.store.request(gone.id, ControlRequest.DISMISS)
    harness.cycle()
    harness.scheduler.say(gone.native_id, over(Outcome.CANCELLED))
    harness.cycle()
    assert [harness.row(job).cause for job in (done, gone)] == [Cause.UNKNOWN] * 2
    assert harness.row(gone).state is State.DISMISSED


def test_a_refused_submission_is_the_system_s_fault(harness: DispatcherHarness) -> None:
    harness.scheduler.refuse = "no such queue"
    job = harness.accept()
    harness.cycle()
    assert (harness.row(job).state, harness.row(job).cause) == (State.FAILED, Cause.SYSTEM)
