"""Whether one more job may be taken: all that the job table says of it, asked in one statement."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pywps_hpc.jobs import drain
from pywps_hpc.jobs.database import local_clock
from pywps_hpc.jobs.drain import Drain
from pywps_hpc.jobs.job import ACTIVE, Job, Limit
from pywps_hpc.jobs.leader import Leader, leader_of
from pywps_hpc.jobs.rows import IS_ACTIVE
from pywps_hpc.jobs.schema import dispatcher, facts, jobs
from pywps_hpc.jobs.single import Asked
from pywps_hpc.jobs.table import Table

#: Whether a limit counts the jobs of one process, and of one client.
_Kind = tuple[bool, bool]
#: Whose jobs are counted: of a process and of a client, or of all of them.
_Whose = tuple[str | None, str | None]


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
        whose = _all(limits)
        is_local = self.engine.dialect.name == "sqlite"
        kinds, values = _kinds(whose), _values(whose)
        row = self._first(_statement(kinds, True, not is_local), values)
        assert row is not None  # it counts
        counts = {each: row[f"count{place}"] for place, each in enumerate(whose)}
        now = local_clock() if is_local else row["now"].timestamp()
        leader = None if row["holder"] is None else leader_of(row, now)
        return Intake(drain.understood(row["drain"] or ""), _reached(limits, counts), leader)

    def reached(self, limits: Sequence[Limit]) -> Limit | None:
        """The limit that one more job would exceed now, if any."""
        return self.intake(limits).reached


class Room:
    """Whether jobs may be taken, within one transaction that records one after the other while no
    other one does: what was counted once need not be counted again.

    Args:
        asked: the transaction.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._drain: tuple[Drain | None] | None = None
        self._counts: dict[_Whose, int] = {}

    def look(self, limits: Sequence[Limit]) -> Intake:
        """Whether one more job may be taken."""
        unknown = [each for each in _all(limits) if each not in self._counts]
        if unknown or self._drain is None:
            row = self._asked.first(_statement(_kinds(unknown), False, False), _values(unknown))
            assert row is not None  # it counts
            self._drain = (drain.understood(row["drain"] or ""),)
            self._counts |= {each: row[f"count{place}"] for place, each in enumerate(unknown)}
        return Intake(self._drain[0], _reached(limits, self._counts))

    def take(self, job: Job) -> None:
        """A job was recorded."""
        if job.state in ACTIVE:
            for process, client in self._counts:
                if process in (None, job.process) and client in (None, job.client):
                    self._counts[process, client] += 1


def _all(limits: Sequence[Limit]) -> list[_Whose]:
    return list(dict.fromkeys((limit.process, limit.client) for limit in limits))


def _reached(limits: Sequence[Limit], counts: dict[_Whose, int]) -> Limit | None:
    reached = (limit for limit in limits if counts[limit.process, limit.client] >= limit.most)
    return next(reached, None)


def _kinds(whose: Sequence[_Whose]) -> tuple[_Kind, ...]:
    return tuple((process is not None, client is not None) for process, client in whose)


def _values(whose: Sequence[_Whose]) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for place, (process, client) in enumerate(whose):
        values |= {f"process{place}": process, f"client{place}": client}
    return values


def _parameter(name: str) -> sa.BindParameter[str]:
    # Beside a list of values each one has to have a value when the statement is compiled.
    return sa.bindparam(name, required=False, type_=sa.String)


@functools.lru_cache(maxsize=64)
def _statement(kinds: tuple[_Kind, ...], with_leader: bool, with_clock: bool) -> sa.Select[Any]:
    drained = sa.select(facts.c.value).where(facts.c.name == drain.FACT)
    found: list[sa.Label[Any]] = [drained.scalar_subquery().label("drain")]
    for place, (by_process, by_client) in enumerate(kinds):
        query = sa.select(sa.func.count()).where(IS_ACTIVE)
        if by_process:
            query = query.where(jobs.c.process == _parameter(f"process{place}"))
        if by_client:
            query = query.where(jobs.c.client == _parameter(f"client{place}"))
        found.append(query.scalar_subquery().label(f"count{place}"))
    if with_leader:  # of which there is one row at most
        found += [sa.select(column).scalar_subquery().label(column.key) for column in dispatcher.c]
    if with_clock:
        found.append(sa.func.now().label("now"))
    return sa.select(*found)
