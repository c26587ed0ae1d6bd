"""Questions about the jobs: each reads, none changes anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pywps_hpc.jobs.job import TERMINAL, InLine, Job, State
from pywps_hpc.jobs.rows import (
    AT_ONCE,
    COLUMNS,
    IS_ENDED,
    IS_REQUESTED,
    of_values,
    to_job,
)
from pywps_hpc.jobs.schema import jobs, removed
from pywps_hpc.jobs.table import Table


def _newest(state: State) -> sa.ScalarSelect[Any]:
    return (
        sa.select(sa.func.max(jobs.c.created)).where(jobs.c.state == state.value).scalar_subquery()
    )


#: In this form each is one step along an index, however many jobs there are.
_NEWEST = sa.select(_newest(State.STAGING), _newest(State.ACCEPTED))
_REQUESTS = sa.select(jobs.c.id, jobs.c.control).where(IS_REQUESTED)
_ENDS = sa.select(jobs.c.id, jobs.c.state).where(jobs.c.end_seen > 0)


@dataclass(frozen=True)
class Waiting:
    """What waits for the dispatcher.

    Attributes:
        newest: when the youngest job was accepted that is to be submitted, seconds since the epoch;
            0 if there is none.
        requests: id and control request of each active job that has one.
        ends: ids of active jobs for which :meth:`~pywps_hpc.jobs.JobStore.saw_end` was called.
    """

    newest: float
    requests: frozenset[tuple[str, str]]
    ends: frozenset[str] = frozenset()

    def has_more_than(self, earlier: Waiting) -> bool:
        """Whether something came since then."""
        return self.newest > earlier.newest or bool(self.requests - earlier.requests)


#: The job at an address; made once, since it is asked with every look at a status document. A
#: program of the previous version, which may still run, does not set the column.
_AT = sa.select(*COLUMNS).where(
    sa.or_(
        jobs.c.access == sa.bindparam("address"),
        sa.and_(jobs.c.access.is_(None), jobs.c.id == sa.bindparam("address")),
    )
)
#: The same, if it is this user's or nobody's.
_AT_OF_USER = _AT.where(sa.or_(jobs.c.owner == "", jobs.c.owner == sa.bindparam("user")))


class Queries(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` can be asked about jobs."""

    def get(self, job_id: str) -> Job | None:
        """The job of this id, or ``None``."""
        found = self._select(jobs.c.id == job_id)
        return found[0] if found else None

    def at(self, access: str, user: str | None = None) -> Job | None:
        """The job that clients find at this address, or ``None``.

        Args:
            user: who asks, if not everybody's job is shown: an account, or nobody's if empty. Of
                somebody else's job no more is read than of one that does not exist.
        """
        query = _AT if user is None else _AT_OF_USER
        found = self._first(query, {"address": access, "user": user})
        return None if found is None else of_values(tuple(found.values()))

    def was_removed(self, access: str, owner: str) -> bool:
        """Whether there was a job of this owner at this address, as long as that is remembered."""
        query = sa.select(removed.c.access).where(
            removed.c.access == access, removed.c.owner == owner, removed.c.owner != ""
        )
        with self._begin() as connection:
            return connection.execute(query).first() is not None

    def find(self, text: str, *, limit: int | None = 20) -> list[Job]:
        """Jobs that an administrator may mean: by their id or its beginning, by what stands for
        them in the address that their client has, by their name in the queue, or by the batch
        system's id (of an array: all of its elements), newest first."""
        means = [jobs.c.name == text, jobs.c.native_id == text, jobs.c.access == text.lower()]
        if re.fullmatch(r"[0-9A-Fa-f-]+", text):
            means.append(jobs.c.id.startswith(text.lower(), autoescape=True))
        if text[:1].isdigit():  # 7.server, 7[1].server, 7_1, 7.1
            means += [jobs.c.native_id.startswith(text + end, autoescape=True) for end in "._["]
        return self._select(sa.or_(*means), jobs.c.created.desc(), limit=limit)

    def retries(self, job_id: str) -> list[Job]:
        """The jobs that repeat this one, oldest first."""
        return self._select(sa.and_(jobs.c.retry_of == job_id, jobs.c.retry_of != ""))

    def in_state(
        self,
        states: Collection[State],
        *,
        limit: int | None = None,
        known: dict[tuple[Any, ...], Job] | None = None,
    ) -> list[Job]:
        """Jobs in any of these states, oldest first.

        Args:
            limit: how many at most.
            known: what this was answered before, by the rows: of rows that are the same the same
                objects are answered. It is brought up to date.
        """
        condition = jobs.c.state.in_([s.value for s in states])
        return self._select(condition, limit=limit, known=known)

    def recent(self, limit: int = 100) -> list[Job]:
        """The jobs accepted last, newest first."""
        return self._select(sa.true(), jobs.c.created.desc(), limit=limit)

    def between(
        self,
        owner: str | None,
        processes: Collection[str],
        since: float | None,
        until: float | None,
    ) -> Iterator[Job]:
        """Jobs accepted between these times, both included, in no order: read a part at a time.

        Args:
            owner, since, until: ``None``: whatever it is.
            processes: identifiers; empty: any.
        """
        means: list[sa.ColumnElement[bool]] = [sa.true()]
        means += [jobs.c.owner == owner] if owner is not None else []
        means += [jobs.c.process.in_(list(processes))] if processes else []
        means += [jobs.c.created >= since] if since is not None else []
        means += [jobs.c.created <= until] if until is not None else []
        query = sa.select(jobs).where(*means).execution_options(yield_per=1000)
        with self._begin() as connection:
            yield from map(to_job, connection.execute(query).mappings())

    def requested(self) -> list[Job]:
        """Active jobs that have a control request."""
        return self._select(IS_REQUESTED)

    def waiting(self) -> Waiting:
        """What waits for the dispatcher rather than for the batch system; costs no whole rows."""
        with self._begin() as connection:
            newest = connection.execute(_NEWEST).one()
            found = connection.execute(_REQUESTS).all()
            ends = connection.execute(_ENDS).all()
        return Waiting(
            newest=max(created or 0.0 for created in newest),
            requests=frozenset((job_id, request) for job_id, request in found),
            ends=frozenset(job_id for job_id, state in ends if State(state) not in TERMINAL),
        )

    def line(self, state: State) -> tuple[int, float]:
        """How many jobs are in this state, and when the youngest of them was accepted; read along
        an index alone."""
        query = sa.select(sa.func.count(), sa.func.max(jobs.c.created))
        with self._begin() as connection:
            count, newest = connection.execute(query.where(jobs.c.state == state.value)).one()
        return count, newest or 0.0

    def in_line(self, state: State) -> list[InLine]:
        """The jobs in this state, oldest first, with no more than it takes to choose among very
        many of them."""
        query = sa.select(*(jobs.c[name] for name in InLine._fields))
        query = query.where(jobs.c.state == state.value).order_by(jobs.c.created, jobs.c.id)
        with self._begin() as connection:
            return [InLine(*row) for row in connection.execute(query)]

    def those(self, job_ids: Sequence[str]) -> list[Job]:
        """The jobs of these ids that there are, in this order."""
        found: dict[str, Job] = {}
        for start in range(0, len(job_ids), AT_ONCE):
            wanted = jobs.c.id.in_(job_ids[start : start + AT_ONCE])
            found |= {job.id: job for job in self._select(wanted)}
        return [found[job_id] for job_id in job_ids if job_id in found]

    def ended(self, *, limit: int | None = None) -> list[Job]:
        """Jobs that are over; those that ended first come first."""
        return self._select(IS_ENDED, jobs.c.finished, jobs.c.id, limit=limit)

    def unmeasured(self, *, limit: int | None = None) -> list[Job]:
        """Jobs that are over, and whose folder's size is not known yet."""
        return self._select(sa.and_(jobs.c.size.is_(None), IS_ENDED), limit=limit)

    def ended_size(self) -> int:
        """Bytes in the folders of all jobs that are over, as far as they have been counted."""
        query = sa.select(sa.func.coalesce(sa.func.sum(jobs.c.size), 0)).where(IS_ENDED)
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def count(self) -> dict[State, int]:
        """How many jobs there are in each state."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        with self._begin() as connection:
            found = {State(state): int(number) for state, number in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def count_by_process(self) -> dict[tuple[str, str], int]:
        """How many jobs there are, by process identifier and state; those with none are left
        out."""
        query = sa.select(jobs.c.process, jobs.c.state, sa.func.count())
        with self._begin() as connection:
            found = connection.execute(query.group_by(jobs.c.process, jobs.c.state))
            return {(str(process), str(state)): int(number) for process, state, number in found}

    def oldest(self, state: State, since: str) -> float:
        """The earliest time in a column of the jobs in this state; 0 if there are none."""
        query = sa.select(sa.func.min(jobs.c[since])).where(jobs.c.state == state.value)
        with self._begin() as connection:
            return float(connection.execute(query).scalar() or 0.0)

    def _select(
        self,
        condition: sa.ColumnElement[bool],
        *order: sa.ColumnElement[Any],
        limit: int | None = None,
        known: dict[tuple[Any, ...], Job] | None = None,
    ) -> list[Job]:
        """Jobs of which this is true, oldest first unless another order is wanted."""
        query = sa.select(*COLUMNS).where(condition).limit(limit)
        query = query.order_by(*(order or (jobs.c.created, jobs.c.id)))
        with self._begin() as connection, connection.execute(query) as result:
            # As the driver gives them: SQLAlchemy's rows take a fifth of a turn.
            found = [] if result.cursor is None else result.cursor.fetchall()
        if known is None:
            return [of_values(row) for row in found]
        fresh = {row: known.get(row) or of_values(row) for row in found}
        known.clear()
        known |= fresh
        return list(fresh.values())
