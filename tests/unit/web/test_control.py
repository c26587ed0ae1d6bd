"""What clients do to their jobs: recorded before it is answered, and never contradicted later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from dispatcher_harness import GRACE, DispatcherHarness
from joblauncher.shared import status_xml
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.jobs import ControlRequest, Job, JobStore, State
from pywps_hpc.jobs.retention import Retention
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.timing import Timing
from pywps_hpc.web import control, lookup
from pywps_hpc.web.control import Dismissal
from pywps_hpc.web.errors import Busy, Gone, NotFound, NotNow
from pywps_hpc.web.server import HAS_LEFT, LISTENS

DISMISSED = PublicState.DISMISSED
#: What every client of this module may do to a job.
ACTS: list[Callable[..., Any]] = [control.dismiss, control.pause, control.resume, control.remove]


def request(user: str = "", **environ: Any) -> Request:
    return Request(EnvironBuilder(environ_base={"REMOTE_USER": user, **environ}).get_environ())


@dataclass
class Desk:
    """Clients, a dispatcher that turns when it is told to, and a batch system in memory."""

    harness: DispatcherHarness
    service: Any

    def accept(self, owner: str = "anna", **how: Any) -> Job:
        return self.harness.accept(owner=owner, **how)

    def view(self, job: Job, user: str = "anna") -> JobView:
        row, folder = lookup.find(self.service, request(user), job.access)
        return lookup.view_of(self.service, row, folder)

    def dismiss(self, job: Job, user: str = "anna") -> Dismissal:
        return control.dismiss(self.service, request(user), job.access)

    def ended(self, succeeded: bool = True) -> Job:
        job = self.owned(self.harness.running())
        if succeeded:
            self.harness.succeed_in_queue(job)
        else:
            killed = JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT, exit_code=1)
            self.harness.scheduler.say(job.native_id, killed)
            self.harness.cycle()  # it waits for the job's last words
        self.harness.cycle(later=GRACE + 1)
        assert self.harness.row(job).state is (State.SUCCEEDED if succeeded else State.FAILED)
        return self.harness.row(job)

    def owned(self, job: Job) -> Job:
        noted = self.harness.store.note(self.harness.row(job), owner="anna")
        assert noted is not None
        return noted


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    harness = DispatcherHarness(tmp_path)
    own = replace(harness.settings, administrators=("root",))
    return Desk(harness, SimpleNamespace(settings=own, store=harness.store, spool=harness.spool))


STAGES: dict[str, Callable[[Desk], Job]] = {
    "staging": lambda desk: desk.accept(state=State.STAGING),
    "accepted": lambda desk: desk.accept(),
    "submitting": lambda desk: desk.accept(state=State.SUBMITTING),
    "queued": lambda desk: desk.owned(desk.harness.queued()),
    "running": lambda desk: desk.owned(desk.harness.running()),
}


@pytest.mark.parametrize("stage", STAGES)
def test_whoever_was_told_dismissed_is_told_nothing_else(desk: Desk, stage: str) -> None:
    job = STAGES[stage](desk)
    assert desk.dismiss(job).view.state is DISMISSED
    assert desk.view(job).state is DISMISSED
    again = desk.dismiss(job)
    assert (again.view.state, again.is_removed) == (DISMISSED, False)
    for moved in (State.SUCCEEDED, State.FAILED):  # its end comes a moment too late
        assert desk.harness.store.move(desk.harness.row(job), moved) is None
    with pytest.raises(NotNow, match="being dismissed"):
        control.pause(desk.service, request("anna"), job.access)
    for _ in range(4):
        desk.harness.cycle(later=20.0)
        assert desk.view(job).state is DISMISSED


def test_a_dismissal_is_answered_without_a_dispatcher_and_carried_out_by_the_next(
    desk: Desk,
) -> None:
    job = desk.owned(desk.harness.running())
    began = time.monotonic()
    assert desk.dismiss(job).view.message
    assert time.monotonic() - began < 1.0
    assert desk.harness.row(job).state is State.RUNNING
    desk.harness.restart()
    desk.harness.cycle()
    assert desk.harness.scheduler.cancelled == [job.native_id]


@pytest.mark.parametrize("succeeded", [True, False])
def test_an_ended_job_is_removed_and_gone_for_its_owner_alone(desk: Desk, succeeded: bool) -> None:
    job = desk.ended(succeeded)
    folder = desk.harness.folder(job)
    done = desk.dismiss(job)
    assert done.is_removed
    assert (done.view.state, done.view.message) == (DISMISSED, control.REMOVED)
    assert (done.view.actions, done.view.outputs) == (frozenset(), ())
    assert not folder.path.exists()
    assert desk.harness.store.get(job.id) is None
    for act in (lookup.find, *ACTS):
        with pytest.raises(Gone) as gone:
            act(desk.service, request("anna"), job.access)
        assert gone.value.code == 410
        for stranger in ("", "ben", "root"):
            with pytest.raises(NotFound) as unknown:
                act(desk.service, request(stranger), job.access)
            assert unknown.value.code == 404


def test_files_of_a_removed_job_are_deleted_by_the_dispatcher(desk: Desk) -> None:
    job = desk.ended()
    desk.dismiss(job)
    assert list(desk.harness.spool.discarded()) == [job.id]
    desk.harness.cycle(later=60.0)
    assert list(desk.harness.spool.discarded()) == []


def test_a_job_without_an_owner_leaves_nothing_to_be_remembered(desk: Desk) -> None:
    job = desk.accept(owner="")
    desk.harness.cycle()
    desk.harness.succeed_in_queue(job)
    desk.harness.cycle()
    assert desk.dismiss(job, user="").is_removed
    for user in ("", "ben"):
        with pytest.raises(NotFound) as unknown:
            desk.view(job, user)
        assert unknown.value.code == 404


@pytest.mark.parametrize(("age", "kept"), [(0.0, Timing().removed_known), (3600.0, 3600.0)])
def test_a_removed_job_is_forgotten_in_the_end(desk: Desk, age: float, kept: float) -> None:
    desk.harness.settings = replace(desk.harness.settings, retention=Retention(age=age))
    desk.harness.restart()
    job = desk.ended()
    desk.dismiss(job)
    for later, code in ((kept - 300, 410), (600, 404)):
        # In steps that a clock can make without being doubted.
        desk.harness.cycle(later=later)
        with pytest.raises(NotFound) as gone:
            desk.view(job)
        assert gone.value.code == code


def test_a_job_that_has_not_ended_cannot_be_removed(desk: Desk) -> None:
    job = desk.owned(desk.harness.running())
    with pytest.raises(NotNow, match="not ended") as refused:
        control.remove(desk.service, request("anna"), job.access)
    assert refused.value.code == 409
    desk.dismiss(job)
    with pytest.raises(NotNow, match="being dismissed"):
        control.remove(desk.service, request("anna"), job.access)
    assert desk.harness.folder(job).path.exists()


def test_a_job_whose_files_cannot_be_moved_stays_and_can_be_removed_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = desk.ended()
    with monkeypatch.context() as patch:
        patch.setattr(type(desk.harness.spool), "discard", _no_room)
        desk.service.settings = replace(desk.service.settings, retry_after=17)
        with pytest.raises(Busy) as refused:
            desk.dismiss(job)
    assert refused.value.retry_after == 17
    assert str(desk.harness.spool.root) not in str(refused.value.description)
    assert desk.view(job).state is PublicState.SUCCEEDED
    assert desk.dismiss(job).is_removed


def _no_room(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device", "/var/spool/secret")


def test_two_dismissals_at_the_very_end_are_both_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one closes and removes the job between the first one's request and its answer."""
    job = desk.owned(desk.harness.running())
    recorded = JobStore.request

    def request_and_lose(store: JobStore, job_id: str, wanted: ControlRequest) -> bool:
        told = recorded(store, job_id, wanted)
        assert store.move(desk.harness.row(job), State.DISMISSED) is not None
        assert store.remove(job_id)
        return told

    monkeypatch.setattr(JobStore, "request", request_and_lose)
    assert desk.dismiss(job).view.state is DISMISSED


def test_an_end_that_comes_before_the_dismissal_holds_and_the_job_is_removed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = desk.owned(desk.harness.running())
    recorded = JobStore.request

    def too_late(store: JobStore, job_id: str, wanted: ControlRequest) -> bool:
        assert store.move(desk.harness.row(job), State.SUCCEEDED) is not None
        return recorded(store, job_id, wanted)

    monkeypatch.setattr(JobStore, "request", too_late)
    assert desk.dismiss(job).is_removed
    assert desk.harness.store.get(job.id) is None


def test_pause_and_resume_are_recorded_and_carried_out(desk: Desk) -> None:
    job = desk.owned(desk.harness.running())
    view = control.pause(desk.service, request("anna"), job.access)
    assert view.requested is ControlRequest.PAUSE
    desk.harness.cycle()
    assert desk.harness.scheduler.queue[job.native_id].phase is Phase.SUSPENDED
    view = control.resume(desk.service, request("anna"), job.access)
    assert view.requested is ControlRequest.RESUME
    for act in (control.pause, control.resume):
        ended = desk.ended()
        with pytest.raises(NotNow, match="is over") as refused:
            act(desk.service, request("anna"), ended.access)
        assert refused.value.code == 409


def test_nobody_but_owner_and_administrator_touches_a_job(desk: Desk) -> None:
    for job in (desk.owned(desk.harness.running()), desk.ended()):
        before = desk.harness.row(job)
        for act in (lookup.find, *ACTS):
            for stranger in ("ben", "", "Anna"):
                with pytest.raises(NotFound) as unknown:
                    act(desk.service, request(stranger), job.access)
                assert (unknown.value.code, unknown.value.description) == (404, UNKNOWN)
        assert desk.harness.row(job) == before
        assert desk.dismiss(job, "root").view.state is DISMISSED


UNKNOWN = "There is no such job."


def test_the_same_questions_are_asked_for_an_unknown_job_and_a_strangers(
    desk: Desk,
) -> None:
    job, asked = desk.accept(), []
    sa.event.listen(  # the driver's own, whoever asks
        desk.harness.store.engine,
        "checkout",
        lambda connection, *_: connection.set_trace_callback(asked.append),
    )
    seen = []
    for access in (job.access, "00000000-0000-4000-8000-000000000000"):
        for user in ("ben", ""):
            asked.clear()
            with pytest.raises(NotFound):
                control.dismiss(desk.service, request(user), access)
            assert any(access in statement for statement in asked)
            seen.append([statement.replace(access, "?") for statement in asked])
    assert seen[:2] == seen[2:]
    assert all(seen)


def test_a_job_whose_folder_cannot_be_read_can_be_dismissed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = desk.owned(desk.harness.running())
    monkeypatch.setattr("pywps_hpc.web.lookup.look", _no_room)
    assert desk.dismiss(job).view.state is DISMISSED


# Clients that wait


@pytest.mark.parametrize(
    ("environ", "keeps", "dismissed"),
    [
        ({LISTENS: lambda: False, HAS_LEFT: lambda: True}, False, True),
        ({LISTENS: lambda: False, HAS_LEFT: lambda: True}, True, False),
        ({LISTENS: lambda: False, HAS_LEFT: lambda: False}, False, False),  # the server stops
        ({LISTENS: lambda: False}, False, False),  # nothing is known of the connection
    ],
)
def test_a_client_that_closes_its_connection_leaves_no_job(
    desk: Desk, environ: dict[str, Any], keeps: bool, dismissed: bool
) -> None:
    desk.service.settings = replace(desk.service.settings, keep_abandoned=keeps)
    job = desk.owned(desk.harness.running())
    row = control.await_end(desk.service, request("anna", **environ), job)
    assert row.is_dismissed is dismissed
    assert desk.harness.row(job).is_dismissed is dismissed


def test_a_client_that_leaves_when_its_job_has_ended_changes_nothing(desk: Desk) -> None:
    job = desk.ended()
    gone = {LISTENS: lambda: False, HAS_LEFT: lambda: True}
    row = control.await_end(desk.service, request("anna", **gone), job)
    assert row.state is State.SUCCEEDED
    assert status_xml.parse(desk.harness.folder(job).status.read_bytes()).state == "succeeded"


def test_a_client_for_whom_the_time_is_over_leaves_its_job(desk: Desk) -> None:
    desk.service.settings = replace(desk.service.settings, sync_timeout=0.01)
    job = desk.owned(desk.harness.running())
    listens = {LISTENS: lambda: True, HAS_LEFT: lambda: False}
    assert not control.await_end(desk.service, request("anna", **listens), job).is_dismissed
