"""Two ways of doing one thing, measured in turn in one run; and whether a goal is reached.

The median of the rounds' ratios has an interval that needs no assumption about how times are
spread: between the smallest and the largest of n independent ratios lies their true median with a
probability of 1 - 2^(1-n), 98.4 % for seven rounds (order statistics of the binomial distribution).
A goal is called reached, or missed, only if the whole interval is on one side of it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Sequence
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
        return _verdict(self.ratios, self.goal, self.at_least)

    def __str__(self) -> str:
        low, high = min(self.ratios), max(self.ratios)
        sign = "≥" if self.at_least else "≤"
        return (
            f"| {self.what} | {statistics.median(self.ours):.3g} {self.unit} | {self.against}: "
            f"{statistics.median(self.theirs):.3g} {self.unit} | "
            f"{statistics.median(self.ratios):.2f} ({low:.2f} to {high:.2f}) | "
            f"{sign} {self.goal:g} | {self.verdict} | {len(self.ratios)} | {self.load:.1f} |"
        )


@dataclass
class Figure:
    """A line of the table for what is measured against a goal alone.

    Attributes:
        what: was measured.
        unit: of the figures.
        goal: a figure may be at most this; with ``at_least``, has to be.
        values: of each round.
        load: as in :class:`Row`.
    """

    what: str
    unit: str
    goal: float
    values: list[float]
    at_least: bool = False
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def verdict(self) -> str:
        """As :attr:`Row.verdict`."""
        return _verdict(self.values, self.goal, self.at_least)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        sign = "≥" if self.at_least else "≤"
        return (
            f"| {self.what} | {statistics.median(self.values):.3g} {self.unit} "
            f"({low:.3g} to {high:.3g}) | - | - | {sign} {self.goal:g} {self.unit} | "
            f"{self.verdict} | {len(self.values)} | {self.load:.1f} |"
        )


def _verdict(values: Sequence[float], goal: float, at_least: bool) -> str:
    """What an interval says of a goal."""
    reached = [value >= goal if at_least else value <= goal for value in values]
    return "reached" if all(reached) else "not shown" if any(reached) else "missed"


HEADING = "\n".join(
    ("| what | now | against | ratio | goal | reached | rounds | load |", f"|{'---|' * 8}")
)


def in_turn(
    row: Row, ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS
) -> Row:
    """Measure both, ours first in every other round."""
    in_turn_together((row,), lambda: (ours(),), lambda: (theirs(),), rounds)
    return row


def against_each(
    rows: Sequence[Row],
    ours: Callable[[], float],
    theirs: Sequence[Callable[[], float]],
    rounds: int = ROUNDS,
) -> Sequence[Row]:
    """As :func:`in_turn`, ours once a round against several others, each of which has a row."""
    for number in range(rounds):
        figures = [] if number % 2 else [ours()]
        others = [other() for other in theirs]
        figures += [ours()] if number % 2 else []
        for row, other in zip(rows, others, strict=True):
            row.ours += figures
            row.theirs.append(other)
    for row in rows:
        row.load = os.getloadavg()[0]
    return rows


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


def tell(row: Row | Figure) -> None:
    """Print a row; it also goes to the file that the variable ``BENCHMARK_ROWS`` names."""
    print(row, flush=True)
    if file := os.environ.get("BENCHMARK_ROWS"):
        with open(file, "a", encoding="utf-8") as rows:
            rows.write(f"{row}\n")


def printed(rows: Iterable[Row | Figure]) -> None:
    """Tell the rows, each as soon as it is there."""
    print(HEADING, flush=True)
    for row in rows:
        tell(row)
