"""Why jobs wait, where that takes a question of its own: asked seldom, of many at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pywps_hpc.dispatch.channels.local import Channel, Completed
from pywps_hpc.dispatch.schedulers.base import JobStatus, Phase, SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from pywps_hpc.dispatch.schedulers.why import MOST, Why
from pywps_hpc.timing import TIMING

QUEUED, RUNNING = JobStatus(Phase.QUEUED), JobStatus(Phase.RUNNING)
LINE = "=" * 62 + "\n"
#: As Grid Engine 8.1.9 prints it.
REMARKS = f"""\
{LINE}job_number:                 3883
owner:                      wps
scheduling info:            queue instance "all.q@node1" dropped because it is full
                            All queues dropped because of overload or full
{LINE}job_number:                 3884
job_name:                   cannot run in PE
scheduling info:            cannot run in PE "smp" because it only offers 0 slots
{LINE}job_number:                 3885
scheduling info:            (Collecting of scheduler job information is turned off)
"""


#: The same, of jobs that ask for what no host has, and for what is only not free.
NEVER = f"""\
{LINE}job_number:                 12
scheduling info:            (-l arch=sparc) cannot run at host "vm" because it offers only hl:arch=lx-amd64
                            cannot run in queue instance "mpi.q@n2" because it is not of type batch
{LINE}job_number:                 14
scheduling info:            (-l num_proc=64) cannot run at host "vm" because it offers only hl:num_proc=2.000000
                            cannot run in queue instance "mpi.q@n2" because it is not of type batch
{LINE}job_number:                 13
scheduling info:            (-l mem_free=900G) cannot run at host "vm" because it offers only hl:mem_free=16.198G
                            cannot run in queue instance "mpi.q@n2" because it is not of type batch
{LINE}job_number:                 11
scheduling info:            (-l arch=sparc) cannot run at host "vm" because it offers only hl:arch=lx-amd64
                            queue instance "all.q@n3" dropped because it is temporarily not available
{LINE}job_number:                 16
scheduling info:            execution time not reached
"""  # noqa: E501


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Host(Channel):
    """Answers qstat -j, and counts."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.answer = Completed(0, REMARKS, "")

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        self.asked.append(argv)
        return self.answer


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def why(host: Host, clock: Clock) -> Why:
    dialect = GridEngineDialect()
    ask = CommandScheduler(dialect, host).ask
    return Why(dialect.why, ask, clock=clock, hopeless=dialect.hopeless_waits)


def waits(why: Why, *jobs: str) -> dict[str, str]:
    return {job: status.waits for job, status in why.added(dict.fromkeys(jobs, QUEUED)).items()}


def test_grid_engine_s_remarks_are_told_in_plain_words(why: Why, clock: Clock) -> None:
    waits(why, "3883", "3884.7", "3885", "9")
    clock.now += TIMING.why_after
    told = waits(why, "3883", "3884.7", "3885", "9")
    assert told == {
        "3883": "other jobs take all places of its queues",
        "3884.7": "its parallel environment has too few free processors",
        "3885": "",
        "9": "",
    }


def test_a_job_that_no_host_can_ever_run_is_marked(why: Why, host: Host, clock: Clock) -> None:
    host.answer = Completed(0, NEVER, "")
    jobs = dict.fromkeys(("12", "14", "13", "11", "16"), JobStatus(Phase.QUEUED, detail="qw"))
    why.added(jobs)
    clock.now += TIMING.why_after
    told = why.added(jobs)
    assert {job: status.hopeless for job, status in told.items()} == {
        **{"12": True, "14": True},  # for good
        **{"13": False, "11": False, "16": False},  # as soon as it is free, or back, or time
    }
    assert told["12"].detail == "qw (no host has what it asks for)"
    assert told["13"].waits == "too little of what it asks for is free"
    assert told["16"].waits == "its earliest start has not come"


def test_it_is_asked_seldom_and_of_many_at_once(why: Why, host: Host, clock: Clock) -> None:
    jobs = [str(number) for number in range(3000, 3000 + 10 * MOST)]
    waits(why, *jobs)
    assert not host.asked, "a job that has only just come is not asked why it waits"
    for _ in range(600):  # ten minutes, a poll each second
        clock.now += 1
        waits(why, *jobs)
    assert len(host.asked) == 10
    assert all(len(line[-1].split(",")) == MOST for line in host.asked)


def test_of_jobs_that_run_nothing_is_asked(why: Why, host: Host, clock: Clock) -> None:
    for _ in range(3):
        clock.now += TIMING.why_after
        assert why.added({"3883": RUNNING}) == {"3883": RUNNING}
    assert not host.asked


def test_what_cannot_be_asked_holds_nothing_up(why: Why, host: Host, clock: Clock) -> None:
    def fail(*_: object, **__: object) -> Completed:
        raise SchedulerUnavailable("away")

    host.run = fail  # type: ignore[method-assign]
    waits(why, "3883")
    clock.now += TIMING.why_after
    assert waits(why, "3883") == {"3883": ""}
