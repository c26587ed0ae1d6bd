"""What the job table says of the dispatcher in charge: plain data, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reach:
    """Whether the batch system answers.

    Attributes:
        system: its name, with its version where that is known.
        reachable: ``None`` before it has been asked.
        since: when that began, seconds since the epoch.
    """

    system: str = ""
    reachable: bool | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Leader:
    """The dispatcher in charge.

    Attributes:
        holder: its name.
        since: when it took over, seconds since the epoch.
        silence: seconds since its last heartbeat.
        message: what keeps it from its work, for the administrator; empty if nothing does.
        reach: whether it reaches the batch system.
        service: what tells its service from others, see :mod:`pywps_hpc.jobs.identity`.
    """

    holder: str
    since: float
    silence: float
    message: str
    reach: Reach
    service: str = ""

    def is_alive(self, lease: float) -> bool:
        """Whether it has sent a heartbeat within its lease in seconds."""
        return self.silence <= lease

    @property
    def host(self) -> str:
        """Where it runs."""
        return self.holder.partition(":")[0]

    @property
    def pid(self) -> int:
        """Its process id; 0 if its name does not tell."""
        parts = self.holder.split(":")
        return int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0


def leader_of(row: Mapping[Any, Any], now: float) -> Leader:
    """The leader that a row of the table tells of.

    Args:
        row: with the table's columns.
        now: by the clock of whoever keeps the table.
    """
    known = None if row["reachable"] is None else bool(row["reachable"])
    reach = Reach(row["system"], known, row["reach_since"])
    # A heartbeat from the future is as far from the truth as one from the past.
    silence = abs(now - row["heartbeat"])
    return Leader(row["holder"], row["since"], silence, row["message"], reach, row["service"])


def can_ask(leader: Leader | None, lease: float) -> bool:
    """Whether somebody can ask the batch system now, as far as is known.

    Args:
        leader: the dispatcher in charge; ``None`` if there is none.
        lease: in seconds.
    """
    return leader is not None and leader.is_alive(lease) and leader.reach.reachable is not False
