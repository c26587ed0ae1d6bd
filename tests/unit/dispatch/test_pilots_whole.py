"""Pilots beneath a whole dispatcher: what its table says of their jobs."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dispatcher_harness import DispatcherHarness
from fake_scheduler import RUNNING, FakeScheduler
from joblauncher.shared.files import remove_tree
from joblauncher.shared.pilotdir import CANCEL, REQUESTS, TAKEN, WAITING, PilotDir
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.pilot import Pilot
from pywps_hpc.dispatch.schedulers.pilots.scheduler import PilotScheduler
from pywps_hpc.dispatch.schedulers.registry import with_pilots
from pywps_hpc.jobs import Cause, ControlRequest, Job, State
from pywps_hpc.jobs.wakeup import wake
from pywps_hpc.settings import Container, ProcessSettings, Resources, needs
from servers import wait_for


class SlurmInMemory(FakeScheduler):
    system = "slurm"


class Harness(DispatcherHarness):
    """One whose process ``hello`` goes to a pilot; all others go as arrays."""

    def with_pilots(self) -> None:
        image = Path("/image.sif")
        plain = ProcessSettings(Resources(memory=2048, walltime=600), Container(image=image))
        warm = Container(image=image, warm=True, pilots=1, pilot_slots=2)
        own = {"hello": replace(plain, container=warm)}
        facts = {"scheduler": "slurm", "defaults": plain, "processes": own}
        self.settings = replace(self.settings, **facts)
        self.again()

    def again(self) -> None:
        """Another dispatcher."""
        pilots = PilotScheduler(
            Context(self.scheduler, self.settings, lambda: self.now, self.timing)
        )
        self.restart(scheduler=pilots)

    def pilot(self) -> Pilot:
        (path,) = (self.settings.spool / "pilots").iterdir()
        return Pilot.read(PilotDir(path))

    def in_pilot(self) -> tuple[Job, Pilot]:
        """A job that a pilot runs."""
        job = self.accept()
        self.cycle()
        pilot = self.pilot()
        self.scheduler.say(pilot.native, RUNNING)
        assert pilot.dir.move(job.name, WAITING, TAKEN)
        self.begin(job)
        self.cycle(later=1)
        return self.row(job), pilot


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    scheduler = SlurmInMemory()
    scheduler.arrays = True
    made = Harness(tmp_path, scheduler)
    made.with_pilots()
    return made


def test_a_job_of_a_pilot_goes_the_way_of_all_jobs(harness: Harness) -> None:
    job, pilot = harness.in_pilot()
    assert job.state is State.RUNNING
    assert job.native_id == pilot.job_id(job.name)
    harness.again()
    harness.cycle(later=1)
    harness.succeed(job)
    pilot.dir.write_end(job.name, {"outcome": "exited", "exit_code": 0, "detail": ""})
    harness.cycle(later=1)
    assert harness.row(job).state is State.SUCCEEDED


def test_what_a_job_of_a_pilot_used_is_what_its_supervisor_measured(harness: Harness) -> None:
    job, pilot = harness.in_pilot()
    harness.succeed(job)
    end = {"outcome": "exited", "exit_code": 0, "detail": "", "cpu_seconds": 12.5}
    pilot.dir.write_end(job.name, end)
    harness.cycle(later=1)
    found = harness.row(job)
    assert (found.state, found.cpu_seconds) == (State.SUCCEEDED, 12.5)


@pytest.mark.parametrize(
    ("end", "cause", "words"),
    [
        ({"outcome": "time limit", "detail": ""}, Cause.TIME, "time limit 00:10:00 reached"),
        ({"outcome": "memory limit", "detail": ""}, Cause.MEMORY, "more than the 2 GB asked for"),
        ({"outcome": "signalled", "signal": 9, "detail": ""}, Cause.SYSTEM, "signal 9"),
    ],
)
def test_a_limit_is_told_as_the_jobs_own(
    harness: Harness, end: dict[str, object], cause: Cause, words: str
) -> None:
    job, pilot = harness.in_pilot()
    pilot.dir.write_end(job.name, end)
    for _ in range(3):
        harness.cycle(later=5)
    found = harness.row(job)
    assert (found.state, found.cause) == (State.FAILED, cause)
    assert words in found.message
    assert words in harness.status(job).message


@pytest.mark.parametrize("outcome", [Outcome.NODE_FAILURE, Outcome.CANCELLED, Outcome.EXITED])
def test_the_death_of_a_pilot_is_told_once_and_in_words(harness: Harness, outcome: Outcome) -> None:
    job, pilot = harness.in_pilot()
    harness.scheduler.forget(pilot.native, JobStatus(Phase.FINISHED, outcome, exit_code=137))
    for _ in range(3):
        harness.cycle(later=5)
    found = harness.row(job)
    assert found.state is State.FAILED
    assert "the pilot that ran it ended" in found.message
    for _ in range(3):
        harness.again()
        harness.cycle(later=5)
        assert harness.row(job) == found


def test_a_dismissed_job_of_a_pilot_stays_dismissed(harness: Harness) -> None:
    job, pilot = harness.in_pilot()
    harness.store.request(job.id, ControlRequest.DISMISS)
    harness.cycle(later=1)
    assert pilot.dir.names(REQUESTS) == {f"{job.name}.{CANCEL}"}
    assert harness.row(job).state is State.RUNNING  # something of it is there
    harness.succeed(job)
    pilot.dir.write_end(job.name, {"outcome": "cancelled", "detail": ""})
    harness.cycle(later=1)
    assert harness.row(job).state is State.DISMISSED
    waiting = harness.accept()
    harness.cycle(later=1)
    harness.store.request(waiting.id, ControlRequest.DISMISS)
    harness.cycle(later=1)
    harness.cycle(later=1)
    assert harness.row(waiting).state is State.DISMISSED
    assert not pilot.dir.names(WAITING)


def test_jobs_for_pilots_are_in_no_array_and_wait_for_nobody(harness: Harness) -> None:
    others = [harness.accept(process="other") for _ in range(3)]
    harness.cycle()
    assert {harness.row(job).array_index for job in others} == {1, 2, 3}
    late, job = harness.accept(process="other"), harness.accept()
    harness.cycle(later=0.1)  # arrays are collected for a second
    assert harness.row(job).native_id.startswith("pilot-")
    assert harness.row(job).array_index == 0
    assert harness.row(late).state is State.ACCEPTED
    assert harness.dispatcher._submitter.due_in() <= 1
    harness.cycle(later=1)
    assert harness.row(late).state is State.QUEUED


def test_the_job_of_an_owner_with_an_account_is_charged_to_it_also_beside_pilots(
    harness: Harness,
) -> None:
    own = needs.written({"account": "climate", "qos": "short", "queue": "long"})
    mine, common = harness.accept(resources=own), harness.accept()
    for _ in range(2):
        harness.cycle(later=2)
    assert harness.row(common).native_id.startswith("pilot-")
    batch = harness.scheduler.jobs[harness.row(mine).native_id]
    asked = batch.resources
    assert (asked.account, asked.qos, asked.queue) == ("climate", "short", "long")
    assert harness.row(mine).account == "climate"
    # It may go with others of its kind.
    pair = [harness.accept(resources=own) for _ in range(2)]
    for _ in range(2):
        harness.cycle(later=2)
    assert {harness.row(job).array_index for job in pair} == {1, 2}


def test_ids_of_pilots_mean_nothing_to_the_batch_system(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, pilot = harness.in_pilot()
    asked: list[str] = []
    for name in ("poll", "history", "cancel", "pause", "resume"):
        original = getattr(harness.scheduler, name)
        wrapped = lambda ids, call=original: asked.extend(ids) or call(ids)  # noqa: E731
        monkeypatch.setattr(harness.scheduler, name, wrapped)
    # Processes are not marked any more, and what its folder had is gone.
    plain = harness.settings.defaults
    harness.settings = replace(harness.settings, processes={"hello": plain})
    harness.restart(scheduler=with_pilots(harness.scheduler, harness.settings))
    harness.cycle(later=1)
    assert harness.row(job).state is State.RUNNING
    assert harness.row(late := harness.accept()).native_id == ""
    harness.cycle(later=2)
    assert not harness.row(late).native_id.startswith("pilot-")
    remove_tree(pilot.dir.path)
    scheduler = with_pilots(harness.scheduler, harness.settings)
    for order in (scheduler.cancel, scheduler.pause, scheduler.resume):
        order([job.native_id])
    assert scheduler.poll([job.native_id]) == scheduler.history([job.native_id]) == {}
    for _ in range(3):
        harness.cycle(later=60)
    assert harness.row(job).state is State.FAILED
    assert asked
    assert not [native for native in asked if native.startswith("pilot-")]


def test_the_end_of_a_job_in_a_pilot_is_noticed_without_a_question_to_the_batch_system(
    harness: Harness,
) -> None:
    never = 3600.0
    harness.settings = replace(harness.settings, poll_interval=never, poll_backoff=never)
    harness.timing = replace(harness.timing, table_look=never)
    harness.again()
    (first, pilot), second = harness.in_pilot(), harness.accept()
    harness.cycle()
    assert pilot.dir.move(second.name, WAITING, TAKEN)
    # One runs as far as the batch system was asked; the other has begun since.
    dispatcher, stop = harness.dispatcher, threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: dispatcher._pace.due_in() > 0, "its first turn", 30)
        asked = Counter(harness.scheduler.calls)
        for job in (second, first):
            harness.begin(job)
            harness.succeed(job)
            end = {"outcome": "exited", "exit_code": 0, "detail": ""}
            pilot.dir.write_end(job.name, end)
            ended = lambda of=job: harness.row(of).state is State.SUCCEEDED  # noqa: E731
            wait_for(ended, "it has ended", 30)
    finally:
        stop.set()
        while thread.is_alive():
            wake(dispatcher.holder)
            thread.join(0.05)
    assert Counter(harness.scheduler.calls) == asked
    assert not dispatcher.scheduler.reports_ends


def test_the_end_of_a_job_in_a_pilot_is_told_once(harness: Harness) -> None:
    job, pilot = harness.in_pilot()
    scheduler = harness.dispatcher.scheduler
    assert scheduler.reports_ends
    assert scheduler.reported_ends() == {}
    pilot.dir.write_end(job.name, {"outcome": "exited", "exit_code": 3, "detail": ""})
    told = scheduler.reported_ends()
    assert [(status.phase, status.exit_code) for status in told.values()] == [(Phase.FINISHED, 3)]
    assert list(told) == [job.native_id]
    assert scheduler.reported_ends() == {}
