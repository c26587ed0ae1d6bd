"""Random schedules: a real dispatcher, job table and spool against the chaotic batch system.

A schedule is what one run of :class:`Schedules` does: jobs come, people dismiss and pause them,
time passes, faults begin and end, dispatchers are killed between any two effects or overtaken while
they are held up. Then the faults end, and what :mod:`invariants` asks for must hold.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chaotic_scheduler import FAULTS
from pywps_hpc.jobs import ControlRequest
from simulated_cluster import EVENTS, can_happen
from simulated_site import Machine, World


class Schedules(RuleBasedStateMachine):
    """The rules.

    Attributes:
        machine: that runs all schedules.
        faults: that are there from the beginning, besides others.
        pilots: whether jobs go to pilots.
    """

    machine: Machine
    faults: frozenset[str] = frozenset()
    pilots: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        arrays=st.booleans(),
        faults=st.sets(st.sampled_from(FAULTS), max_size=5),
    )
    def begin(self, seed: int, arrays: bool, faults: set[str]) -> None:
        self.world = World(self.machine, seed, arrays=arrays, pilots=self.pilots)
        self.world.scheduler.faults |= faults | self.faults
        self.world.accept()

    @rule(count=st.integers(1, 3))
    def accept(self, count: int) -> None:
        for _ in range(count):
            self.world.accept()
        self._passed()

    @precondition(lambda self: self.world is not None and not self.world.unrecorded)
    @rule()
    def web_server_is_killed_before_it_records_a_job(self) -> None:
        self.world.accept(recorded=False)
        self.world.unrecorded = True
        self.machine.seen["web server killed"] += 1
        self._passed()

    @rule(
        which=st.integers(0, 30),
        request=st.sampled_from(
            [ControlRequest.DISMISS, ControlRequest.PAUSE, ControlRequest.RESUME]
        ),
    )
    def request(self, which: int, request: ControlRequest) -> None:
        accepted = self.world.accepted
        self.world.request(accepted[which % len(accepted)], request)
        self._passed()

    @rule(seconds=st.sampled_from([0, 2, 6, 20, 61]), steps=st.integers(0, 8))
    def cycle(self, seconds: float, steps: int) -> None:
        self._pass(seconds, steps)
        self.world.cycle()
        self._passed()

    @rule(place=st.integers(1, 60))
    def dispatcher_is_killed(self, place: int) -> None:
        self.world.cycle(place, self.machine.hooks.kill)
        self._passed()

    @rule(place=st.integers(1, 60), which=st.integers(0, 30))
    def dismissed_in_the_middle_of_a_turn(self, place: int, which: int) -> None:
        accepted = self.world.accepted
        job_id = accepted[which % len(accepted)]
        self.world.cycle(place, lambda: self.world.request(job_id, ControlRequest.DISMISS))
        self._passed()

    @rule(place=st.integers(1, 60), cycles=st.integers(1, 4))
    def dispatcher_is_overtaken(self, place: int, cycles: int) -> None:
        world = self.world
        world.cycle(place, lambda: world.overtake(cycles))
        world.scheduler.taken_back = False
        self._passed()

    @rule(place=st.integers(1, 60), cycles=st.integers(1, 4))
    def dispatcher_is_overtaken_and_leads_again(self, place: int, cycles: int) -> None:
        world, held_up = self.world, self.world.dispatcher
        world.cycle(place, lambda: world.overtake(cycles))
        world.scheduler.taken_back = False
        if world.dispatcher is not held_up:
            world.give_back(held_up)
            world.cycle()
        self._passed()

    @rule(place=st.integers(1, 60), steps=st.integers(1, 20))
    def nodes_go_on_in_the_middle_of_a_turn(self, place: int, steps: int) -> None:
        self.world.cycle(place, lambda: self.world.scheduler.work(steps))
        self._passed()

    @rule(seconds=st.sampled_from([1, 30, 61, 130, 3700]), steps=st.integers(0, 20))
    def time_passes(self, seconds: float, steps: int) -> None:
        self._pass(seconds, steps)
        self._passed()

    @rule(fault=st.sampled_from(FAULTS))
    def fault_begins_or_ends(self, fault: str) -> None:
        self.world.scheduler.faults ^= {fault}
        self._passed()

    @rule(event=st.sampled_from(EVENTS), which=st.integers(0, 30), steps=st.integers(0, 30))
    def happen(self, event: str, which: int, steps: int) -> None:
        scheduler = self.world.scheduler
        scheduler.work(steps)
        concerned = [one for one in scheduler.entries.values() if can_happen(event, one)]
        if concerned:
            scheduler.happen(event, concerned[which % len(concerned)])
        self._passed()

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if not self.world.broken:
                self.world.finish()
                self.machine.schedules += 1
        finally:
            self.world.remove()

    def _pass(self, seconds: float, steps: int) -> None:
        self.machine.now += seconds
        self.world.scheduler.work(steps)

    def _passed(self) -> None:
        self.machine.steps += 1
        self.world.check()


def profile(schedules: int, **more: Any) -> settings:
    """How hypothesis runs them.

    Args:
        schedules: how many.
        more: other settings.
    """
    return settings(
        **{
            "max_examples": schedules,
            "stateful_step_count": 25,
            "deadline": None,
            "database": None,
            "report_multiple_bugs": False,
            "suppress_health_check": list(HealthCheck),
            "phases": (Phase.explicit, Phase.generate, Phase.shrink),
            **more,
        }
    )


def run(
    schedules: int,
    seed: int | None = None,
    *,
    faults: frozenset[str] = frozenset(),
    pilots: bool = False,
    **more: Any,
) -> Machine:
    """Run schedules.

    Args:
        schedules: how many.
        seed: where hypothesis begins; ``None``: always at the same place.
        faults: of the batch system that are there in each from the beginning.
        pilots: whether jobs go to pilots.
        more: other settings of hypothesis.

    Returns:
        What happened.

    Raises:
        InvariantViolated: in the smallest schedule that was found.
    """
    machine = Machine()
    kind = type("Schedules", (Schedules,), {"machine": machine, "faults": faults, "pilots": pilots})
    if seed is None:
        more["derandomize"] = True
    else:
        kind = seeded(seed)(kind)
    with machine.running():
        run_state_machine_as_test(kind, settings=profile(schedules, **more))
    return machine
