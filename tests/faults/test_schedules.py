"""Random schedules of faults against a real dispatcher: see fault_schedules.py.

Many more of them: ``python benchmarks/schedules.py --schedules 20000 --seed 1``.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase

import fault_schedules
from chaotic_scheduler import FAULTS
from invariants import InvariantViolated
from planted_bugs import MISTAKES, Mistake
from simulated_cluster import EVENTS

#: Schedules of one test run, always the same ones.
SCHEDULES = 200
#: Schedules within which a planted mistake must be noticed.
ENOUGH = 150


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


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_planted_mistake_is_noticed(mistake: Mistake) -> None:
    with mistake.make(), pytest.raises(InvariantViolated) as caught:
        fault_schedules.run(ENOUGH, faults=mistake.faults, phases=(Phase.generate,))
    assert mistake.breaks & {violation.kind for violation in caught.value.found}, caught.value
