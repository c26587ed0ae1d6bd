"""Changes of the jobs.

A state changes only by :meth:`Changes.move`, a compare-and-set in one statement, so that two
dispatchers, or a dispatcher and a web worker, can never both believe that they changed it, and
nothing turns a finished job back.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pywps_hpc.jobs import callbacks
from pywps_hpc.jobs.adding import Adding
from pywps_hpc.jobs.job import (
    TERMINAL,
    TRANSITIONS,
    ControlRequest,
    Job,
    State,
)
from pywps_hpc.jobs.rows import (
    AT_ONCE,
    COLUMNS,
    IS_ACTIVE,
    IS_ENDED,
    of_values,
    storable,
)
from pywps_hpc.jobs.schema import jobs, removed

#: Ends that a job cannot come to once its dismissal is recorded.
_UNDISMISSED = frozenset({State.SUCCEEDED, State.FAILED})
#: Names of parameters of an update that are no columns.
_ID, _STATE, _REQUEST = "its_id", "its_state", "its_request"


@dataclass(frozen=True)
class Change:
    """A change of one job, made if its row still says what it was decided on (compare-and-set).

    Attributes:
        job: as last read: its row has to be in this state still.
        to: the new state, which must be allowed by :data:`TRANSITIONS`; ``None``: it stays. A job
            of which a dismissal is recorded neither succeeds nor fails: that holds.
        columns: what is set besides.
        request: the control request that has to stand still; ``None``: whatever it is.
    """

    job: Job
    to: State | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    request: ControlRequest | None = None


class Changes(Adding):
    """What :class:`~pywps_hpc.jobs.store.JobStore` can change about jobs."""

    def move(self, job: Job, to: State, **changes: Any) -> Job | None:
        """Change a job's state, if it is still in the state that ``job`` says.

        Args:
            job: the job as last read.
            to: the new state; must be allowed by :data:`TRANSITIONS`.
            changes: other columns to set along with it.

        Returns:
            The job as it is now, or ``None`` when somebody else changed its state first, or when
            it was to succeed or fail and a dismissal has been recorded: that holds.

        Raises:
            ValueError: the transition is not one of :data:`TRANSITIONS`.
        """
        moved = self.move_all([(job, to, changes)])
        return moved[0] if moved else None

    def move_all(self, moves: Iterable[tuple[Job, State, Mapping[str, Any]]]) -> list[Job]:
        """Many of :meth:`move` in one transaction.

        Args:
            moves: for each the job as last read, its new state, and other columns to set.

        Returns:
            The jobs that moved, as they are now, in the same order.

        Raises:
            ValueError: a transition is not one of :data:`TRANSITIONS`; nothing is changed.
        """
        return self._change([Change(job, to, columns) for job, to, columns in moves])

    def note(self, job: Job, **columns: Any) -> Job | None:
        """Set columns of a job that stays in its state; ``None`` if it no longer is in it."""
        noted = self._change([Change(job, columns=columns)])
        return noted[0] if noted else None

    def apply(self, changes: Sequence[Change]) -> list[bool]:
        """Make many changes in one transaction, in this order.

        Returns:
            For each whether it was made.

        Raises:
            ValueError: a transition is not one of :data:`TRANSITIONS`; nothing is changed.
        """
        if not changes:
            return []
        with self._begin(write=True) as connection:
            return [_update(connection, change) for change in changes]

    def _change(self, changes: Sequence[Change]) -> list[Job]:
        """As :meth:`apply`; the jobs that changed, as they are now."""
        if not changes:
            return []
        with self._begin(write=True) as connection:
            made = [each.job.id for each in changes if _update(connection, each)]
            rows: dict[str, Job] = {}
            for start in range(0, len(made), AT_ONCE):
                wanted = jobs.c.id.in_(made[start : start + AT_ONCE])
                found = connection.execute(sa.select(*COLUMNS).where(wanted))
                rows |= {job.id: job for job in map(of_values, found)}
        return [rows[job_id] for job_id in made]

    def request(self, job_id: str, request: ControlRequest) -> bool:
        """Ask the dispatcher to do something; false if the job is over or unknown.

        A dismissal cannot be taken back by a later pause or resume. From the moment at which it is
        recorded the job can end in no other way, see :meth:`move`.
        """
        return self.request_all([job_id], request) == {job_id}

    def request_all(self, job_ids: Iterable[str], request: ControlRequest) -> set[str]:
        """Many of :meth:`request` in one transaction; the ids of the jobs that it was noted of."""
        allowed = (
            sa.true()
            if request is ControlRequest.DISMISS
            else jobs.c.control != ControlRequest.DISMISS.value
        )
        statement = (
            jobs.update()
            .where(allowed, IS_ACTIVE)
            .values(control=request.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            recorded = {
                job_id
                for job_id in job_ids
                if connection.execute(statement.where(jobs.c.id == job_id)).rowcount == 1
            }
        if recorded:
            self._wake_leader()
        return recorded

    def saw_end(self, job_id: str) -> bool:
        """Let the dispatcher ask the batch system about a job whose document tells an end; false
        if that was noted before, or the job is over."""
        statement = (
            jobs.update()
            .where(jobs.c.id == job_id, jobs.c.end_seen == 0, IS_ACTIVE)
            .values(end_seen=int(time.time()))
        )
        with self._begin(write=True) as connection:
            noted = connection.execute(statement).rowcount == 1
        if noted:
            self._wake_leader()
        return noted

    def forget_absences(self) -> int:
        """Let the grace of every job that is missing begin anew: the clock by which it was counted
        is another one now. How many there were."""
        statement = jobs.update().where(jobs.c.missing_since != 0).values(missing_since=0.0)
        with self._begin(write=True) as connection:
            return int(connection.execute(statement).rowcount)

    def remove(self, job_id: str) -> bool:
        """Forget a finished job; false if it is active or unknown.

        That it was there is remembered for its owner, see :meth:`forget_removed`.
        """
        known = sa.select(jobs.c.access, jobs.c.owner).where(jobs.c.id == job_id, IS_ENDED)
        with self._begin(write=True) as connection:
            found = connection.execute(known).first()
            statement = jobs.delete().where(jobs.c.id == job_id, IS_ENDED)
            if found is None or connection.execute(statement).rowcount != 1:
                return False
            if found.owner and found.access:
                row = {"access": found.access, "owner": found.owner, "removed": time.time()}
                connection.execute(removed.delete().where(removed.c.access == found.access))
                connection.execute(removed.insert().values(row))
            callbacks.forget(connection, job_id)
            return True

    def forget_removed(self, before: float) -> int:
        """Forget the jobs that were removed before this moment (seconds since the epoch); how many
        there were."""
        statement = removed.delete().where(removed.c.removed < before)
        with self._begin(write=True) as connection:
            return int(connection.execute(statement).rowcount)


def _update(connection: Connection, change: Change) -> bool:
    """Compare-and-set one row; whether that was done."""
    job, to = change.job, change.to
    columns = {**change.columns, "changed": time.time()}
    if to is not None:
        if to not in TRANSITIONS.get(job.state, ()):
            raise ValueError(f"{job.id}: {job.state.value} cannot change to {to.value}")
        columns["state"] = to.value
        columns.setdefault("waits", "")  # it was true of the state before
        if to in TERMINAL:
            columns["control"] = ControlRequest.NONE.value
    columns |= storable(columns)
    fences = {_ID: job.id, _STATE: job.state.value}
    if change.request is not None:
        fences[_REQUEST] = change.request.value
    statement = _statement(tuple(columns), _REQUEST in fences, to in _UNDISMISSED)
    if connection.execute(statement, columns | fences).rowcount != 1:
        return False
    if job.callbacks and to is not None:
        callbacks.came(connection, job.id, to)
    return True


@functools.cache
def _statement(columns: tuple[str, ...], requested: bool, undismissed: bool) -> sa.Update:
    """An update of these columns: put in words once, since there are many with the same ones."""
    fences = [jobs.c.id == sa.bindparam(_ID), jobs.c.state == sa.bindparam(_STATE)]
    if requested:
        fences.append(jobs.c.control == sa.bindparam(_REQUEST))
    if undismissed:
        fences.append(jobs.c.control != ControlRequest.DISMISS.value)
    return jobs.update().where(*fences).values({name: sa.bindparam(name) for name in columns})
