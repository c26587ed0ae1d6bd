"""When the batch system is polled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pywps_hpc.dispatch import pace
from pywps_hpc.dispatch.pace import Pace
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING

SETTINGS = Settings(Path("/spool"), poll_interval=10.0, poll_backoff=40.0)
TIMES = replace(TIMING, hurried_poll=1.0, poll_growth=2.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only element."""
    now = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def a_turn(
    pace: Pace, clock: list[float], *, active: bool = False, ends_expected: bool = False
) -> float:
    """Wait for the next poll, poll; seconds until the one after."""
    clock[0] += max(0.0, pace.due_in())
    assert pace.begin_turn()
    pace.end_turn(polled=True, active=active, ends_expected=ends_expected)
    assert not pace.begin_turn()
    return pace.due_in()


def test_the_pauses_grow_while_nothing_happens_up_to_the_longest(clock: list[float]) -> None:
    pace = Pace(SETTINGS, TIMES, is_cheap=False)
    assert a_turn(pace, clock, active=True) == 10.0
    assert [a_turn(pace, clock) for _ in range(3)] == [20.0, 40.0, 40.0]
    assert a_turn(pace, clock, active=True) == 10.0
    assert a_turn(pace, clock, ends_expected=True) == 1.0


def test_they_do_not_grow_where_asking_is_cheap(clock: list[float]) -> None:
    pace = Pace(SETTINGS, TIMES, is_cheap=True)
    assert [a_turn(pace, clock) for _ in range(3)] == [10.0, 10.0, 10.0]


def test_an_end_that_was_told_is_asked_about_soon_and_once(clock: list[float]) -> None:
    pace = Pace(SETTINGS, TIMES, is_cheap=False)
    a_turn(pace, clock)
    pace.hurry(frozenset({"a"}), told=False)
    assert pace.due_in() == 1.0
    a_turn(pace, clock)
    pace.hurry(frozenset({"a"}), told=False)
    assert pace.due_in() == 40.0
    pace.hurry(frozenset({"a"}), told=True)
    assert pace.due_in() == 1.0


def test_a_change_between_two_polls_brings_the_next_one_nearer_and_none_puts_it_off(
    clock: list[float],
) -> None:
    pace = Pace(SETTINGS, TIMES, is_cheap=False)
    a_turn(pace, clock)
    clock[0] += 5
    pace.end_turn(polled=False, active=True, ends_expected=False)
    assert pace.due_in() == 10.0
    clock[0] += 5
    pace.end_turn(polled=False, active=False, ends_expected=False)
    assert pace.due_in() == 5.0


def test_a_new_leader_polls_at_once(clock: list[float]) -> None:
    pace = Pace(SETTINGS, TIMES, is_cheap=False)
    a_turn(pace, clock)
    pace.start_anew()
    assert pace.begin_turn()
