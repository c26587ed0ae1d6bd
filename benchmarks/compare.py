"""Two ways of doing one thing, measured in turn in one run; and whether a goal is reached.

The median of the rounds' ratios has an interval that needs no assumption about how times are
spread: between the smallest and the largest of n independent ratios lies their true median with a
probability of 1 - 2^(1-n), 98.4 % for seven rounds (order statistics of the binomial distribution).
A goal is called reached, or missed, only if the whole interval is on one side of it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

ROUNDS = 7


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: was measured.
        against: what.
        goal: ours may be at most this many times theirs; with ``at_least``, has to be.
        unit: of both figures.
        ours, theirs: figures of each round.
        load: of the host when the row was done (1 minute).
    """

    what: str
    against: str
    goal: float
    unit: str = "s"
    at_least: bool = False
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    load: float = 0.0

    @property
    def ratios(self) -> list[float]:
        """Of each round."""
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def verdict(self) -> str:
        """``reached``, ``missed``, or ``not shown`` where the interval contains the goal."""
        low, high = min(self.ratios), max(self.ratios)
        best, worst = (high, low) if self.at_least else (low, high)
        inside = (lambda ratio: ratio >= self.goal) if self.at_least else self._within
        if inside(worst):
            return "reached"
        return "not shown" if inside(best) else "missed"

    def _within(self, ratio: float) -> bool:
        return ratio <= self.goal

    def __str__(self) -> str:
        low, high = min(self.ratios), max(self.ratios)
        sign = "≥" if self.at_least else "≤"
        return (
            f"| {self.what} | {statistics.median(self.ours):.3g} {self.unit} | {self.against}: "
            f"{statistics.median(self.theirs):.3g} {self.unit} | "
            f"{statistics.median(self.ratios):.2f} ({low:.2f} to {high:.2f}) | "
            f"{sign} {self.goal:g} | {self.verdict} | {len(self.ratios)} | {self.load:.1f} |"
        )


HEADING = (
    "| what | ours | against | ratio | goal | | rounds | load |\n|---|---|---|---|---|---|---|---|"
)


def in_turn(
    row: Row, ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS
) -> Row:
    """Measure both, ours first in every other round."""
    in_turn_together((row,), lambda: (ours(),), lambda: (theirs(),), rounds)
    return row


def in_turn_together(
    rows: Sequence[Row],
    ours: Callable[[], Sequence[float]],
    theirs: Callable[[], Sequence[float]],
    rounds: int = ROUNDS,
) -> None:
    """As :func:`in_turn`, several figures of one measurement, each of which has a row."""
    for number in range(rounds):
        for mine in (number % 2 == 0, number % 2 == 1):
            for row, figure in zip(rows, (ours if mine else theirs)(), strict=True):
                (row.ours if mine else row.theirs).append(figure)
    for row in rows:
        row.load = os.getloadavg()[0]


def printed(rows: Iterator[Row]) -> list[Row]:
    """The rows, each told as soon as it is there."""
    print(HEADING, flush=True)
    found = []
    for row in rows:
        print(row, flush=True)
        found.append(row)
    return found
