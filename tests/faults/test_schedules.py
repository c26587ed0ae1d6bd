"""Random schedules of faults against a real dispatcher: see fault_schedules.py.

Many more of them: ``python benchmarks/schedules.py --schedules 20000 --seed 1``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import Phase

import fault_schedules
from chaotic_scheduler import FAULTS
from dispatcher_harness import GRACE
from fake_scheduler import DONE
from invariants import Broken, InvariantViolated
from joblauncher.shared import outcome
from planted_bugs import MISTAKES, Mistake
from pywps_hpc.jobs import State
from simulated_cluster import EVENTS, Entry
from simulated_launcher import Launcher, Plan
from simulated_site import Machine, World

#: Schedules of one test run, always the same ones.
SCHEDULES = 200
#: The same, of jobs that go to pilots.
WITH_PILOTS = 30
#: The same, of pilots that the batch system takes twice, now and then.
WITH_TWINS = 40
#: Schedules within which a planted mistake must be noticed.
ENOUGH = 600


@pytest.mark.timeout(1200)  # it computes all the while, and others beside it
def test_every_job_ends_once_and_all_tell_the_same_whatever_happens() -> None:
    machine = fault_schedules.run(SCHEDULES)
    assert machine.schedules >= SCHEDULES
    assert machine.jobs >= SCHEDULES
    met = {what for what in (*FAULTS, *EVENTS) if machine.seen[what]}
    # Which ones is hypothesis's choice; many schedules meet all of them.
    assert len(met) > 0.4 * len((*FAULTS, *EVENTS)), machine.met()
    for what in ("dispatcher killed", "dispatcher overtaken", "dispatcher lost its leadership"):
        assert machine.seen[what] > 10, machine.met()


@pytest.mark.timeout(600)
def test_the_same_holds_of_jobs_that_go_to_pilots() -> None:
    machine = fault_schedules.run(WITH_PILOTS, pilots=True)
    assert machine.schedules >= WITH_PILOTS
    for what in ("pilot", "job of a pilot", "dispatcher killed", "dispatcher overtaken"):
        assert machine.seen[what] > 5, machine.met()


@pytest.mark.timeout(600)
def test_the_same_holds_of_pilots_that_the_batch_system_takes_twice() -> None:
    doubled = frozenset({"submission doubled"})
    machine = fault_schedules.run(WITH_TWINS, pilots=True, faults=doubled)
    assert machine.seen["pilot left to its twin"] > 5, machine.met()


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_planted_mistake_is_noticed(mistake: Mistake) -> None:
    with mistake.make(), pytest.raises(InvariantViolated) as caught:
        fault_schedules.run(ENOUGH, faults=mistake.faults, phases=(Phase.generate,))
    assert mistake.breaks & {violation.kind for violation in caught.value.found}, caught.value


@contextlib.contextmanager
def running(plan: Plan) -> Iterator[tuple[World, Entry, Launcher]]:
    """A job whose launcher has just begun, and what its process is to do."""
    machine = Machine()
    with machine.running():
        world = World(machine, 0, arrays=False)
        try:
            world.accept()
            world.cycle()
            (entry,) = world.scheduler.entries.values()
            world.scheduler.work(1)
            life = entry.life
            assert life is not None
            life._plan = plan
            yield world, entry, life
        finally:
            world.remove()


@contextlib.contextmanager
def forging() -> Iterator[tuple[World, Entry, Launcher]]:
    """A running job whose process has forged a success, and works on."""
    with running(Plan((), "", 0, forges=outcome.SUCCEEDED)) as (world, entry, life):
        while not life.forged:
            life.step()
        yield world, entry, life


def test_a_forged_success_of_a_killed_launcher_with_exit_code_0_cannot_be_told() -> None:
    with forging() as (world, entry, _):
        world.scheduler.happen("exit code 0 without a result", entry)
        world.cycle()
        world.check()


@pytest.mark.parametrize("event", ["node failed, started again", "preempted and queued again"])
@pytest.mark.parametrize("steps", [0, 30], ids=["waits again", "has refused"])
@pytest.mark.parametrize("fault", ["", "orders lost"])
def test_a_forged_success_of_a_start_that_the_batch_system_ended_cannot_be_told(
    event: str, steps: int, fault: str
) -> None:
    with forging() as (world, entry, life):
        world.scheduler.faults |= {fault}
        life.stop = life.kill  # type: ignore[method-assign]  # it has no time left
        world.scheduler.happen(event, entry)
        world.scheduler.work(steps)
        world.machine.now += 2 * GRACE
        world.cycle()
        assert world.machine.store.get(entry.job_id).state is State.SUCCEEDED
        world.check()


@pytest.mark.parametrize("place", [*range(20, 34, 2), 0])
@pytest.mark.parametrize(
    "event",
    [
        "node failed, its processes live on",
        "node failed, started again beside its old processes",
    ],
)
def test_a_launcher_that_lives_on_undoes_no_end_that_was_told(event: str, place: int) -> None:
    """Neither after the row told it, nor at any place on the way there."""
    with forging() as (world, entry, life):

        def lives_on() -> None:
            while not life.over:
                life.step()

        world.scheduler.happen(event, entry)
        world.cycle(place, lives_on)
        lives_on()
        world.check()
        world.finish()


@pytest.mark.parametrize("forges", [outcome.SUCCEEDED, outcome.FAILED])
def test_a_forged_end_after_the_end_turns_nothing_back_that_was_told(forges: str) -> None:
    with running(Plan((), "", 0, forges=forges)) as (world, entry, life):
        while not life._at_work:
            life.step()
        world.scheduler.happen("node failed, its processes live on", entry)
        world.cycle()
        world.machine.now += GRACE
        world.cycle()
        world.check()
        assert "node failed" in world.told[entry.job_id].message
        while not life.over:
            life.step()
            world.check()
        assert life.forged
        world.finish()
        # Its words are the process's own to choose.
        assert world.told[entry.job_id].state == outcome.FAILED


def test_a_forged_success_that_its_launcher_lets_pass_is_noticed() -> None:
    with forging() as (world, entry, life):
        life.kill()
        life.code = 0
        world.scheduler._end(entry, DONE)
        world.cycle()
        with pytest.raises(InvariantViolated) as caught:
            world.check()
    assert [violation.kind for violation in caught.value.found] == [Broken.FORGED]
