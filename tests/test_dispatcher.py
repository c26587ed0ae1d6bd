"""The dispatcher's loop against a batch system in memory: every fault between them, and kill -9."""

from __future__ import annotations

import contextlib
import dataclasses
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

from bench import GRACE, Bench
from fake_scheduler import DONE, QUEUED, RUNNING
from hooks import Fragile, Hooks, Killed
from joblauncher.shared import status_xml
from pywps_hpc.dispatch import clean, evidence
from pywps_hpc.dispatch import dispatcher as dispatcher_module
from pywps_hpc.dispatch import leader as lead
from pywps_hpc.dispatch.control import REPEAT
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.reconcile import CONFIRM, LINGER
from pywps_hpc.dispatch.leader import Deposed, Lead
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import TERMINAL, Job, JobStore, State, Wish
from pywps_hpc.settings import Container, SettingsError
from servers import wait_for

TIMEOUT = JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT, detail="TIMEOUT")
CANCELLED = JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail="CANCELLED by 0")
#: Seconds for what another thread or process does at once if it does it at all.
PATIENCE = 120.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def failed(code: int) -> JobStatus:
    return JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=code)


# The way of a job


def test_an_accepted_job_is_submitted_followed_and_ended(bench: Bench) -> None:
    job = bench.accept()
    bench.cycle()
    assert bench.row(job).state is State.QUEUED
    assert bench.row(job).native_id == "1"
    bench.scheduler.say("1", RUNNING)
    bench.begin(job)
    bench.cycle()
    assert bench.row(job).state is State.RUNNING
    assert bench.row(job).started > 0
    bench.succeed_in_queue(job)
    bench.cycle()
    row = bench.row(job)
    assert row.state is State.SUCCEEDED
    assert row.finished == pytest.approx(bench.now)
    assert bench.status(job).state == "succeeded"
    assert not bench.folder(job).work.exists()
    assert not bench.folder(job).temporary.exists()
    assert bench.folder(job).storage.exists()


def test_the_batch_system_gets_the_job_under_its_name_with_script_and_log(bench: Bench) -> None:
    job = bench.queued()
    batch = bench.scheduler.jobs[job.native_id]
    assert (batch.name, batch.comment) == (job.name, job.id)
    assert batch.log == str(bench.folder(job).log)
    assert bench.folder(job).script.read_text() == batch.script
    assert job.digest in batch.script


def test_the_row_says_submitting_before_the_batch_system_is_asked(bench: Bench) -> None:
    job = bench.accept()
    states = []
    bench.scheduler.on_submit = lambda _: states.append(bench.row(job).state)
    bench.cycle()
    assert states == [State.SUBMITTING]


def test_all_jobs_are_asked_about_in_one_question(bench: Bench) -> None:
    for _ in range(5):
        bench.accept()
    bench.cycle()
    bench.scheduler.calls.clear()
    bench.cycle()
    assert bench.scheduler.calls == ["poll"]


@pytest.mark.parametrize("left", ["nothing", "success"])
def test_a_job_whose_id_the_batch_system_gave_to_another_one_is_lost(
    bench: Bench, left: str
) -> None:
    old = bench.running()
    bench.scheduler.queue.clear()  # it has lost its memory
    new = bench.accept(created=bench.now + 1)
    bench.now += 1
    bench.cycle()
    bench.store.note(bench.row(new), native_id=old.native_id)
    if left == "success":
        bench.succeed(old)
    bench.scheduler.say(old.native_id, DONE)
    bench.succeed(new)
    bench.cycle()
    assert bench.row(new).state is State.SUCCEEDED
    row = bench.row(old)
    if left == "success":
        assert row.state is State.SUCCEEDED
    else:
        assert (row.state, row.message) == (State.FAILED, messages.LOST)
        assert bench.status(old).message == messages.LOST


def test_documents_of_jobs_that_did_not_change_are_not_opened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [bench.running() for _ in range(3)]
    opened = []
    look = evidence.look
    monkeypatch.setattr(evidence, "look", lambda f: opened.append(f.job_id) or look(f))
    bench.cycle()
    assert opened == []
    bench.scheduler.say(jobs[1].native_id, JobStatus(Phase.RUNNING, detail="COMPLETING"))
    bench.cycle()
    assert opened == [jobs[1].id]


def running_until(bench: Bench, end: str) -> Job:
    """A job whose process told this end, and that the batch system has running still."""
    job = bench.running()
    if end == "success":
        bench.succeed(job)
    else:
        bench.fail(job, "no outlet", "process")
    return job


@pytest.mark.parametrize("end", ["success", "failure"])
def test_a_document_of_an_end_ends_no_job_that_the_batch_system_has_alive(
    bench: Bench, end: str
) -> None:
    job = running_until(bench, end)
    bench.scheduler.say(job.native_id, JobStatus(Phase.RUNNING, detail="COMPLETING"))
    for _ in range(3):
        bench.cycle(later=GRACE)
        assert bench.row(job).state is State.RUNNING
    bench.scheduler.say(job.native_id, DONE if end == "success" else failed(1))
    bench.cycle()
    assert bench.row(job).state.value == bench.status(job).state


@pytest.mark.parametrize("how", [failed(137), TIMEOUT, CANCELLED])
def test_a_forged_success_of_a_job_that_the_batch_system_saw_fail_is_overruled(
    bench: Bench, how: JobStatus
) -> None:
    job = bench.running()
    bench.succeed(job)
    bench.scheduler.say(job.native_id, how)
    bench.cycle()
    bench.cycle(later=10)
    assert bench.row(job).state is State.FAILED
    assert bench.row(job).message.startswith(("killed", "cancelled"))
    assert bench.status(job).message == bench.row(job).message
    assert bench.report(job).state == "failed"


def test_a_job_that_told_its_end_and_works_on_is_ended(bench: Bench) -> None:
    job = bench.running()
    bench.succeed(job)
    assert bench.store.saw_end(job.id)
    assert not bench.store.saw_end(job.id)
    bench.now = float(bench.row(job).end_seen)
    bench.cycle(later=LINGER - 1)
    assert bench.scheduler.cancelled == []
    bench.cycle(later=1)
    assert bench.scheduler.cancelled == [job.native_id]
    bench.scheduler.say(job.native_id, CANCELLED)
    bench.restart()
    bench.cycle()
    bench.cycle(later=10)
    assert (bench.row(job).state, bench.row(job).message) == (State.FAILED, messages.LINGERED)
    assert bench.status(job).message == messages.LINGERED


def test_a_success_that_the_batch_system_confirms_late_outlives_the_order_to_end_its_job(
    bench: Bench,
) -> None:
    """The daemon of its node was away for longer than a job may work on."""
    job = bench.running()
    bench.succeed(job)
    bench.store.saw_end(job.id)
    bench.now = float(bench.row(job).end_seen)
    for _ in range(3):
        bench.cycle(later=LINGER)
    assert bench.row(job).message == messages.LINGERED
    assert bench.scheduler.cancelled == [job.native_id] * 3
    bench.scheduler.say(job.native_id, DONE)
    bench.cycle()
    assert (bench.row(job).state, bench.row(job).message) == (State.SUCCEEDED, "")
    assert bench.status(job).state == "succeeded"


@pytest.mark.parametrize("restarted", [False, True])
def test_time_in_which_no_end_could_be_heard_of_is_no_work_after_it(
    bench: Bench, restarted: bool
) -> None:
    """A batch system that comes back may take some seconds to hear who ended meanwhile."""
    job = bench.running()
    bench.succeed(job)
    bench.store.saw_end(job.id)
    bench.now = float(bench.row(job).end_seen)
    if not restarted:
        bench.scheduler.unavailable = True
        bench.cycle(later=10 * LINGER)
        bench.scheduler.unavailable = False
    else:
        bench.restart()
        bench.now += 10 * LINGER
    for _ in range(2):
        bench.cycle(later=LINGER / 2 - 1)
        assert bench.scheduler.cancelled == []
    bench.scheduler.say(job.native_id, DONE)
    bench.cycle(later=1)
    assert bench.row(job).state is State.SUCCEEDED


def test_a_start_after_the_one_that_told_its_end_is_not_ended_by_that(bench: Bench) -> None:
    job = bench.running()
    bench.succeed(job)
    bench.store.saw_end(job.id)
    bench.begin(job)
    bench.cycle(later=10 * LINGER)
    assert bench.scheduler.cancelled == []
    assert bench.row(job).end_seen == 0


def test_a_success_whose_start_the_batch_system_repeats_counts_and_the_rest_is_cleared_away(
    bench: Bench,
) -> None:
    job = bench.running()
    bench.succeed(job)
    bench.scheduler.say(job.native_id, dataclasses.replace(QUEUED, restarts=1))
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED
    assert bench.scheduler.cancelled == [job.native_id]


def test_held_and_suspended_jobs_are_shown_as_paused_and_go_on(bench: Bench) -> None:
    job = bench.queued()
    for phase, state in [
        (Phase.HELD, State.PAUSED),
        (Phase.QUEUED, State.QUEUED),
        (Phase.RUNNING, State.RUNNING),
        (Phase.SUSPENDED, State.PAUSED),
        (Phase.RUNNING, State.RUNNING),
    ]:
        bench.scheduler.say(job.native_id, JobStatus(phase))
        bench.cycle()
        assert bench.row(job).state is state


def test_a_job_that_can_never_start_is_explained_until_it_can(bench: Bench) -> None:
    job = bench.queued()
    bench.scheduler.say(
        job.native_id, JobStatus(Phase.QUEUED, detail="PENDING (PartitionTimeLimit)", hopeless=True)
    )
    bench.cycle()
    assert "PartitionTimeLimit" in bench.row(job).message
    bench.scheduler.say(job.native_id, QUEUED)
    bench.cycle()
    assert bench.row(job).message == ""


# Ways to die


def test_a_killed_job_s_document_is_replaced_by_the_reason(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.say(job.native_id, TIMEOUT)
    bench.cycle()
    bench.cycle(later=6)
    words = "killed: time limit 00:10:00 reached"
    assert (bench.row(job).state, bench.row(job).message) == (State.FAILED, words)
    assert bench.status(job).state == "failed"
    assert words in bench.status(job).message
    facts = bench.report(job)
    assert (facts.state, facts.message, facts.cause) == ("failed", words, "dispatcher")
    assert facts.finished > 0


def test_a_document_that_shows_late_wins_over_the_batch_system(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.say(job.native_id, failed(1))
    bench.cycle()
    assert bench.row(job).state is State.RUNNING
    bench.fail(job, "The catchment has no outlet.", "process")
    bench.cycle(later=1)
    assert bench.row(job).state is State.FAILED
    assert bench.row(job).message == "The catchment has no outlet."
    assert bench.status(job).message == "The catchment has no outlet."


def test_exit_code_0_without_a_result_is_a_failure_after_the_grace(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.say(job.native_id, DONE)
    bench.cycle()
    bench.cycle(later=GRACE - 1)
    assert bench.row(job).state is State.RUNNING
    bench.cycle(later=2)
    assert bench.row(job).state is State.FAILED
    assert "without leaving a result" in bench.status(job).message


def test_what_the_launcher_only_knows_as_a_stop_is_refined(bench: Bench) -> None:
    job = bench.running()
    bench.fail(job, "stopped by the batch system (SIGTERM)", "stopped")
    bench.cycle()
    assert bench.row(job).state is State.RUNNING, "the batch system has not said why"
    bench.scheduler.say(job.native_id, CANCELLED)
    bench.cycle()
    words = "cancelled by an administrator of the cluster (CANCELLED by 0)"
    assert bench.row(job).message == words
    assert bench.status(job).message.endswith(words)


def test_the_batch_system_s_words_in_the_log_tell_of_a_memory_limit(bench: Bench) -> None:
    job = bench.running()
    bench.folder(job).log.write_text("slurmstepd: error: Exceeded job memory limit\n")
    bench.scheduler.say(job.native_id, JobStatus(Phase.FINISHED, Outcome.SIGNALLED, signal=9))
    bench.cycle()
    bench.cycle(later=6)
    assert bench.row(job).message == "killed: used more than the 2 GB asked for"


def test_a_job_that_could_not_start_is_cleared_from_the_queue(bench: Bench) -> None:
    job = bench.queued()
    status = JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail="Eqw")
    bench.scheduler.say(job.native_id, status)
    bench.cycle()
    bench.cycle(later=6)
    assert bench.row(job).message == "could not start (Eqw)"
    assert bench.scheduler.cancelled == [job.native_id]


def test_a_job_suspended_after_its_last_word_ends_when_it_goes_on(bench: Bench) -> None:
    job = bench.running()
    bench.succeed(job)
    bench.store.saw_end(job.id)
    bench.scheduler.say(job.native_id, JobStatus(Phase.SUSPENDED))
    bench.cycle(later=10 * LINGER)
    assert bench.row(job).state is State.PAUSED
    assert bench.scheduler.cancelled == []
    bench.scheduler.say(job.native_id, DONE)
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED


def test_a_job_with_a_result_that_is_not_listed_is_cleared_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.running()
    bench.succeed(job)
    monkeypatch.setattr(bench.scheduler, "poll", lambda ids: {})
    bench.cycle()
    assert bench.row(job).state is State.RUNNING, "accounting may come to know it"
    bench.cycle(later=CONFIRM)
    assert bench.row(job).state is State.SUCCEEDED
    assert bench.scheduler.cancelled == [job.native_id]


def test_a_job_that_cannot_be_cleared_away_now_ends_when_it_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.running()
    bench.succeed(job)
    bench.scheduler.say(job.native_id, dataclasses.replace(QUEUED, restarts=1))

    def unavailable(_ids: Sequence[str]) -> None:
        raise SchedulerUnavailable("cannot connect to server")

    with monkeypatch.context() as away:
        away.setattr(bench.scheduler, "cancel", unavailable)
        bench.cycle()
    assert bench.row(job).state is State.RUNNING
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED
    assert bench.scheduler.cancelled == [job.native_id]


@pytest.mark.parametrize("told", ["started", "succeeded"])
def test_a_report_is_completed_where_the_launcher_did_not_live_to(bench: Bench, told: str) -> None:
    job = bench.running()
    bench.succeed(job)
    facts = bench.report(job)
    facts.state, facts.finished = told, 0.0
    facts.write(bench.folder(job))
    node_failed = JobStatus(Phase.FINISHED, Outcome.NODE_FAILURE)
    bench.scheduler.say(job.native_id, node_failed)
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED
    assert bench.report(job).state == "succeeded"
    assert bench.report(job).is_final()


def test_what_a_killed_writer_left_unfinished_goes_at_the_end(bench: Bench) -> None:
    job = bench.running()
    folder = bench.folder(job)
    for name in (".status.xml.x1", ".outcome.json.x2", ".job.sh.x3", ".hidden"):
        (folder.path / name).touch()
    bench.succeed_in_queue(job)
    bench.cycle()
    left = {path.name for path in folder.path.iterdir() if path.name.startswith(".")}
    assert left == {".hidden"}


def test_a_success_that_appears_at_the_last_moment_is_not_overwritten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.running()
    bench.scheduler.say(job.native_id, DONE)
    bench.cycle()
    look = evidence.look

    def look_then_succeed(folder: Any) -> evidence.Evidence:
        seen = look(folder)
        bench.succeed(job)
        return seen

    monkeypatch.setattr(evidence, "look", look_then_succeed)
    bench.cycle(later=GRACE)
    assert bench.status(job).state == "succeeded"
    monkeypatch.undo()
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED


@pytest.mark.parametrize("name", ["status.xml", "outcome.json", "job.log"])
def test_a_process_cannot_stop_the_dispatcher_by_a_pipe_in_place_of_a_file(
    bench: Bench, name: str
) -> None:
    job = bench.running()
    path = bench.folder(job).path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    bench.scheduler.say(job.native_id, failed(3))
    worker = threading.Thread(target=lambda: [bench.cycle(), bench.cycle(later=6)], daemon=True)
    worker.start()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert bench.row(job).state is State.FAILED


def test_nonsense_in_a_report_does_not_keep_a_job_from_its_end(bench: Bench) -> None:
    job = bench.running()
    bench.folder(job).report.write_text(
        '{"job": "x", "process": "y", "usage": [], "finished": "z"}'
    )
    bench.scheduler.say(job.native_id, failed(3))
    bench.cycle()
    bench.cycle(later=6)
    assert bench.row(job).state is State.FAILED


# "Cannot ask" is not "not there"


def test_a_failed_question_changes_nothing_but_the_message(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.unavailable = True
    for _ in range(3):
        bench.cycle(later=10 * GRACE)
    assert bench.row(job) == job
    assert bench.store.heartbeat()[1] == "cannot connect to server"
    bench.scheduler.unavailable = False
    bench.cycle()
    assert bench.store.heartbeat()[1] == ""


def test_trouble_stands_until_the_batch_system_was_asked_again(bench: Bench) -> None:
    bench.running()
    bench.scheduler.unavailable = True
    bench.cycle()
    bench.dispatcher.cycle(poll=False)
    assert bench.store.heartbeat()[1] == "cannot connect to server"


def test_trouble_is_logged_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.running()
    bench.scheduler.unavailable = True
    for _ in range(5):
        bench.cycle()
    assert sum("cannot connect" in r.getMessage() for r in caplog.records) == 1


def test_absent_job_is_not_failed_before_its_grace_ends(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id)
    bench.cycle()
    bench.cycle(later=GRACE - 1)
    assert bench.row(job).state is State.RUNNING
    bench.cycle(later=2)
    assert bench.row(job).state is State.FAILED
    assert "no longer knows the job" in bench.status(job).message


def test_absence_counts_only_while_it_lasts(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id)
    bench.cycle()
    bench.scheduler.say(job.native_id, RUNNING)
    bench.cycle(later=GRACE + 1)
    bench.scheduler.forget(job.native_id)
    bench.cycle(later=1)
    bench.cycle(later=GRACE - 1)
    assert bench.row(job).state is State.RUNNING


def test_time_in_which_nobody_could_be_asked_is_no_absence(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id)
    bench.scheduler.accounting_unavailable = True
    for _ in range(3):
        bench.cycle(later=10 * GRACE)
    assert bench.row(job).state is State.RUNNING
    assert bench.store.heartbeat()[1] == "accounting does not answer"


def test_time_for_which_a_dispatcher_is_held_up_is_no_absence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id)
    bench.cycle()
    history = bench.scheduler.history

    def slow(ids: Sequence[str]) -> dict[str, JobStatus]:
        bench.now += 10 * GRACE
        return history(ids)

    monkeypatch.setattr(bench.scheduler, "history", slow)
    bench.cycle(later=1)
    assert bench.row(job).state is State.RUNNING


@pytest.mark.parametrize("restarted", [False, True])
def test_time_in_which_nobody_asked_is_no_absence(bench: Bench, restarted: bool) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id)
    bench.cycle()
    if restarted:
        bench.restart()
    bench.cycle(later=10 * GRACE)
    assert bench.row(job).state is State.RUNNING
    bench.cycle(later=GRACE - 1)
    assert bench.row(job).state is State.RUNNING
    bench.cycle(later=2)
    assert bench.row(job).state is State.FAILED


def test_time_in_which_accounting_was_down_is_no_absence(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id)
    bench.scheduler.accounting_unavailable = True
    for _ in range(4):
        bench.cycle(later=GRACE / 2)
    # It answers again, and hears of the job's end a moment later.
    bench.scheduler.accounting_unavailable = False
    bench.cycle(later=1)
    assert bench.row(job).state is State.RUNNING
    bench.scheduler.forget(job.native_id, TIMEOUT)
    bench.cycle(later=1)
    bench.cycle(later=6)
    assert "time limit" in bench.row(job).message


@pytest.mark.parametrize("end", ["success", "failure"])
def test_an_end_is_told_where_the_queue_has_forgotten_the_job_and_accounting_is_down(
    bench: Bench, end: str
) -> None:
    job = running_until(bench, end)
    bench.scheduler.forget(job.native_id)
    bench.scheduler.accounting_unavailable = True
    for _ in range(2):
        bench.cycle(later=1)
        assert bench.row(job).state is State.RUNNING, "accounting may contradict it"
    bench.cycle(later=min(CONFIRM, GRACE))
    assert bench.row(job).state.value == bench.status(job).state
    assert bench.row(job).state in (State.SUCCEEDED, State.FAILED)


def test_time_in_which_the_queue_could_not_be_asked_is_no_absence_from_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.running()
    bench.succeed(job)
    bench.scheduler.forget(job.native_id)
    bench.scheduler.accounting_unavailable = True
    monkeypatch.setattr(bench.scheduler, "unpolled", {job.native_id}, raising=False)
    for _ in range(4):
        bench.cycle(later=GRACE / 2)
    assert bench.row(job).state is State.RUNNING, "it may be alive"
    monkeypatch.setattr(bench.scheduler, "unpolled", ())
    bench.cycle()
    assert bench.row(job).state is State.RUNNING
    bench.cycle(later=min(CONFIRM, GRACE))
    assert bench.row(job).state is State.SUCCEEDED


def test_accounting_tells_of_a_job_that_left_the_queue(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.forget(job.native_id, TIMEOUT)
    bench.cycle()
    bench.cycle(later=6)
    assert "time limit" in bench.row(job).message


@pytest.mark.parametrize("place", ["queue", "accounting"])
def test_another_job_that_had_the_same_id_is_not_taken_for_ours(bench: Bench, place: str) -> None:
    """A batch system that lost its memory counts from the beginning; accounting lags behind."""
    job = bench.running()
    theirs = dataclasses.replace(CANCELLED, name="tsomeothername")
    if place == "queue":
        bench.scheduler.say(job.native_id, theirs)
        bench.scheduler.accounting[job.native_id] = theirs
    else:
        bench.scheduler.forget(job.native_id, theirs)
    bench.cycle()
    bench.cycle(later=GRACE - 1)
    assert bench.row(job).state is State.RUNNING
    bench.scheduler.forget(job.native_id, dataclasses.replace(TIMEOUT, name=job.name))
    bench.cycle(later=0.5)
    bench.cycle(later=6)
    assert "time limit" in bench.row(job).message


def test_a_spool_that_is_not_mounted_ends_no_job(bench: Bench) -> None:
    job, accepted = bench.running(), bench.accept()
    spool = bench.settings.spool
    spool.rename(bench.root / "unmounted")
    spool.mkdir()
    bench.scheduler.say(job.native_id, DONE)
    for _ in range(3):
        bench.cycle(later=10 * GRACE)
    assert bench.row(job).state is State.RUNNING
    assert bench.row(accepted).state is State.ACCEPTED
    spool.rmdir()
    (bench.root / "unmounted").rename(spool)
    bench.succeed(job)
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED
    assert bench.row(accepted).state is State.QUEUED


def test_a_job_whose_folder_was_removed_ends(bench: Bench) -> None:
    job, accepted = bench.running(), bench.accept()
    for gone in (job, accepted):
        shutil.rmtree(bench.folder(gone).path)
    bench.accept()  # the spool itself is there
    bench.scheduler.say(job.native_id, failed(1))
    bench.cycle()
    bench.cycle(later=6)
    assert bench.row(job).state is State.FAILED
    assert bench.row(accepted).message == "the job's folder was removed"


# Submitting once


def test_a_submission_in_doubt_is_looked_up_and_adopted(bench: Bench) -> None:
    bench.scheduler.drop_reply = True
    job = bench.accept()
    bench.cycle()
    assert bench.row(job).state is State.SUBMITTING
    assert bench.store.heartbeat()[1] == "Socket timed out"
    bench.scheduler.drop_reply = False
    bench.cycle()
    assert (bench.row(job).state, bench.row(job).native_id) == (State.QUEUED, "1")
    assert len(bench.scheduler.jobs) == 1


def test_a_submission_that_arrives_late_is_not_repeated(bench: Bench) -> None:
    bench.scheduler.drop_reply = bench.scheduler.late = True
    job = bench.accept()
    bench.cycle()
    for _ in range(4):
        bench.cycle(later=GRACE / 5)
    bench.scheduler.arrive()
    bench.cycle()
    assert bench.row(job).state is State.QUEUED
    assert bench.scheduler.calls.count("submit") == 1


def test_a_submission_that_never_arrived_is_repeated_after_the_grace(bench: Bench) -> None:
    bench.scheduler.drop_reply = bench.scheduler.late = True
    job = bench.accept()
    bench.cycle()
    bench.scheduler.under_way.clear()
    bench.scheduler.drop_reply = False
    bench.cycle(later=1)
    bench.cycle(later=GRACE - 1)
    assert bench.row(job).state is State.SUBMITTING
    bench.cycle(later=2)
    bench.cycle()
    assert bench.row(job).state is State.QUEUED
    assert len(bench.scheduler.jobs) == 1


@pytest.mark.parametrize("then", ["dismissed", "refused"])
def test_a_job_that_ran_after_it_was_taken_for_lost_succeeds_unless_dismissed(
    bench: Bench, then: str
) -> None:
    bench.scheduler.drop_reply = bench.scheduler.late = True
    job = bench.accept()
    bench.cycle()
    bench.cycle(later=1)
    bench.succeed(job)  # and the batch system has forgotten it already
    bench.scheduler.drop_reply = False
    if then == "dismissed":
        bench.store.wish(job.id, Wish.DISMISS)
    else:
        bench.scheduler.refuse = "Invalid partition name specified"
    for _ in range(3):
        bench.cycle(later=GRACE + 1)
    if then == "dismissed":
        assert (bench.row(job).state, bench.row(job).message) == (State.DISMISSED, "dismissed")
        assert bench.status(job).message == "dismissed"
    else:
        assert (bench.row(job).state, bench.row(job).message) == (State.SUCCEEDED, "")
        assert bench.status(job).state == "succeeded"


def test_while_nobody_can_be_asked_a_doubtful_submission_is_not_repeated(bench: Bench) -> None:
    bench.scheduler.drop_reply = bench.scheduler.late = True
    job = bench.accept()
    bench.cycle()
    bench.scheduler.unavailable = True
    for _ in range(3):
        bench.cycle(later=10 * GRACE)
    assert bench.row(job).state is State.SUBMITTING
    bench.scheduler.unavailable = bench.scheduler.drop_reply = False
    bench.scheduler.arrive()
    bench.cycle()
    assert bench.row(job).state is State.QUEUED
    assert bench.scheduler.calls.count("submit") == 1


def test_a_job_that_could_not_be_handed_over_stays_accepted(bench: Bench) -> None:
    bench.scheduler.unavailable = True
    jobs = [bench.accept() for _ in range(3)]
    bench.cycle()
    assert [bench.row(job).state for job in jobs] == [State.ACCEPTED] * 3
    assert bench.scheduler.calls.count("submit") == 1, "the others would only wait, too"
    bench.scheduler.unavailable = False
    bench.cycle()
    assert [bench.row(job).state for job in jobs] == [State.QUEUED] * 3


def test_a_refused_job_fails_in_words(bench: Bench) -> None:
    bench.scheduler.refuse = "Invalid partition name specified"
    job = bench.accept()
    bench.cycle()
    words = "could not start: Invalid partition name specified"
    assert (bench.row(job).state, bench.row(job).message) == (State.FAILED, words)
    assert words in bench.status(job).message


def test_a_second_start_that_found_the_lease_taken_leads_to_the_first(bench: Bench) -> None:
    first = bench.running()
    [twin] = bench.scheduler._take(bench.scheduler.jobs[first.native_id])
    bench.store.note(first, native_id=twin)
    bench.scheduler.say(twin, failed(75))
    bench.cycle()
    assert bench.row(first).native_id == first.native_id
    bench.succeed_in_queue(first)
    bench.cycle()
    assert bench.row(first).state is State.SUCCEEDED


def test_a_job_that_only_refused_starts_of_itself_fails_in_words(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler._take(bench.scheduler.jobs[job.native_id])
    for number in bench.scheduler.jobs:
        bench.scheduler.say(number, failed(75))
    for _ in range(3):
        bench.cycle()
    assert "a second time" in bench.row(job).message


# Wishes


def test_a_job_dismissed_while_accepted_is_never_submitted(bench: Bench) -> None:
    job = bench.accept()
    bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    assert bench.row(job).state is State.DISMISSED
    assert bench.status(job).message.endswith("dismissed")
    assert "submit" not in bench.scheduler.calls


def test_a_dismissal_between_reading_and_submitting_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.accept()
    take = dispatcher_module.Submitter._take

    def dismiss_meanwhile(self: Any, jobs: Sequence[Job]) -> list[Job]:
        bench.store.wish(jobs[0].id, Wish.DISMISS)
        return take(self, jobs)

    monkeypatch.setattr(dispatcher_module.Submitter, "_take", dismiss_meanwhile)
    bench.cycle()
    assert bench.row(job).state is State.DISMISSED
    assert "submit" not in bench.scheduler.calls


def test_a_job_to_be_paused_is_not_submitted_in_between(bench: Bench) -> None:
    job = bench.accept()
    bench.store.wish(job.id, Wish.PAUSE)
    bench.dispatcher._submitter.run()  # the wish came after the turn's wishes were read
    assert bench.row(job).state is State.ACCEPTED


def test_a_dismissed_job_is_cancelled_and_ends_when_the_batch_system_says_so(bench: Bench) -> None:
    job = bench.running()
    bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    assert bench.scheduler.cancelled == [job.native_id]
    assert bench.row(job).state is State.RUNNING
    assert bench.status(job).state == "started", "the launcher may still be writing"
    bench.fail(job, "stopped by the batch system (SIGTERM)", "stopped")
    bench.scheduler.say(job.native_id, CANCELLED)
    bench.cycle()
    assert bench.row(job).state is State.DISMISSED
    assert bench.status(job).message.endswith("dismissed")


def test_a_dismissed_job_that_may_be_in_the_queue_is_looked_for_first(bench: Bench) -> None:
    bench.scheduler.drop_reply = True
    job = bench.accept()
    bench.cycle()
    bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    bench.cycle()
    assert bench.scheduler.cancelled == ["1"]
    bench.scheduler.say("1", CANCELLED)
    bench.cycle()
    assert bench.row(job).state is State.DISMISSED


def test_a_dismissal_is_repeated_while_the_job_is_still_there(bench: Bench) -> None:
    job = bench.running()
    bench.store.wish(job.id, Wish.DISMISS)
    for _ in range(5):
        bench.cycle(later=1)
    assert bench.scheduler.cancelled == [job.native_id]
    bench.cycle(later=60)
    assert bench.scheduler.cancelled == [job.native_id] * 2


@pytest.mark.parametrize("left", ["success", "failure", "nothing"])
@pytest.mark.parametrize("how", [DONE, failed(1), TIMEOUT, None])
def test_a_recorded_dismissal_comes_before_every_end(
    bench: Bench, left: str, how: JobStatus | None
) -> None:
    job = bench.running()
    (bench.folder(job).outputs).mkdir(parents=True)
    (bench.folder(job).outputs / "map.png").touch()
    if left == "success":
        bench.succeed(job)
    elif left == "failure":
        bench.fail(job, "no outlet", "process")
    if how is None:
        bench.scheduler.forget(job.native_id)
    else:
        bench.scheduler.say(job.native_id, how)
    assert bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    bench.cycle(later=GRACE)
    assert (bench.row(job).state, bench.row(job).message) == (State.DISMISSED, "dismissed")
    assert bench.status(job) == status_xml.Status("failed", 100, "dismissed")
    assert bench.report(job).state == "failed"
    assert not bench.folder(job).storage.exists()
    assert not bench.store.wish(job.id, Wish.DISMISS), "it is over"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_dismissal_recorded_while_an_end_is_written_wins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    job = bench.running()
    if state is State.SUCCEEDED:
        bench.succeed_in_queue(job)
    else:
        bench.fail(job, "no outlet", "process")
        bench.scheduler.say(job.native_id, failed(1))
    complete = evidence.complete

    def complete_meanwhile(*arguments: Any) -> None:
        complete(*arguments)
        assert bench.store.wish(job.id, Wish.DISMISS)

    monkeypatch.setattr(evidence, "complete", complete_meanwhile)
    bench.cycle()
    assert bench.row(job).state is State.RUNNING
    bench.cycle()
    assert bench.row(job).state is State.DISMISSED
    assert bench.status(job).message == "dismissed"


def test_a_dismissed_job_that_vanishes_counts_as_gone_after_the_grace(bench: Bench) -> None:
    job = bench.running()
    bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    bench.scheduler.forget(job.native_id)
    bench.cycle()
    assert bench.row(job).state is State.RUNNING, "one answer without it proves nothing"
    bench.cycle(later=GRACE)
    assert bench.row(job).state is State.DISMISSED


def test_a_dismissed_job_that_the_batch_system_has_twice_is_cancelled_under_both_ids(
    bench: Bench,
) -> None:
    job = bench.running()
    [twin] = bench.scheduler._take(bench.scheduler.jobs[job.native_id])
    bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    bench.scheduler.say(job.native_id, CANCELLED)
    bench.cycle()
    bench.cycle()
    assert bench.scheduler.cancelled == [job.native_id, twin]
    bench.scheduler.say(twin, CANCELLED)
    bench.cycle()
    assert bench.row(job).state is State.DISMISSED


def test_pause_and_resume_reach_the_batch_system(bench: Bench) -> None:
    job = bench.running()
    bench.store.wish(job.id, Wish.PAUSE)
    bench.cycle()
    bench.cycle()
    assert (bench.row(job).state, bench.row(job).wish) == (State.PAUSED, Wish.NONE)
    bench.store.wish(job.id, Wish.RESUME)
    bench.cycle()
    bench.cycle()
    assert (bench.row(job).state, bench.row(job).wish) == (State.RUNNING, Wish.NONE)


def test_a_pause_that_the_batch_system_lost_is_ordered_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.running()
    with monkeypatch.context() as lossy:
        lossy.setattr(bench.scheduler, "pause", lambda ids: None)
        bench.store.wish(job.id, Wish.PAUSE)
        bench.cycle()
        bench.cycle()
    assert (bench.row(job).state, bench.row(job).wish) == (State.RUNNING, Wish.PAUSE)
    bench.cycle(later=REPEAT[Wish.PAUSE])
    bench.cycle()
    assert (bench.row(job).state, bench.row(job).wish) == (State.PAUSED, Wish.NONE)


def test_a_pause_that_is_not_permitted_is_told_and_forgotten(bench: Bench) -> None:
    job = bench.running()
    bench.scheduler.not_permitted = "an operator of the cluster may do this"
    bench.store.wish(job.id, Wish.PAUSE)
    bench.cycle()
    bench.cycle()
    row = bench.row(job)
    assert (row.state, row.wish) == (State.RUNNING, Wish.NONE)
    assert row.message == "cannot pause: an operator of the cluster may do this"


def test_a_job_paused_while_accepted_waits_for_its_resumption(bench: Bench) -> None:
    job = bench.accept()
    bench.store.wish(job.id, Wish.PAUSE)
    bench.cycle()
    assert bench.row(job).state is State.PAUSED
    bench.cycle()
    assert "submit" not in bench.scheduler.calls
    bench.store.wish(job.id, Wish.RESUME)
    bench.cycle()
    bench.cycle()
    assert bench.row(job).state is State.QUEUED


def test_wishes_that_need_nobody_are_granted_while_nobody_can_be_asked(bench: Bench) -> None:
    running, accepted = bench.running(), bench.accept()
    bench.scheduler.unavailable = True
    for job in (running, accepted):
        bench.store.wish(job.id, Wish.DISMISS)
    bench.cycle()
    assert bench.row(accepted).state is State.DISMISSED
    assert (bench.row(running).state, bench.row(running).wish) == (State.RUNNING, Wish.DISMISS)


# One job's trouble is not the others'


def test_a_job_that_cannot_be_attended_to_does_not_stop_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd, good, accepted = bench.running(), bench.running(), bench.accept()
    look = evidence.look

    def fail_once(folder: Any) -> evidence.Evidence:
        if folder.job_id == odd.id:
            raise RuntimeError("a mistake")
        return look(folder)

    monkeypatch.setattr(evidence, "look", fail_once)
    for job in (odd, good):
        bench.succeed_in_queue(job)
    for _ in range(3):
        bench.cycle()
    assert bench.row(odd).state is State.RUNNING
    assert bench.row(good).state is State.SUCCEEDED
    assert bench.row(accepted).state is State.QUEUED
    assert sum(odd.id in r.getMessage() for r in caplog.records if r.levelname == "ERROR") == 1
    monkeypatch.undo()
    bench.cycle()
    assert bench.row(odd).state is State.SUCCEEDED


def test_settings_that_fit_in_no_script_are_refused_at_start(bench: Bench) -> None:
    container = Container(runtime="none", environment={"WORDS": "two\nlines"})
    defaults = dataclasses.replace(bench.settings.defaults, container=container)
    bench.settings = dataclasses.replace(bench.settings, defaults=defaults)
    with pytest.raises(SettingsError, match="control characters"):
        bench.restart()


# One dispatcher


def test_a_second_dispatcher_does_nothing(bench: Bench) -> None:
    bench.cycle()
    job = bench.accept()
    second = dispatcher_module.Dispatcher(
        bench.settings, bench.store, bench.spool, bench.scheduler, holder="another"
    )
    with pytest.raises(Deposed):
        second.cycle()
    assert bench.row(job).state is State.ACCEPTED


def test_a_standby_takes_over_from_a_dispatcher_that_was_killed(bench: Bench) -> None:
    leader = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert bench.store.lead(lead.name_of(leader.pid), 120.0)
        standby = Lead(bench.store, 120.0)
        assert not standby.take()
        leader.kill()  # whoever started it may not have noticed yet: it is a zombie
        _until(standby.take)
    finally:
        leader.kill()
        leader.communicate()


def test_a_process_that_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = lead.name_of(process.pid)
        assert not lead.is_dead(name)
        process.kill()
    assert lead.is_dead(name)


def test_a_dispatcher_elsewhere_is_believed_to_live(bench: Bench) -> None:
    host, _, _, started, token = lead.name_of(os.getpid()).split(":")
    assert not lead.is_dead(f"{host}:elsewhere:999999:{started}:{token}")
    assert not lead.is_dead("some words")


def test_a_process_id_given_to_somebody_else_is_no_sign_of_life() -> None:
    host, place, pid, _, token = lead.name_of(os.getpid()).split(":")
    assert lead.is_dead(f"{host}:{place}:{pid}:1.00:{token}")


def test_a_job_that_another_dispatcher_ended_is_left_alone(bench: Bench) -> None:
    stale = bench.running()
    bench.store.move(stale, State.SUCCEEDED)
    context = bench.dispatcher._follower._context
    assert not context.end(stale, State.FAILED, "lost", rewrite=True)
    assert bench.status(stale).state == "started"
    assert bench.row(stale).state is State.SUCCEEDED


def _replace(bench: Bench) -> None:
    """Another dispatcher takes over, unnoticed."""
    bench.store.resign("the-dispatcher")
    assert bench.store.lead("another", 60)


def test_a_dispatcher_replaced_before_the_row_is_set_submits_nothing(bench: Bench) -> None:
    bench.cycle()
    job = bench.accept()
    _replace(bench)
    with pytest.raises(Deposed):
        bench.cycle()
    assert "submit" not in bench.scheduler.calls
    assert bench.row(job).state is State.ACCEPTED


def test_a_dispatcher_replaced_after_the_row_was_set_submits_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.cycle()
    job = bench.accept()
    batch_job = Scripts.batch_job

    def slowly(self: Scripts, jobs: Sequence[Job]) -> BatchJob:
        _replace(bench)
        bench.dispatcher._lead._last = float("-inf")  # it took longer than between two beats
        return batch_job(self, jobs)

    monkeypatch.setattr(Scripts, "batch_job", slowly)
    with pytest.raises(Deposed):
        bench.cycle()
    assert "submit" not in bench.scheduler.calls
    assert bench.row(job).state is State.SUBMITTING  # the other one looks it up


def test_a_dispatcher_replaced_before_an_end_leaves_document_and_row(bench: Bench) -> None:
    job = bench.running()
    _replace(bench)
    bench.dispatcher._lead._last = float("-inf")
    context = bench.dispatcher._follower._context
    with pytest.raises(Deposed):
        context.end(job, State.FAILED, "lost", rewrite=True)
    assert bench.status(job).state == "started"
    assert bench.row(job) == job


def test_a_clock_that_is_set_lets_no_grace_pass(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = bench.running()
    del bench.scheduler.queue[job.native_id]
    bench.cycle()
    assert bench.row(job).missing_since
    bench.dispatcher._watch_clock()
    assert bench.row(job).missing_since  # it goes as it should
    monkeypatch.setattr(dispatcher_module, "_offset", lambda: time.time() + 3600)
    bench.now += 3600
    bench.dispatcher._watch_clock()
    bench.cycle()
    row = bench.row(job)
    assert row.state is State.RUNNING
    assert row.missing_since == bench.now
    assert "the clock was set by" in caplog.text


def test_a_report_that_a_killed_launcher_left_open_is_completed(bench: Bench) -> None:
    job = bench.running()
    bench.succeed(job)
    facts = bench.report(job)
    facts.state, facts.finished, facts.outputs = "started", 0.0, [{"identifier": "result"}]
    facts.write(bench.folder(job))
    bench.scheduler.say(job.native_id, DONE)
    bench.cycle()
    assert bench.row(job).state is State.SUCCEEDED
    completed = bench.report(job)
    assert (completed.state, completed.finished) == ("succeeded", pytest.approx(bench.now))
    assert completed.outputs == [{"identifier": "result"}]


def test_the_loop_notices_new_jobs_at_once_and_resigns_at_the_end(bench: Bench) -> None:
    rarely = 10 * PATIENCE
    bench.settings = dataclasses.replace(bench.settings, poll_interval=rarely, poll_backoff=rarely)
    runner, stop = bench.restart(), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        _until(lambda: bench.store.heartbeat()[0] < PATIENCE)
        time.sleep(0.3)  # now it pauses
        job = bench.accept()
        _until(lambda: bench.row(job).state is State.QUEUED)  # long before its next turn
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert bench.store.heartbeat()[0] == float("inf")


def test_the_loop_outlives_a_turn_that_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.settings = dataclasses.replace(bench.settings, poll_interval=0.05)
    runner, stop, job = bench.restart(), threading.Event(), bench.accept()
    wished, faults = JobStore.wished, []

    def fail_first(self: JobStore) -> list[Job]:
        if len(faults) < 2:
            faults.append(1)
            raise RuntimeError("the database is away")
        return wished(self)

    monkeypatch.setattr(JobStore, "wished", fail_first)
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        _until(lambda: bench.row(job).state is State.QUEUED)
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert len(faults) == 2


def test_questions_become_rare_while_nothing_changes_and_quick_after_a_change(
    bench: Bench,
) -> None:
    bench.scheduler.system = "slurm"  # the local one is cheap to ask
    runner = bench.dispatcher
    for _ in range(20):
        runner._plan(0, polled=True)
    assert runner._pause == bench.settings.poll_backoff
    runner._plan(1, polled=False)
    assert runner._pause == bench.settings.poll_interval
    assert runner._due <= time.monotonic() + bench.settings.poll_interval


def test_questions_stay_quick_while_an_end_is_to_be_judged(bench: Bench) -> None:
    bench.scheduler.system = "slurm"
    job = bench.running()
    bench.scheduler.say(job.native_id, DONE)
    for _ in range(3):
        bench.dispatcher._plan(bench.cycle(later=1), polled=True)
    assert bench.dispatcher._pause == bench.settings.poll_interval


def _until(condition: Any) -> None:
    wait_for(condition, "what was to happen", PATIENCE)


# Folders without a row


def test_a_folder_that_was_never_recorded_goes_after_an_hour(bench: Bench) -> None:
    ran = bench.queued()
    left, kept, recent = bench.accept(), bench.accept(), bench.accept()
    bench.restart()
    with bench.store.engine.begin() as connection:
        for job in (left, recent, ran):
            connection.exec_driver_sql("DELETE FROM hpc_jobs WHERE id = ?", (job.id,))
    bench.scheduler.unavailable = True
    for job in (left, kept, ran):
        os.utime(bench.folder(job).path, (bench.now - 4000, bench.now - 4000))
    bench.cycle()
    there = {job.id: bench.folder(job).path.exists() for job in (left, kept, recent, ran)}
    assert there == {left.id: False, kept.id: True, recent.id: True, ran.id: True}


# kill -9 at any point


def _play(bench: Bench, hooks: Hooks, monkeypatch: pytest.MonkeyPatch, end: str) -> Job:
    """One job's life, with a dispatcher that may be killed once, and then started anew."""
    replace = Fragile(evidence, hooks).replace
    monkeypatch.setattr(evidence, "replace", replace)
    monkeypatch.setattr(clean.Aside, "start", lambda aside: aside._what())
    job = bench.accept()
    scheduler = Fragile(bench.scheduler, hooks, sturdy=("header",))
    with contextlib.suppress(Killed):
        bench.restart(store=Fragile(bench.store, hooks), scheduler=scheduler)
    ended = False
    for _ in range(15):
        try:
            bench.cycle(later=GRACE)
        except Killed:
            bench.restart()
        row = bench.row(job)
        if row.state in TERMINAL:
            break
        if row.state is State.QUEUED and bench.scheduler.queue["1"] == QUEUED:
            bench.begin(job)
            bench.scheduler.say("1", RUNNING)
        elif bench.scheduler.cancelled:
            bench.scheduler.say("1", CANCELLED)
        elif row.state is State.RUNNING and not ended:
            ended = True
            if end == "success":
                bench.succeed_in_queue(job)
            elif end == "time limit":
                bench.scheduler.say("1", TIMEOUT)
            else:
                bench.store.wish(job.id, Wish.DISMISS)
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
        bench, hooks = Bench(root), Hooks()
        with hooks.armed(points, hooks.kill):
            job = _play(bench, hooks, monkeypatch, end)
        spared = hooks.passed < points
        bench.restart()
        bench.cycle()
        assert bench.row(job).state is state, points
        assert bench.status(job).state == document, points
        assert len(bench.scheduler.jobs) == 1, points
        assert not bench.folder(job).work.exists(), points
        bench.store.engine.dispose()
    assert points > 50  # it was really killed at each


def test_resumption_reaches_a_running_job_that_others_sent_a_stop_signal(bench: Bench) -> None:
    job = bench.running()
    stopped = JobStatus(Phase.SUSPENDED, detail="STOPPED", by_signal=True)
    bench.scheduler.say(job.native_id, stopped)
    bench.cycle()
    row = bench.row(job)
    assert (row.state, row.message) == (State.RUNNING, messages.SIGNAL_SENT)
    bench.store.wish(job.id, Wish.RESUME)
    bench.cycle(later=1)
    assert bench.scheduler.calls.count("resume") == 1
    assert bench.scheduler.queue[job.native_id].phase is Phase.RUNNING
    bench.cycle(later=1)
    bench.cycle(later=1)
    row = bench.row(job)
    assert (row.state, row.message, row.wish) == (State.RUNNING, "", Wish.NONE)
