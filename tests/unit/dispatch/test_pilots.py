"""Jobs in pilots, by a batch system in memory and a pilot that the test plays."""

from __future__ import annotations

import contextlib
import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fake_scheduler import FakeScheduler
from joblauncher.shared.pilotdir import (
    CANCEL,
    ENDED,
    NOBODY,
    PAUSE,
    PAUSED,
    REQUESTS,
    TAKEN,
    WAITING,
    BadOrder,
    PilotDir,
    unseal,
)
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.pilots import lease
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.pilot import Pilot
from pywps_hpc.dispatch.schedulers.pilots.scheduler import PilotScheduler
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job, job_name, new_id
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings
from pywps_hpc.timing import TIMING


class SlurmInMemory(FakeScheduler):
    system = "slurm"


@dataclass
class Site:
    """A service with pilots, and what its cluster does."""

    root: Path
    slots: int = 1
    most: int = 2
    requeue: bool = False
    now: float = 1000.0
    inner: SlurmInMemory = field(default_factory=SlurmInMemory)

    def __post_init__(self) -> None:
        container = Container(
            image=Path("/image.sif"), warm=True, pilots=self.most, pilot_slots=self.slots
        )
        own = ProcessSettings(Resources(memory=1024, walltime=600), container)
        self.settings = Settings(spool=self.root, scheduler="slurm", defaults=own)
        self.restart()

    def restart(self) -> None:
        """Another dispatcher."""
        self.scheduler = PilotScheduler(Context(self.inner, self.settings, clock=lambda: self.now))

    def job(self) -> BatchJob:
        identity = new_id()
        scripts = Scripts(self.settings, "slurm")
        return scripts.batch_job([Job(identity, job_name("w", identity), "hello", "ab" * 32)])

    def submit(self) -> str:
        (native,) = self.scheduler.submit(self.job())
        return native

    def pilots(self) -> list[Pilot]:
        found = [Pilot.read(PilotDir(path)) for path in (self.root / "pilots").glob("*")]
        return sorted(found, key=lambda pilot: int(pilot.native or 0))

    def begin(self, pilot: Pilot) -> None:
        """The batch system has started it."""
        self.inner.say(pilot.native, JobStatus(Phase.RUNNING))

    def end(self, pilot: Pilot, outcome: Outcome, **facts: int) -> None:
        status = JobStatus(Phase.FINISHED, outcome, **facts)  # type: ignore[arg-type]
        self.inner.forget(pilot.native, status)

    def status(self, native: str) -> JobStatus:
        return self.scheduler.poll([native])[native]

    def by_themselves(self) -> list[str]:
        """Names of the jobs that the batch system has, without pilots."""
        pilots = {pilot.own["name"] for pilot in self.pilots()}
        return [job.name for job in self.inner.jobs.values() if job.name not in pilots]


def name_of(native: str) -> str:
    return native.partition(".")[2]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_job_goes_to_a_pilot_and_its_end_is_its_own(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    assert native == pilot.job_id(name_of(native))
    assert site.status(native).phase is Phase.QUEUED
    site.begin(pilot)
    assert pilot.dir.move(name_of(native), WAITING, TAKEN)
    assert site.status(native).phase is Phase.RUNNING
    pilot.dir.write_end(name_of(native), {"outcome": "exited", "exit_code": 0, "detail": ""})
    assert site.status(native).exit_code == 0
    assert site.by_themselves() == []
    # The free slot takes the next one: no other pilot is started.
    assert site.submit().startswith(pilot.id)
    assert len(site.pilots()) == 1


def test_a_pilot_asks_for_the_resources_of_its_jobs_and_its_order_is_signed(tmp_path: Path) -> None:
    site = Site(tmp_path, slots=3)
    native = site.submit()
    (pilot,) = site.pilots()
    job = site.inner.jobs[pilot.native]
    assert (job.resources.cpus, job.resources.memory) == (3, 3 * 1024 + 512)
    assert job.resources.walltime == 2 * 600 + 1800
    assert "joblauncher.pilot" in job.script
    assert pilot.facts["key"] not in job.script
    content = pilot.dir.file(WAITING, name_of(native)).read_bytes()
    order = unseal(pilot.facts["key"], name_of(native), content)
    assert (order["memory"], order["walltime"]) == (1024, 600)
    for key, name, text in (
        (pilot.facts["key"], "w1", content),
        ("0" * 64, name_of(native), content),
        (pilot.facts["key"], name_of(native), content.replace(b"600", b"900")),
    ):
        with pytest.raises(BadOrder):
            unseal(key, name, text)


def test_pilots_are_started_while_no_slot_is_free_up_to_the_most(tmp_path: Path) -> None:
    site = Site(tmp_path, slots=2, most=2)
    for expected in (1, 1, 2, 2, 2, 2):
        site.submit()
        assert len(site.pilots()) == expected
    assert [len(pilot.dir.names(WAITING)) for pilot in site.pilots()] == [3, 3]
    assert site.by_themselves() == []


def test_jobs_with_other_resources_go_to_other_pilots(site: Site) -> None:
    site.submit()
    own = ProcessSettings(Resources(memory=9000), site.settings.defaults.container)
    site.settings = Settings(spool=site.root, scheduler="slurm", defaults=own)
    site.restart()
    site.submit()
    assert [pilot.facts["slots"] for pilot in site.pilots()] == [1, 1]
    assert all(len(pilot.dir.names(WAITING)) == 1 for pilot in site.pilots())


def test_where_no_pilot_can_be_had_jobs_go_by_themselves(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def full(job: BatchJob) -> SubmissionPostponed | None:
        tries.append(job.name)
        if "joblauncher.pilot" in job.script:
            return SubmissionPostponed("QOSMaxSubmitJobPerUserLimit", answered=True)
        return None

    site.inner.postpone = full
    with caplog.at_level(logging.WARNING):
        natives = [site.submit() for _ in range(3)]
    assert natives == ["1", "2", "3"]
    assert len(tries) == 4  # the pilot once
    assert "no pilot can be had" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome.NODE_FAILURE, Outcome.NODE_FAILURE),
        (Outcome.CANCELLED, Outcome.CANCELLED),
        (Outcome.PREEMPTED, Outcome.PREEMPTED),
        (Outcome.TIME_LIMIT, Outcome.UNKNOWN),
        (Outcome.MEMORY_LIMIT, Outcome.UNKNOWN),
        (Outcome.EXITED, Outcome.UNKNOWN),
    ],
)
def test_a_pilots_death_ends_what_it_ran_and_what_waited_goes_on(
    tmp_path: Path, outcome: Outcome, told: Outcome
) -> None:
    site = Site(tmp_path, slots=2, most=1)
    ran, done, waits = (site.submit() for _ in range(3))
    (pilot,) = site.pilots()
    site.begin(pilot)
    for native in (ran, done):
        assert pilot.dir.move(name_of(native), WAITING, TAKEN)
    pilot.dir.write_end(name_of(done), {"outcome": "exited", "exit_code": 0, "detail": ""})
    site.status(ran)
    site.end(pilot, outcome)
    answer = site.scheduler.poll([ran, done, waits])
    assert answer[ran].outcome is told
    assert "the pilot that ran it ended" in answer[ran].detail
    assert answer[done].exit_code == 0
    assert answer[waits].phase is Phase.QUEUED
    # It is in another pilot, under the id that the table has.
    other = site.pilots()[1]
    assert other.dir.names(WAITING) == {name_of(waits)}
    site.begin(other)
    assert other.dir.move(name_of(waits), WAITING, TAKEN)
    assert site.status(waits).phase is Phase.RUNNING
    assert site.by_themselves() == []
    # Nothing changes with another dispatcher.
    site.restart()
    assert site.status(waits).phase is Phase.RUNNING
    assert site.status(ran).outcome is told
    assert site.scheduler.find(name_of(waits)) == [other.job_id(name_of(waits))]


def test_a_pilot_that_is_started_again_starts_its_jobs_again(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    site.begin(pilot)
    pilot.dir.move(name_of(native), WAITING, TAKEN)
    assert site.status(native).phase is Phase.RUNNING
    site.inner.say(pilot.native, JobStatus(Phase.QUEUED, restarts=1))
    status = site.status(native)
    assert (status.phase, status.restarts) == (Phase.QUEUED, 1)
    site.inner.say(pilot.native, JobStatus(Phase.RUNNING, restarts=1))
    assert site.status(native) == JobStatus(
        Phase.RUNNING, detail="running", restarts=1, name=name_of(native)
    )


def test_a_pilot_that_cannot_be_asked_about_is_not_gone(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    site.begin(pilot)
    pilot.dir.move(name_of(native), WAITING, TAKEN)
    assert site.status(native).phase is Phase.RUNNING
    site.inner.unavailable = True
    with pytest.raises(SchedulerUnavailable):
        site.scheduler.poll([native])
    site.inner.unavailable = False
    site.inner.accounting_unavailable = True
    site.inner.forget(pilot.native)
    site.now += 10 * site.settings.grace
    assert site.status(native).phase is Phase.RUNNING
    site.inner.accounting_unavailable = False
    assert site.status(native).phase is Phase.RUNNING  # its grace begins
    site.now += site.settings.grace + 1
    assert site.status(native).outcome is Outcome.UNKNOWN


def test_a_dispatcher_that_is_held_up_misses_no_pilot_for_longer_than_it_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    pilot.dir.move(name_of(native), WAITING, TAKEN)
    site.inner.forget(pilot.native)
    assert site.status(native).phase is Phase.RUNNING
    poll = site.inner.poll

    def held_up(ids: Collection[str]) -> dict[str, JobStatus]:
        answer = poll(ids)
        site.now += 10 * site.settings.grace
        return answer

    monkeypatch.setattr(site.inner, "poll", held_up)
    assert site.status(native).phase is Phase.RUNNING
    monkeypatch.undo()
    assert site.status(native).outcome is Outcome.UNKNOWN


def test_exactly_one_of_dispatcher_and_pilot_has_an_order(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    assert pilot.dir.move(name_of(native), WAITING, TAKEN)
    assert not pilot.take_back(name_of(native))
    other = site.submit()
    held = next(one for one in site.pilots() if one.has(name_of(other)))
    assert held.take_back(name_of(other))
    assert not held.dir.move(name_of(other), WAITING, TAKEN)


def test_a_job_that_waits_too_long_goes_by_itself(site: Site) -> None:
    natives = [site.submit() for _ in range(3)]
    for pilot in site.pilots():
        site.begin(pilot)
    for native in natives[:2]:
        pilot = next(one for one in site.pilots() if one.has(name_of(native)))
        assert pilot.dir.move(name_of(native), WAITING, TAKEN)
    site.scheduler.poll(natives)
    site.now += TIMING.pilot_patience - 1
    assert site.status(natives[2]).phase is Phase.QUEUED
    assert site.by_themselves() == []
    site.now += 2
    site.scheduler.poll(natives)
    assert site.by_themselves() == [name_of(natives[2])]
    site.inner.say("3", JobStatus(Phase.RUNNING))
    answer = site.scheduler.poll(natives)
    assert [status.phase for status in answer.values()] == [Phase.RUNNING] * 3
    site.inner.forget("3", JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT))
    assert natives[2] not in site.scheduler.poll(natives)
    assert site.scheduler.history(natives)[natives[2]].outcome is Outcome.TIME_LIMIT
    site.inner.forgotten = {"3"}
    assert set(site.scheduler.forgotten) == {"3", natives[2]}


def test_what_was_taken_back_before_a_crash_goes_on_once(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    name = name_of(native)
    assert pilot.take_back(name)
    site.inner.submit(pilot.batch_job(name))  # and then the dispatcher was killed
    site.begin(pilot)
    site.restart()
    site.scheduler.poll([native])
    assert site.by_themselves() == [name]
    assert Pilot.read(pilot.dir).moved_to(name) == "2"


def test_a_job_is_dismissed_wherever_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path, slots=1, most=1)
    runs, waits, moved = (site.submit() for _ in range(3))
    (pilot,) = site.pilots()
    site.begin(pilot)
    pilot.dir.move(name_of(runs), WAITING, TAKEN)
    assert pilot.take_back(name_of(moved))
    site.scheduler.poll([runs, waits, moved])
    site.scheduler.cancel([runs, waits, moved])
    assert f"{name_of(runs)}.{CANCEL}" in pilot.dir.names(REQUESTS)
    assert site.status(runs).phase is Phase.RUNNING  # until the pilot has ended it
    assert site.status(waits).outcome is Outcome.CANCELLED
    assert not pilot.dir.move(name_of(waits), WAITING, TAKEN)
    assert site.inner.cancelled == ["2"]
    site.restart()
    site.now += 1e6
    assert site.status(waits).outcome is Outcome.CANCELLED
    assert site.by_themselves() == [name_of(moved)]


def test_a_job_is_paused_wherever_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path, slots=1, most=1)
    runs, waits = (site.submit() for _ in range(2))
    (pilot,) = site.pilots()
    site.begin(pilot)
    pilot.dir.move(name_of(runs), WAITING, TAKEN)
    site.scheduler.poll([runs, waits])
    site.scheduler.pause([runs, waits])
    assert pilot.dir.names(WAITING) == set()
    assert site.status(waits).phase is Phase.HELD
    assert site.status(runs).phase is Phase.RUNNING  # until it stands still
    assert f"{name_of(runs)}.{PAUSE}" in pilot.dir.names(REQUESTS)
    pilot.dir.file(PAUSED, name_of(runs)).touch()
    assert site.status(runs).phase is Phase.SUSPENDED
    site.scheduler.resume([runs, waits])
    assert pilot.dir.names(REQUESTS) == set()
    assert pilot.dir.names(WAITING) == {name_of(waits)}


def _refuse(pilot: Pilot) -> None:
    pilot.dir.refused.write_text("unshare: Operation not permitted")


def _never_begin(_pilot: Pilot) -> None:
    """An image without what a pilot runs."""


@pytest.mark.parametrize("how", [_refuse, _never_begin])
def test_where_a_node_refuses_pilots_jobs_go_by_themselves_and_that_is_told(
    site: Site, caplog: pytest.LogCaptureFixture, how: Callable[[Pilot], None]
) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    site.begin(pilot)
    how(pilot)
    site.end(pilot, Outcome.EXITED, exit_code=1)
    with caplog.at_level(logging.WARNING):
        site.scheduler.poll([native])
    assert site.by_themselves() == [name_of(native)]
    assert re.search("unshare: Operation not permitted|ended before it could take", caplog.text)
    assert site.submit() == "3"  # no other pilot is tried for now
    site.now += TIMING.pilot_refused + 1
    assert site.submit().startswith("pilot-")


def test_a_closed_pilot_is_given_nothing_and_what_it_left_goes_on(tmp_path: Path) -> None:
    site = Site(tmp_path, most=2)
    native = site.submit()
    (pilot,) = site.pilots()
    site.begin(pilot)
    site.scheduler.poll([native])
    pilot.dir.closed.write_text("it had no job for a while")
    other = site.submit()
    assert not other.startswith(pilot.id)
    site.scheduler.poll([native, other])
    _, *fresh = site.pilots()
    assert [one.dir.names(WAITING) for one in fresh] == [{name_of(other)}, {name_of(native)}]


def test_a_pilot_without_a_clear_answer_is_looked_up(site: Site) -> None:
    site.inner.drop_reply = True
    native = site.submit()
    site.inner.drop_reply = False
    assert site.pilots()[0].native == ""
    assert site.status(native).phase is Phase.QUEUED
    assert site.pilots()[0].native == "1"
    assert len(site.inner.jobs) == 1


def test_a_submission_that_is_repeated_is_none(site: Site) -> None:
    job = site.job()
    assert site.scheduler.submit(job) == site.scheduler.submit(job)
    site.restart()
    assert site.scheduler.submit(job) == site.scheduler.find(job.name)


def test_a_pilot_that_can_never_start_is_given_up(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    stuck = JobStatus(Phase.QUEUED, detail="PartitionTimeLimit", hopeless=True)
    site.inner.say(pilot.native, stuck)
    with caplog.at_level(logging.WARNING):
        site.scheduler.poll([native])
    assert site.by_themselves() == [name_of(native)]
    assert site.inner.cancelled == [pilot.native]
    assert "PartitionTimeLimit" in caplog.text
    assert site.submit() == "3"


def test_a_pilot_that_ended_while_nobody_asked_makes_room_for_another(tmp_path: Path) -> None:
    site = Site(tmp_path, most=1)
    native = site.submit()
    (pilot,) = site.pilots()
    site.begin(pilot)
    pilot.dir.move(name_of(native), WAITING, TAKEN)
    site.status(native)
    pilot.dir.write_end(name_of(native), {"outcome": "exited", "exit_code": 0, "detail": ""})
    pilot.dir.closed.write_text("it had no job for a while")
    assert site.submit().startswith("pilot-")
    assert len(site.pilots()) == 2


def test_what_another_dispatcher_started_meanwhile_is_known(site: Site) -> None:
    site.submit()
    first = site.scheduler
    site.restart()
    other = [site.submit(), site.submit()][-1]
    assert first.poll([other])[other].phase is Phase.QUEUED


def test_an_order_that_may_have_been_written_is_looked_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Pilot.place

    def interrupted(self: Pilot, job: BatchJob) -> str:
        place(self, job)
        raise OSError(28, "No space left on device")

    job = site.job()
    monkeypatch.setattr(Pilot, "place", interrupted)
    with pytest.raises(SubmissionUncertain):
        site.scheduler.submit(job)
    assert site.scheduler.find(job.name) == [site.pilots()[0].job_id(job.name)]


def twin_of(site: Site, pilot: Pilot) -> str:
    """The batch system has taken the same pilot once more, under this id."""
    [twin] = site.inner._take(site.inner.jobs[pilot.native])
    return twin


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("first_left", [False, True])
def test_of_a_pilot_that_was_taken_twice_the_one_with_the_lease_is_followed(
    site: Site, first_left: bool, is_restarted: bool
) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    twin = twin_of(site, pilot)
    assert pilot.dir.take_lease(twin) == twin
    assert pilot.dir.take_lease(pilot.native) == twin
    assert pilot.dir.move(name_of(native), WAITING, TAKEN)
    site.inner.say(twin, JobStatus(Phase.RUNNING))
    if first_left:
        site.end(pilot, Outcome.EXITED, exit_code=0)
    if is_restarted:
        site.restart()
    assert site.status(native).phase is Phase.RUNNING
    assert site.inner.cancelled == [pilot.native]
    site.inner.forget(pilot.native)
    site.now += 10 * site.settings.grace
    assert site.status(native).phase is Phase.RUNNING
    (pilot,) = site.pilots()
    assert pilot.native == twin
    site.end(pilot, Outcome.NODE_FAILURE)
    assert site.status(native).outcome is Outcome.NODE_FAILURE


def test_a_lease_that_is_taken_while_its_pilot_is_taken_for_ended_is_seen(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    twin, take = twin_of(site, pilot), PilotDir.take_lease

    def late(folder: PilotDir, holder: str) -> str:
        take(folder, twin)
        folder.move(name_of(native), WAITING, TAKEN)
        return take(folder, holder)

    monkeypatch.setattr(PilotDir, "take_lease", late)
    site.end(pilot, Outcome.CANCELLED)
    assert site.status(native).phase is Phase.RUNNING
    assert site.pilots()[0].native == twin


def test_a_twin_that_has_not_started_is_no_pilot_once_the_other_one_is_over(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    twin = twin_of(site, pilot)
    site.end(pilot, Outcome.COULD_NOT_START)
    assert site.status(native).phase is Phase.QUEUED
    assert site.by_themselves() == [name_of(native)]
    assert pilot.dir.take_lease(twin) != twin


def test_a_pilot_that_keeps_its_lease_is_what_it_was(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    twin_of(site, pilot)
    pilot.dir.take_lease(pilot.native)
    site.begin(pilot)
    assert site.status(native).phase is Phase.QUEUED
    assert site.inner.cancelled == []
    assert site.pilots()[0].native == pilot.native


def test_a_pilot_is_found_as_the_one_of_its_twins_that_has_the_lease(site: Site) -> None:
    site.inner.drop_reply = True
    native = site.submit()
    site.inner.drop_reply = False
    (pilot,) = site.pilots()
    assert pilot.native == ""
    [twin] = site.inner._take(site.inner.jobs["1"])
    pilot.dir.take_lease(twin)
    site.scheduler.poll([native])
    assert site.pilots()[0].native == twin


@pytest.mark.parametrize(
    ("native", "holder", "other"),
    [
        ("12", "12", ""),
        ("12", "13", "13"),
        ("12", "", ""),
        ("", "13.head", "13.head"),
        ("12", NOBODY, ""),
        ("12", "../13", ""),
        ("12.head", "12.head.cluster", ""),
        ("12.head", "13.head.cluster", "13.head"),
        ("12", "12.head", ""),
        ("odd", "13", ""),
    ],
)
def test_the_holder_of_a_lease_has_an_id_as_the_known_one(
    native: str, holder: str, other: str
) -> None:
    assert lease.other_than(native, holder) == other


class Cluster:
    """A site whose pilots, nodes and dispatchers do what chance has them do."""

    def __init__(self, root: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        slots, most = self.chance.randint(1, 3), self.chance.randint(1, 3)
        self.site = Site(root, slots=slots, most=most)
        self.jobs: dict[str, str] = {}  # name -> id
        self.ran: Counter[str] = Counter()
        self.told: dict[str, JobStatus] = {}
        self.cancelled: set[str] = set()

    def step(self) -> None:
        steps = [
            self.submit, self.poll, self.take, self.take, self.end, self.kill, self.start,
            self.start, self.close, self.restart, self.pass_time, self.cancel, self.trouble,
        ]  # fmt: skip
        self.chance.choice(steps)()

    def submit(self) -> None:
        job = self.site.job()
        with contextlib.suppress(SchedulerUnavailable):
            (self.jobs[job.name],) = self.site.scheduler.submit(job)

    def poll(self) -> None:
        open_jobs = [job for name, job in self.jobs.items() if name not in self.told]
        with contextlib.suppress(SchedulerUnavailable):
            answer = self.site.scheduler.poll(open_jobs)
            gone = set(open_jobs) - answer.keys()
            answer |= self.site.scheduler.history(gone)
            for name, job in self.jobs.items():
                if job in answer and answer[job].phase is Phase.FINISHED:
                    self.told.setdefault(name, answer[job])

    def running(self) -> list[Pilot]:
        queue = self.site.inner.queue
        phases = [(p, queue.get(p.native)) for p in self.site.pilots()]
        return [p for p, status in phases if status and status.phase is Phase.RUNNING]

    def take(self) -> None:
        for pilot in self.running():
            for name in sorted(pilot.dir.names(WAITING)):
                full = len(pilot.dir.names(TAKEN) - pilot.dir.names(ENDED)) >= self.site.slots
                if not full and not pilot.is_closed() and pilot.dir.move(name, WAITING, TAKEN):
                    self.ran[name] += 1

    def end(self) -> None:
        for pilot in self.running():
            for name in sorted(pilot.dir.names(TAKEN) - pilot.dir.names(ENDED)):
                told = {"outcome": "exited", "exit_code": 0, "detail": ""}
                if f"{name}.{CANCEL}" in pilot.dir.names(REQUESTS):
                    told = {"outcome": "cancelled", "detail": ""}
                pilot.dir.write_end(name, told)
        self.end_by_themselves()

    def end_by_themselves(self) -> None:
        inner = self.site.inner
        pilots = {pilot.own["name"] for pilot in self.site.pilots()}
        for number, job in inner.jobs.items():
            if job.name not in pilots and number in inner.queue:
                self.ran[job.name] += 1
                how = Outcome.CANCELLED if number in inner.cancelled else Outcome.EXITED
                inner.forget(number, JobStatus(Phase.FINISHED, how, exit_code=0))

    def kill(self) -> None:
        for pilot in self.running()[:1]:
            self.site.end(pilot, self.chance.choice([Outcome.CANCELLED, Outcome.NODE_FAILURE]))

    def start(self) -> None:
        for pilot in self.site.pilots():
            status = self.site.inner.queue.get(pilot.native)
            if status is not None and status.phase is Phase.QUEUED:
                self.site.begin(pilot)

    def close(self) -> None:
        for pilot in self.running():
            if not pilot.dir.names(TAKEN) - pilot.dir.names(ENDED):
                pilot.dir.closed.write_text("it had no job for a while")
                self.site.end(pilot, Outcome.EXITED, exit_code=0)

    def restart(self) -> None:
        self.site.restart()

    def pass_time(self) -> None:
        self.site.now += self.chance.choice([1.0, 30.0, 70.0])

    def cancel(self) -> None:
        alive = sorted(self.jobs.keys() - self.told.keys())
        if alive:
            name = self.chance.choice(alive)
            with contextlib.suppress(SchedulerUnavailable):
                self.site.scheduler.cancel([self.jobs[name]])
                self.cancelled.add(name)

    def trouble(self) -> None:
        inner = self.site.inner
        if self.chance.random() < 0.5:
            inner.drop_reply = not inner.drop_reply
        else:
            inner.accounting_unavailable = not inner.accounting_unavailable

    def finish(self) -> None:
        """The trouble ends, and so does every job."""
        self.site.inner.drop_reply = self.site.inner.accounting_unavailable = False
        for _ in range(20):
            for step in (self.poll, self.start, self.take, self.end, self.poll, self.pass_time):
                step()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_each_job_runs_at_most_once_and_ends_once(
    tmp_path: Path, seed: int
) -> None:
    cluster = Cluster(tmp_path, seed)
    for _ in range(40):
        cluster.step()
    cluster.finish()
    assert cluster.told.keys() == cluster.jobs.keys()
    for name in cluster.jobs:
        assert cluster.ran[name] <= 1, name
        end = cluster.told[name]
        if end.outcome is Outcome.EXITED:
            assert cluster.ran[name] == 1
        elif end.outcome is Outcome.CANCELLED and not end.detail.startswith("the pilot"):
            assert name in cluster.cancelled
    cluster.restart()
    answer = cluster.site.scheduler.poll(cluster.jobs.values())
    for name, job in cluster.jobs.items():
        if job in answer:
            assert answer[job].outcome is cluster.told[name].outcome


def test_what_waits_for_a_pilot_goes_by_itself_after_its_settings_have_changed(site: Site) -> None:
    native = site.submit()
    (pilot,) = site.pilots()
    container = site.settings.defaults.container
    own = ProcessSettings(Resources(memory=1024, walltime=600, account="other"), container)
    site.settings = Settings(spool=site.root, scheduler="slurm", defaults=own)
    site.restart()
    pilot.dir.closed.touch()
    site.end(pilot, Outcome.CANCELLED)
    site.scheduler.poll([native])
    assert len(site.pilots()) == 1  # none that another account pays for
    assert site.by_themselves() == [name_of(native)]
    assert [job.resources.account for job in site.inner.jobs.values()] == ["", ""]
