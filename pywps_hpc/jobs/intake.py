"""Whether one more job may be taken: all that the job table says of it, asked in one statement."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pywps_hpc.jobs import drain
from pywps_hpc.jobs.database import clock
from pywps_hpc.jobs.drain import Drain
from pywps_hpc.jobs.job import Limit
from pywps_hpc.jobs.leader import Leader, leader_of
from pywps_hpc.jobs.rows import IS_ACTIVE
from pywps_hpc.jobs.schema import dispatcher, facts, jobs
from pywps_hpc.jobs.table import Table

#: Whether a limit counts the jobs of one process, and of one client.
_Kind = tuple[bool, bool]


@dataclass(frozen=True)
class Intake:
    """What was found.

    Attributes:
        drain: why no new jobs are taken; ``None``: they are.
        reached: the first limit that one more active job would exceed, if any.
        leader: the dispatcher in charge, alive or not; ``None``: there is none, or nobody asked.
    """

    drain: Drain | None
    reached: Limit | None
    leader: Leader | None = None


class Intakes(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` can be asked before a job is taken."""

    def intake(self, limits: Sequence[Limit] = ()) -> Intake:
        """Whether one more job may be taken; :meth:`~pywps_hpc.jobs.JobStore.add` has the last
        word."""
        with self._begin(single=True) as connection:
            return ask(connection, limits, with_leader=True)

    def reached(self, limits: Sequence[Limit]) -> Limit | None:
        """The limit that one more job would exceed now, if any."""
        return self.intake(limits).reached


def ask(connection: Connection, limits: Sequence[Limit], *, with_leader: bool = False) -> Intake:
    """Ask within a transaction."""
    kinds = tuple((limit.process is not None, limit.client is not None) for limit in limits)
    values: dict[str, str | None] = {}
    for place, limit in enumerate(limits):
        values |= {f"process{place}": limit.process, f"client{place}": limit.client}
    row = connection.execute(_statement(kinds, with_leader), values).mappings().one()
    reached = (limit for place, limit in enumerate(limits) if row[f"count{place}"] >= limit.most)
    return Intake(
        drain.understood(row["drain"] or ""),
        next(reached, None),
        leader_of(row, clock(connection)) if with_leader and row["holder"] is not None else None,
    )


@functools.lru_cache(maxsize=64)
def _statement(kinds: tuple[_Kind, ...], with_leader: bool) -> sa.Select[Any]:
    drained = sa.select(facts.c.value).where(facts.c.name == drain.FACT)
    found: list[sa.Label[Any]] = [drained.scalar_subquery().label("drain")]
    for place, (by_process, by_client) in enumerate(kinds):
        query = sa.select(sa.func.count()).where(IS_ACTIVE)
        if by_process:
            query = query.where(jobs.c.process == sa.bindparam(f"process{place}"))
        if by_client:
            query = query.where(jobs.c.client == sa.bindparam(f"client{place}"))
        found.append(query.scalar_subquery().label(f"count{place}"))
    if with_leader:  # of which there is one row at most
        found += [sa.select(column).scalar_subquery().label(column.key) for column in dispatcher.c]
    return sa.select(*found)
