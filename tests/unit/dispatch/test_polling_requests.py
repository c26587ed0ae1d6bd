"""How often the batch system is asked: bounded, however many jobs there are."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from dispatcher_harness import DispatcherHarness
from places import ROOT
from pywps_hpc.dispatch import dispatcher, ends, follow, pace, watch
from pywps_hpc.dispatch.channels.local import Channel, ChannelTimeout, Completed
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.jobs import Job, State, new_id
from pywps_hpc.jobs.rows import to_row
from pywps_hpc.jobs.schema import jobs

HEADING = "pywps-hpc|JOBID|STATE|REASON|NAME|end\n"
MINUTES = 2
#: Seconds between two looks of the loop; fewer cost the test time.
LOOK = 2.0


class Slurm(Channel):
    """Answers as Slurm does, at once, and counts. With a limit each request takes a token, and one
    that finds none is told to wait a second and to ask again, as often as it takes: slurm.conf(5),
    rl_enable of 23.02 and later."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: Counter[str] = Counter()
        self.states: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.bucket, self.refill, self.tokens = 0, 0.0, 0.0
        self._filled = self.now
        self.waited = 0.0

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        self._take(argv, timeout)
        self.asked[argv[0]] += 1
        if argv[0] == "sbatch":
            return self._submit(stdin)
        if argv[:2] == ("squeue", "--version"):
            return Completed(0, "slurm 23.02.0\n", "")
        if argv[0] == "squeue":
            return Completed(0, HEADING + "".join(map(self._row, self.states)), "")
        return Completed(0, "", "")

    def limit(self, bucket: int, rate: int, period: float) -> None:
        self.bucket, self.refill, self.tokens = bucket, rate / period, float(bucket)

    def _take(self, argv: Sequence[str], timeout: float) -> None:
        begun = self.now
        while self.bucket:
            self.tokens += (self.now - self._filled) * self.refill
            self.tokens, self._filled = min(self.tokens, float(self.bucket)), self.now
            if self.tokens >= 1:
                self.tokens -= 1
                return
            self.now += 1
            self.waited += 1
            if self.now - begun > timeout:
                raise ChannelTimeout(f"{argv[0]} did not end within {timeout:.0f} s", argv)

    def _submit(self, script: str) -> Completed:
        options = dict(
            line.removeprefix("#SBATCH --").split("=", 1)
            for line in script.splitlines()
            if line.startswith("#SBATCH --") and "=" in line
        )
        array = str(len(self.names) + 1)
        first, _, last = options.get("array", "").partition("-")
        ids = [f"{array}_{n}" for n in range(int(first), int(last) + 1)] if last else [array]
        for each in ids:
            self.states[each], self.names[each] = "RUNNING", options["job-name"]
        return Completed(0, f"{array}\n", "")

    def _row(self, job: str) -> str:
        return f"pywps-hpc|{job}|{self.states[job]}|None|{self.names[job]}|end\n"


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    channel = Slurm()
    clock = SimpleNamespace(monotonic=lambda: channel.now, time=lambda: channel.now)
    for module in (dispatcher, ends, follow, pace, watch):
        monkeypatch.setattr(module, "time", clock)
    return channel


@pytest.fixture
def harness(tmp_path: Path, slurm: Slurm) -> DispatcherHarness:
    made = DispatcherHarness(tmp_path)
    made.settings = dataclasses.replace(made.settings, scheduler="slurm")
    made.restart(scheduler=CommandScheduler(SlurmDialect(), slurm)).lead()
    return made


def waiting(harness: DispatcherHarness, slurm: Slurm, count: int) -> list[Job]:
    """So many jobs wait in the queue."""
    found = []
    for number in range(1, count + 1):
        native = str(number)
        slurm.states[native], slurm.names[native] = "PENDING", f"w{number}"
        job = Job(new_id(), f"w{number}", "p", "0" * 64, state=State.QUEUED)
        found.append(dataclasses.replace(job, native_id=native, created=1.0, submitted=1.0))
    with harness.store.engine.begin() as connection:
        for start in range(0, count, 500):
            connection.execute(jobs.insert(), [to_row(job) for job in found[start : start + 500]])
    return found


def work(
    harness: DispatcherHarness,
    slurm: Slurm,
    seconds: float,
    each: Callable[[float], None] = lambda now: None,
) -> None:
    """Let the loop turn for some time, as it would: a look at what is told every so often."""
    own, end = harness.dispatcher, slurm.now + seconds
    while slurm.now < end:
        each(slurm.now)
        harness.now = slurm.now
        poll = own._pace.begin_turn()
        if poll or harness.store.line(State.ACCEPTED)[0]:
            changed = own.cycle(poll=poll)
            own._plan(changed, polled=poll)
        own._pace.hurry(harness.store.waiting().ends, told=own._ends.look())
        slurm.now += LOOK


@pytest.mark.parametrize(("active", "an_hour"), [(0, 120), (100, 480), (10_000, 480)])
def test_requests_do_not_grow_with_the_number_of_jobs(
    harness: DispatcherHarness, slurm: Slurm, active: int, an_hour: int
) -> None:
    waiting(harness, slurm, active)
    harness.dispatcher._pace._pause = harness.settings.poll_backoff  # nothing has changed for long
    work(harness, slurm, LOOK)
    slurm.asked.clear()
    work(harness, slurm, 60 * MINUTES)
    assert 0 < slurm.asked.total() <= an_hour * MINUTES / 60 + 1
    told = (ROOT / "docs/schedulers.md").read_text(encoding="utf-8")
    assert f"| {active:,} | {an_hour} |" in told


def test_requests_are_bounded_while_jobs_end_all_the_time(
    harness: DispatcherHarness, slurm: Slurm
) -> None:
    open_jobs = waiting(harness, slurm, 400)

    def end_one(now: float) -> None:
        slurm.states[open_jobs.pop().native_id] = "COMPLETED"

    work(harness, slurm, 150, end_one)
    assert slurm.asked.total() <= 150 / harness.settings.poll_interval * 2 + 10


def test_where_requests_are_limited_each_of_200_jobs_ends_as_it_ended(
    harness: DispatcherHarness, slurm: Slurm
) -> None:
    slurm.limit(40, 4, 60)
    accepted = [harness.accept(created=1.0) for _ in range(200)]

    def move(now: float) -> None:
        """Each job begins when it is submitted; one in ten fails, all tell their ends."""
        for job in harness.store.in_state({State.QUEUED, State.RUNNING}):
            if slurm.states.get(job.native_id) == "RUNNING" and now > 1300:
                harness.begin(job)
                harness.succeed(job)
                slurm.states[job.native_id] = "COMPLETED"

    work(harness, slurm, 1500, move)
    rows = [harness.row(job) for job in accepted]
    assert Counter(row.state for row in rows) == {State.SUCCEEDED: 200}
    assert slurm.waited < 600, "it asks on and on where it is told to wait"


def test_a_system_that_answers_late_is_asked_less_often(
    harness: DispatcherHarness, slurm: Slurm
) -> None:
    waiting(harness, slurm, 10)
    slurm.limit(1, 4, 60)
    for _ in range(20):  # something changes all the time
        own = harness.dispatcher
        assert own._pace.begin_turn()
        harness.now = slurm.now
        own.cycle(poll=True)
        own._plan(1, polled=True)
        assert own._pace.due_in() >= 2 * own._pace.took
        slurm.now += own._pace.due_in()


def test_an_end_that_its_document_tells_is_confirmed_at_once_though_polls_are_rare(
    harness: DispatcherHarness, slurm: Slurm
) -> None:
    """The job began and ended between two polls: the batch system was never seen to run it."""
    harness.settings = dataclasses.replace(harness.settings, poll_interval=120, poll_backoff=120)
    harness.restart(scheduler=CommandScheduler(SlurmDialect(), slurm))
    (other,) = waiting(harness, slurm, 1)
    job = harness.accept(created=1.0)
    work(harness, slurm, 10)
    job = harness.row(job)
    slurm.states[job.native_id] = "PENDING"
    work(harness, slurm, 150)
    assert harness.row(job).state is State.QUEUED
    harness.succeed(job)
    slurm.states[job.native_id] = "COMPLETED"
    slurm.asked.clear()
    work(harness, slurm, 5)
    assert harness.row(job).state is State.SUCCEEDED
    assert slurm.asked["squeue"] <= 3
    work(harness, slurm, 100)
    assert slurm.asked["squeue"] <= 7  # and rarely again
    assert harness.row(other).state is State.QUEUED
