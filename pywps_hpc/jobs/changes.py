"""Changes of the jobs.

A state changes only by :meth:`Changes.move`, a compare-and-set in one statement, so that two
dispatchers, or a dispatcher and a web worker, can never both believe that they changed it, and
nothing turns a finished job back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pywps_hpc.jobs import callbacks
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.jobs.database import Lock
from pywps_hpc.jobs.job import TRANSITIONS, ControlRequest, Job, Limit, LimitReached, State
from pywps_hpc.jobs.queries import first_reached
from pywps_hpc.jobs.rows import IS_ACTIVE, IS_ENDED, storable, to_job, to_row
from pywps_hpc.jobs.schema import jobs, removed
from pywps_hpc.jobs.table import Table

#: Ends that a job cannot come to once its dismissal is recorded.
_UNDISMISSED = frozenset({State.SUCCEEDED.value, State.FAILED.value})


class Changes(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` can change about jobs."""

    def add(
        self, job: Job, limits: Sequence[Limit] = (), urls: Mapping[Event, str] | None = None
    ) -> Job:
        """Record a job that was just accepted, if no limit forbids it.

        Active jobs are counted in the transaction that records this one, and only one such
        transaction goes on at a time: however many come at once, no limit is exceeded.

        Args:
            urls: the addresses that are told of it, by the event.

        Returns:
            The job as recorded.

        Raises:
            LimitReached: it would be one too many; it is not recorded.
        """
        now = time.time()
        row = to_row(job) | {"created": job.created or now, "changed": now}
        row["callbacks"] = len(urls or ())
        with self._begin(write=True, lock=Lock.ADMISSION if limits else None) as connection:
            if (limit := first_reached(connection, limits)) is not None:
                raise LimitReached(limit)
            connection.execute(jobs.insert().values(row))
            callbacks.add(connection, job.id, urls or {})
        return to_job(row)

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
        moved = []
        with self._begin(write=True) as connection:
            for job, to, changes in moves:
                if to not in TRANSITIONS.get(job.state, ()):
                    raise ValueError(f"{job.id}: {job.state.value} cannot change to {to.value}")
                moved.append(_update(connection, job, {**changes, "state": to.value}))
        return [job for job in moved if job is not None]

    def note(self, job: Job, **changes: Any) -> Job | None:
        """Set columns of a job that stays in its state; ``None`` if it no longer is in it."""
        with self._begin(write=True) as connection:
            return _update(connection, job, changes)

    def request(self, job_id: str, request: ControlRequest) -> bool:
        """Ask the dispatcher to do something; false if the job is over or unknown.

        A dismissal cannot be taken back by a later pause or resume. From the moment at which it is
        recorded the job can end in no other way, see :meth:`move`.
        """
        allowed = (
            sa.true()
            if request is ControlRequest.DISMISS
            else jobs.c.control != ControlRequest.DISMISS.value
        )
        statement = (
            jobs.update()
            .where(jobs.c.id == job_id, allowed)
            .where(IS_ACTIVE)
            .values(control=request.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def clear_request(self, job: Job) -> bool:
        """Forget a control request that was carried out; false if there is another one by now."""
        statement = (
            jobs.update()
            .where(jobs.c.id == job.id, jobs.c.control == job.control.value)
            .values(control=ControlRequest.NONE.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def saw_end(self, job_id: str) -> bool:
        """Let the dispatcher ask the batch system about a job whose document tells an end; false
        if that was noted before, or the job is over."""
        statement = (
            jobs.update()
            .where(jobs.c.id == job_id, jobs.c.end_seen == 0, IS_ACTIVE)
            .values(end_seen=int(time.time()))
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

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


def _update(connection: Connection, job: Job, changes: Mapping[str, Any]) -> Job | None:
    """Compare-and-set: change a row if it is still in the state that ``job`` says, and no
    dismissal forbids it."""
    allowed: sa.ColumnElement[bool] = sa.true()
    if changes.get("state") in _UNDISMISSED:
        allowed = jobs.c.control != ControlRequest.DISMISS.value
    statement = (
        jobs.update()
        .where(jobs.c.id == job.id, jobs.c.state == job.state.value, allowed)
        .values({**changes, "changed": time.time()} | storable(changes))
    )
    if connection.execute(statement).rowcount != 1:
        return None
    if job.callbacks and "state" in changes:
        callbacks.came(connection, job.id, State(changes["state"]))
    row = connection.execute(sa.select(jobs).where(jobs.c.id == job.id)).mappings().one()
    return to_job(row)
