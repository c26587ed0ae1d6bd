"""Pages of the list of jobs, newest first: each costs about the same, however many jobs there are.

A page begins after the last job of the one before (keyset paging), and is read along one index.
Where that index does not serve all of a filter, no more than :data:`EXAMINED` of its rows are
looked at for a page: it may then have fewer jobs than asked for, or none, and not be the last one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pywps_hpc.jobs.job import ACTIVE, ControlRequest, Job, State
from pywps_hpc.jobs.rows import to_job
from pywps_hpc.jobs.schema import jobs
from pywps_hpc.jobs.standing import PublicState
from pywps_hpc.jobs.table import Table

#: Where a page begins: none, or after the job of this time of acceptance and this id.
CURSOR = r"^(?:([0-9]{1,20}\.[0-9]{1,20})_([0-9a-f-]{0,36}))?$"
#: Rows to look at for one page, where not all of them match: each may cost a read from the disk.
EXAMINED = 500
#: Parts of a list of several processes at most; beyond it processes are looked at row by row.
PARTS = 16

_Condition = sa.ColumnElement[bool]
_IS_DISMISSED = jobs.c.control == ControlRequest.DISMISS.value
#: Where a job stands by its row alone, unless a dismissal is recorded.
_STATES = {
    State.STAGING: PublicState.ACCEPTED,
    State.ACCEPTED: PublicState.ACCEPTED,
    State.SUBMITTING: PublicState.ACCEPTED,
    State.QUEUED: PublicState.QUEUED,
    State.RUNNING: PublicState.RUNNING,
    State.PAUSED: PublicState.PAUSED,
    State.SUCCEEDED: PublicState.SUCCEEDED,
    State.FAILED: PublicState.FAILED,
    State.DISMISSED: PublicState.DISMISSED,
}


@dataclass(frozen=True)
class Filter:
    """Which jobs are wanted; without any value: all. Times are seconds since the epoch (UTC).

    Attributes:
        owner: whose; ``None``: everybody's.
        states: where they stand for their clients, by their rows; empty: anywhere.
        processes: identifiers; empty: any.
        since, until: when they were accepted, both included.
        min_duration, max_duration: seconds for which they have run, both included; a job that has
            not begun has no duration.
        recorded: where they stand in the job table, for administrators; empty: anywhere. Counts
            instead of ``states``.
    """

    owner: str | None = None
    states: frozenset[PublicState] = frozenset()
    processes: frozenset[str] = frozenset()
    since: float | None = None
    until: float | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    recorded: frozenset[State] = frozenset()


@dataclass(frozen=True)
class Page:
    """A part of the list.

    Attributes:
        jobs: newest first.
        after: where the next page begins, for :meth:`Listing.page`; empty if this is the last one.
    """

    jobs: tuple[Job, ...]
    after: str = ""


@dataclass(frozen=True)
class _Part:
    """What one index gives in the order of the list, and what is left to be asked of each row."""

    index: tuple[_Condition, ...]
    rest: tuple[_Condition, ...]


class Listing(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` can list."""

    def listed(self, wanted: Filter, limit: int) -> Iterator[Job]:
        """The first jobs of a list, read page by page.

        Args:
            wanted: which jobs.
            limit: jobs at most.
        """
        after, left = "", limit
        while left > 0:
            found = self.page(wanted, min(left, EXAMINED), after)
            yield from found.jobs
            after, left = found.after, left - len(found.jobs)
            if not after:
                return

    def page(self, wanted: Filter, limit: int, after: str = "") -> Page:
        """The next jobs of a list.

        Args:
            wanted: which jobs; the same for all pages of a list.
            limit: jobs at most.
            after: of the page before; empty for the first one.

        Raises:
            ValueError: ``after`` is of no page.
        """
        bounds = tuple(_bounds(wanted, after))
        parts = list(_parts(wanted, time.time()))
        with self._begin() as connection:
            horizon = _horizon(connection, [part for part in parts if part.rest], bounds)
            if horizon is not None:
                bounds += (jobs.c.created >= horizon,)
            rows = _rows(connection, parts, bounds, limit + 1)
        rows.sort(key=lambda row: (row.created, row.id), reverse=True)
        if len(rows) > limit:
            return Page(tuple(rows[:limit]), _cursor(rows[limit - 1].created, rows[limit - 1].id))
        return Page(tuple(rows), "" if horizon is None else _cursor(horizon, ""))


def _rows(
    connection: Connection, parts: Sequence[_Part], bounds: Sequence[_Condition], limit: int
) -> list[Job]:
    """The first jobs of each part, in no order."""
    queries = [
        sa.select(jobs)
        .where(*part.index, *part.rest, *bounds)
        .order_by(jobs.c.created.desc(), jobs.c.id.desc())
        .limit(limit)
        for part in parts
    ]
    return [to_job(row) for row in connection.execute(_at_once(queries)).mappings()]


def _horizon(
    connection: Connection, parts: Sequence[_Part], bounds: Sequence[_Condition]
) -> float | None:
    """When the last job was accepted that is looked at for this page; ``None``: all are."""
    queries = [
        sa.select(jobs.c.created)
        .where(*part.index, *bounds)
        .order_by(jobs.c.created.desc())
        .limit(1)
        .offset(EXAMINED - 1)
        for part in parts
    ]
    return max(connection.execute(_at_once(queries)).scalars(), default=None) if parts else None


def _at_once(queries: Sequence[sa.Select[Any]]) -> sa.Select[Any]:
    """One query for all of them: each way to a database server and back takes its time."""
    if len(queries) == 1:
        return queries[0]
    return sa.select(sa.union_all(*(sa.select(query.subquery()) for query in queries)).subquery())


def _parts(wanted: Filter, now: float) -> Iterator[_Part]:
    """The list in parts, each of which one index gives in its order."""
    states, rest = _states(wanted.states), tuple(_spans(wanted, now))
    if wanted.recorded:
        states = dict.fromkeys(sorted(wanted.recorded, key=lambda state: state.value), ())
    processes = sorted(wanted.processes)
    lines: list[tuple[_Condition, ...]]
    if wanted.owner is not None or len(processes) * max(1, len(states)) > PARTS:
        lines = [() if wanted.owner is None else (jobs.c.owner == wanted.owner,)]
        rest += (_either(jobs.c.process, processes),) if processes else ()
    else:
        lines = [(jobs.c.process == identifier,) for identifier in processes] or [()]
    for line in lines:
        if not states:
            yield _Part(line, rest)
        for state, dismissed in states.items():
            yield _Part((*line, jobs.c.state == state.value), (*rest, *dismissed))


def _states(wanted: frozenset[PublicState]) -> dict[State, tuple[_Condition, ...]]:
    """The states of rows that show as these, each with what else has to hold of the row."""
    found: dict[State, tuple[_Condition, ...]] = {}
    for state, shown in _STATES.items():
        if state not in ACTIVE:
            if shown in wanted:
                found[state] = ()
        elif shown in wanted and PublicState.DISMISSED in wanted:
            found[state] = ()
        elif shown in wanted:
            found[state] = (sa.not_(_IS_DISMISSED),)
        elif PublicState.DISMISSED in wanted:
            found[state] = (_IS_DISMISSED,)
    return found


def _either(column: sa.Column[str], values: Sequence[str]) -> _Condition:
    """Whether a column has one of these values; written such that no index is used for it, since
    that would be another one than the list is read along."""
    text = sa.func.coalesce(column, "")
    return reduce(sa.or_, [text == value for value in values], sa.false())


def _spans(wanted: Filter, now: float) -> Iterator[_Condition]:
    end = sa.case((jobs.c.finished > 0, jobs.c.finished), else_=now)
    if wanted.min_duration is not None or wanted.max_duration is not None:
        yield jobs.c.started > 0
    if wanted.min_duration is not None:
        yield end - jobs.c.started >= wanted.min_duration
    if wanted.max_duration is not None:
        yield end - jobs.c.started <= wanted.max_duration


def _bounds(wanted: Filter, after: str) -> Iterator[_Condition]:
    """The times between which a page lies."""
    if wanted.since is not None:
        yield jobs.c.created >= wanted.since
    if wanted.until is not None:
        yield jobs.c.created <= wanted.until
    if after:
        created, job_id = read_cursor(after)
        yield jobs.c.created <= created
        yield sa.or_(jobs.c.created < created, jobs.c.id < job_id)


def _cursor(created: float, job_id: str) -> str:
    return f"{created!r}_{job_id}"


def read_cursor(text: str) -> tuple[float, str]:
    """The time of acceptance and the id of the job after which a page begins.

    Raises:
        ValueError: it is of no page.
    """
    found = re.fullmatch(CURSOR, text)
    if found is None:
        raise ValueError("this is no place in the list of jobs")
    return float(found[1]), found[2]
