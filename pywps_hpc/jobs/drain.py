"""Whether the service takes new jobs: an administrator may drain it, for a time of maintenance.

It stands in the job table, so that every web server of the installation sees it at once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pywps_hpc.errors import HpcError
from pywps_hpc.jobs.facts import Facts

#: Name of the fact in the job table.
FACT = "drain"
#: Characters of the administrator's message at most.
LONGEST = 1000


@dataclass(frozen=True)
class Drain:
    """That no new jobs are taken.

    Attributes:
        message: of the administrator's, for clients; may be empty.
        since: seconds since the epoch.
        retry_after: seconds that clients are told to wait; 0: as those of a busy service.
    """

    message: str = ""
    since: float = 0.0
    retry_after: int = 0

    def __str__(self) -> str:
        """What clients are told."""
        told = "This service does not accept new jobs at the moment"
        return f"{told}: {self.message}" if self.message else f"{told}."


class Drained(HpcError):
    """No new jobs are taken; nothing of this one is in the table."""

    def __init__(self, drain: Drain) -> None:
        super().__init__(str(drain))
        self.drain = drain


def of(store: Facts) -> Drain | None:
    """Why no new jobs are taken; ``None``: they are."""
    return understood(store.fact(FACT))


def understood(told: str) -> Drain | None:
    """What the fact says; ``None``: new jobs are taken."""
    return Drain(**json.loads(told)) if told else None


def begin(store: Facts, drain: Drain) -> None:
    """Take no new jobs from now on."""
    with store.facts() as facts:
        facts[FACT] = json.dumps(asdict(drain))


def end(store: Facts) -> bool:
    """Take new jobs again; false if they were taken all the time."""
    with store.facts() as facts:
        was = bool(facts.get(FACT))
        facts[FACT] = ""
    return was
