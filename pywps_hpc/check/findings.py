"""What a check found: plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum


class Level(Enum):
    """How bad it is. The number is the exit code (Monitoring Plugins Development Guidelines,
    2.4)."""

    OK = 0
    WARNING = 1  # it works, but probably not as it was meant, or not for long
    ERROR = 2  # clients or jobs fail


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: how bad it is.
        subject: what was looked at: ``[section] key`` where there is one.
        what: what was found.
        remedy: what to do about it; empty where nothing has to be done.
        file: the configuration file that sets the key, where that is known.
    """

    level: Level
    subject: str
    what: str
    remedy: str = ""
    file: str = ""

    @property
    def line(self) -> str:
        """For people."""
        remedy = f" — {self.remedy}" if self.remedy else ""
        return f"{self.level.name.lower():7}  {self.subject}: {self.what}{remedy}"

    @property
    def data(self) -> dict[str, str]:
        """For programs."""
        return asdict(self) | {"level": self.level.name.lower()}


def ok(subject: str, what: str) -> Finding:
    """Looked at, and as it should be."""
    return Finding(Level.OK, subject, what)


def warning(subject: str, what: str, remedy: str) -> Finding:
    """It works, but probably not as it was meant, or not for long."""
    return Finding(Level.WARNING, subject, what, remedy)


def error(subject: str, what: str, remedy: str) -> Finding:
    """Clients or jobs fail."""
    return Finding(Level.ERROR, subject, what, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """How bad all of it is together."""
    return Level(max((finding.level.value for finding in findings), default=0))
