"""The jobs in a database.

One row a job. A state changes only by :meth:`JobStore.move`, a compare-and-set in one statement, so
that two dispatchers, or a dispatcher and a web worker, can never both believe that they changed it,
and nothing turns a finished job back.
"""

from __future__ import annotations

import copy
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pywps_hpc.jobs import schema
from pywps_hpc.jobs.database import Lock, begin, clock, connect
from pywps_hpc.jobs.job import (
    ACTIVE,
    TERMINAL,
    TRANSITIONS,
    ControlRequest,
    Job,
    Limit,
    LimitReached,
    State,
)
from pywps_hpc.jobs.leader import Leader, Reach
from pywps_hpc.jobs.schema import dispatcher as _dispatcher
from pywps_hpc.jobs.schema import facts as _facts
from pywps_hpc.jobs.schema import jobs as _jobs

_ROLE = "dispatcher"
_ENDED = _jobs.c.state.in_([state.value for state in TERMINAL])
_ACTIVE = _jobs.c.state.in_([state.value for state in ACTIVE])
#: Ends that a job cannot come to once its dismissal is recorded.
_UNDISMISSED = frozenset({State.SUCCEEDED.value, State.FAILED.value})


class LeadershipLost(Exception):
    """Somebody else is the dispatcher now: this one must not do anything more."""


@dataclass(frozen=True)
class Waiting:
    """What waits for the dispatcher.

    Attributes:
        newest: when the youngest job was accepted that is to be submitted, seconds since the epoch;
            0 if there is none.
        requests: id and control request of each active job that has one.
    """

    newest: float
    requests: frozenset[tuple[str, str]]

    def has_more_than(self, earlier: Waiting) -> bool:
        """Whether something came since then."""
        return self.newest > earlier.newest or bool(self.requests - earlier.requests)


class JobStore:
    """The job table in a database. Safe to use from several threads, processes and hosts.

    Every method raises :class:`~pywps_hpc.jobs.database.TableUnavailable` when the database cannot
    be asked, or is locked for too long.

    Args:
        url: SQLAlchemy database URL. SQLite is put into WAL mode and must lie on a local disk.
        timeout: seconds to wait for a server, and for a lock that somebody else holds.
        read_only: whether nothing is to be made or changed, not even a file.
    """

    def __init__(self, url: str, timeout: float = 15.0, *, read_only: bool = False) -> None:
        self.url, self.timeout, self.read_only = url, timeout, read_only
        self._engine: tuple[int, Engine] | None = None
        self._is_prepared = False
        self._holder: str | None = None

    @property
    def engine(self) -> Engine:
        """This process's engine: connections must not be shared across a fork (gunicorn)."""
        if self._engine is None or self._engine[0] != os.getpid():
            self._engine = os.getpid(), connect(self.url, self.timeout, read_only=self.read_only)
        return self._engine[1]

    def create(self) -> None:
        """Make the tables, or bring those of an earlier version to the present one.

        Raises:
            SchemaTooNew: they are of a later version.
            TableMissing, SchemaTooOld: that would have to be done, and this one only reads.
        """
        if self.read_only:
            schema.require(self.engine)
        else:
            schema.prepare(self.engine)
        self._is_prepared = True

    @contextmanager
    def _begin(self, *, write: bool = False, lock: Lock | None = None) -> Iterator[Connection]:
        """One transaction, see :func:`~pywps_hpc.jobs.database.begin`."""
        if not self._is_prepared:  # the database did not answer when this program started
            self.create()
        with begin(self.engine, write=write, lock=lock) as connection:
            if write:
                self._require_leadership(connection)
            yield connection

    def _require_leadership(self, connection: Connection) -> None:
        """Until the transaction ends nobody can take the leadership over (see :meth:`led_by`)."""
        if self._holder is not None:
            query = sa.select(_dispatcher.c.holder).with_for_update(read=True)
            if connection.execute(query).scalar() != self._holder:
                raise LeadershipLost

    def led_by(self, holder: str) -> JobStore:
        """The same table for a dispatcher: it changes jobs only while it leads.

        Whoever was stopped for long and goes on without knowing that it was replaced has each
        change refused by the same transaction that would make it.

        Args:
            holder: its name, as in :meth:`lead`.

        Returns:
            A job table of which every method that writes may raise :class:`LeadershipLost`.
        """
        assert self.engine  # both share it
        led = copy.copy(self)
        led._holder = holder
        return led

    def add(self, job: Job, limits: Sequence[Limit] = ()) -> Job:
        """Record a job that was just accepted, if no limit forbids it.

        Active jobs are counted in the transaction that records this one, and only one such
        transaction goes on at a time: however many come at once, no limit is exceeded.

        Returns:
            The job as recorded.

        Raises:
            LimitReached: it would be one too many; it is not recorded.
        """
        now = time.time()
        row = _row(job) | {"created": job.created or now, "changed": now}
        with self._begin(write=True, lock=Lock.ADMISSION if limits else None) as connection:
            if (limit := _reached(connection, limits)) is not None:
                raise LimitReached(limit)
            connection.execute(_jobs.insert().values(row))
        return _job(row)

    def reached(self, limits: Sequence[Limit]) -> Limit | None:
        """The limit that one more job would exceed now, if any; :meth:`add` has the last word."""
        if not limits:
            return None
        with self._begin() as connection:
            return _reached(connection, limits)

    def get(self, job_id: str) -> Job | None:
        """The job of this id, or ``None``."""
        found = self._select(_jobs.c.id == job_id)
        return found[0] if found else None

    def at(self, access: str) -> Job | None:
        """The job that clients find at this address, or ``None``."""
        # A program of the version before, which may still run beside, knows no such column.
        former = sa.and_(_jobs.c.access.is_(None), _jobs.c.id == access)
        found = self._select(sa.or_(_jobs.c.access == access, former))
        return found[0] if found else None

    def find(self, text: str, *, limit: int = 20) -> list[Job]:
        """Jobs that an administrator may mean: by their id or its beginning, by what stands for
        them in the address that their client has, by their name in the queue, or by the batch
        system's id (of an array: all of its elements), newest first."""
        means = [_jobs.c.name == text, _jobs.c.native_id == text, _jobs.c.access == text.lower()]
        if re.fullmatch(r"[0-9A-Fa-f-]+", text):
            means.append(_jobs.c.id.startswith(text.lower(), autoescape=True))
        if text[:1].isdigit():  # 7.server, 7[1].server, 7_1, 7.1
            means += [_jobs.c.native_id.startswith(text + end, autoescape=True) for end in "._["]
        return self._select(sa.or_(*means), _jobs.c.created.desc(), limit=limit)

    def in_state(self, states: Collection[State], *, limit: int | None = None) -> list[Job]:
        """Jobs in any of these states, oldest first."""
        return self._select(_jobs.c.state.in_([s.value for s in states]), limit=limit)

    def recent(self, limit: int = 100) -> list[Job]:
        """The jobs accepted last, newest first."""
        return self._select(sa.true(), _jobs.c.created.desc(), limit=limit)

    def requested(self) -> list[Job]:
        """Active jobs that have a control request."""
        return self._select(sa.and_(_jobs.c.control != "", _ACTIVE))

    def waiting(self) -> Waiting:
        """What waits for the dispatcher rather than for the batch system; costs no whole rows."""
        newest = sa.select(sa.func.max(_jobs.c.created)).where(
            _jobs.c.state.in_([State.STAGING.value, State.ACCEPTED.value])
        )
        requests = sa.select(_jobs.c.id, _jobs.c.control).where(_jobs.c.control != "", _ACTIVE)
        with self._begin() as connection:
            found = connection.execute(requests).all()
            return Waiting(
                newest=connection.execute(newest).scalar() or 0.0,
                requests=frozenset((job_id, request) for job_id, request in found),
            )

    def ended(self, *, limit: int | None = None) -> list[Job]:
        """Jobs that are over; those that ended first come first."""
        return self._select(_ENDED, _jobs.c.finished, _jobs.c.id, limit=limit)

    def unmeasured(self, *, limit: int | None = None) -> list[Job]:
        """Jobs that are over, and whose folder's size is not known yet."""
        return self._select(sa.and_(_jobs.c.size.is_(None), _ENDED), limit=limit)

    def ended_size(self) -> int:
        """Bytes in the folders of all jobs that are over, as far as they have been counted."""
        query = sa.select(sa.func.coalesce(sa.func.sum(_jobs.c.size), 0)).where(_ENDED)
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

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
                    raise ValueError(f"{job.id}: {job.state.value} cannot turn into {to.value}")
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
            else _jobs.c.control != ControlRequest.DISMISS.value
        )
        statement = (
            _jobs.update()
            .where(_jobs.c.id == job_id, allowed)
            .where(_ACTIVE)
            .values(control=request.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def saw_end(self, job_id: str) -> bool:
        """Let the dispatcher ask the batch system about a job whose document tells an end; false
        if that was noted before, or the job is over."""
        statement = (
            _jobs.update()
            .where(_jobs.c.id == job_id, _jobs.c.end_seen == 0, _ACTIVE)
            .values(end_seen=int(time.time()))
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def end_seen(self) -> list[str]:
        """The ids of active jobs for which :meth:`saw_end` was called."""
        query = sa.select(_jobs.c.id).where(_jobs.c.end_seen > 0, _ACTIVE)
        with self._begin() as connection:
            return list(connection.execute(query).scalars())

    def clear_request(self, job: Job) -> bool:
        """Forget a control request that was carried out; false if there is another one by now."""
        statement = (
            _jobs.update()
            .where(_jobs.c.id == job.id, _jobs.c.control == job.control.value)
            .values(control=ControlRequest.NONE.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def forget_absences(self) -> int:
        """Let the grace of every job that is missing begin anew: the clock by which it was counted
        is another one now. How many there were."""
        statement = _jobs.update().where(_jobs.c.missing_since != 0).values(missing_since=0.0)
        with self._begin(write=True) as connection:
            return int(connection.execute(statement).rowcount)

    def remove(self, job_id: str) -> bool:
        """Forget a finished job; false if it is active or unknown."""
        statement = _jobs.delete().where(_jobs.c.id == job_id, _ENDED)
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def fact(self, name: str) -> str:
        """One of :meth:`facts`; empty if it is not known."""
        query = sa.select(_facts.c.value).where(_facts.c.name == name)
        with self._begin() as connection:
            return connection.execute(query).scalar() or ""

    @contextmanager
    def facts(self) -> Iterator[dict[str, str]]:
        """What is kept of the installation as a whole, by name.

        What the caller changes in the mapping is recorded at the end, unless an exception ends it;
        nobody else looks at the facts meanwhile.
        """
        with self._begin(write=True, lock=Lock.FACTS) as connection:
            query = sa.select(_facts.c.name, _facts.c.value)
            known = {str(name): str(value) for name, value in connection.execute(query)}
            facts = dict(known)
            yield facts
            for name, value in facts.items() - known.items():
                connection.execute(_facts.delete().where(_facts.c.name == name))
                connection.execute(_facts.insert().values(name=name, value=value))

    def lead(
        self,
        holder: str,
        lease: float,
        message: str = "",
        reach: Reach | None = None,
        service: str = "",
    ) -> bool:
        """Take or keep the leadership, and send a heartbeat.

        Silence is told by the database's clock, never by those of two hosts. A heartbeat from the
        future, left before that clock was set back, is none.

        Args:
            holder: who asks; unique to a process.
            lease: seconds of silence after which somebody else may take over.
            message: what the dispatcher has to say ("cannot reach slurmctld").
            reach: whether it reaches the batch system.
            service: what tells its service from others.

        Returns:
            Whether ``holder`` is the dispatcher now.
        """
        reach, heartbeat = reach or Reach(), _dispatcher.c.heartbeat
        with self._begin(write=True) as connection:
            now = clock(connection)
            mine = sa.or_(
                _dispatcher.c.holder == holder, heartbeat < now - lease, heartbeat > now + lease
            )
            own = {
                **{"holder": holder, "heartbeat": now, "message": message, "system": reach.system},
                "reachable": None if reach.reachable is None else int(reach.reachable),
                "reach_since": reach.since,
                "service": service,
            }
            own |= _storable(own)
            took = sa.case((_dispatcher.c.holder == holder, _dispatcher.c.since), else_=time.time())
            take = _dispatcher.update().where(_dispatcher.c.role == _ROLE, mine)
            take = take.values(own | {"since": took})
            if connection.execute(take).rowcount == 1:
                return True
        try:
            with self._begin(write=True) as connection:
                first = own | {"role": _ROLE, "since": time.time()}
                connection.execute(_dispatcher.insert().values(first))
        except sa.exc.IntegrityError:  # somebody holds it
            return False
        return True

    def resign(self, holder: str) -> None:
        """Give the leadership up, so that a standby need not wait for the lease to run out."""
        with self._begin(write=True) as connection:
            connection.execute(_dispatcher.delete().where(_dispatcher.c.holder == holder))

    def leader(self) -> str:
        """Who leads; empty if nobody does."""
        with self._begin() as connection:
            return connection.execute(sa.select(_dispatcher.c.holder)).scalar() or ""

    def heartbeat(self) -> tuple[float, str]:
        """Seconds since the dispatcher's last heartbeat (infinite if none), and its message."""
        leader = self.dispatcher()
        return (leader.silence, leader.message) if leader else (float("inf"), "")

    def dispatcher(self) -> Leader | None:
        """The dispatcher in charge, alive or not; ``None`` if there is none."""
        with self._begin() as connection:
            row = connection.execute(sa.select(_dispatcher)).mappings().first()
            if row is None:
                return None
            # One from the future is as far from the truth as one from the past, see lead().
            silence = abs(clock(connection) - row["heartbeat"])
        known = None if row["reachable"] is None else bool(row["reachable"])
        reach = Reach(row["system"], known, row["reach_since"])
        return Leader(row["holder"], row["since"], silence, row["message"], reach, row["service"])

    def count(self) -> dict[State, int]:
        """How many jobs there are in each state."""
        query = sa.select(_jobs.c.state, sa.func.count()).group_by(_jobs.c.state)
        with self._begin() as connection:
            found = {State(state): int(number) for state, number in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def _select(
        self,
        condition: sa.ColumnElement[bool],
        *order: sa.ColumnElement[Any],
        limit: int | None = None,
    ) -> list[Job]:
        """Jobs of which this is true, oldest first unless another order is wanted."""
        query = sa.select(_jobs).where(condition).limit(limit)
        query = query.order_by(*(order or (_jobs.c.created, _jobs.c.id)))
        with self._begin() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]


def _update(connection: Connection, job: Job, changes: Mapping[str, Any]) -> Job | None:
    """Compare-and-set: change a row if it is still in the state that ``job`` says, and no
    dismissal forbids it."""
    allowed: sa.ColumnElement[bool] = sa.true()
    if changes.get("state") in _UNDISMISSED:
        allowed = _jobs.c.control != ControlRequest.DISMISS.value
    statement = (
        _jobs.update()
        .where(_jobs.c.id == job.id, _jobs.c.state == job.state.value, allowed)
        .values({**changes, "changed": time.time()} | _storable(changes))
    )
    if connection.execute(statement).rowcount != 1:
        return None
    row = connection.execute(sa.select(_jobs).where(_jobs.c.id == job.id)).mappings().one()
    return _job(row)


def _reached(connection: Connection, limits: Sequence[Limit]) -> Limit | None:
    """The first limit that one more active job would exceed."""
    for limit in limits:
        query = sa.select(sa.func.count()).where(_ACTIVE)
        if limit.process is not None:
            query = query.where(_jobs.c.process == limit.process)
        if limit.client is not None:
            query = query.where(_jobs.c.client == limit.client)
        if connection.execute(query).scalar_one() >= limit.most:
            return limit
    return None


def _storable(columns: Mapping[str, Any]) -> dict[str, str]:
    """The text among them as PostgreSQL takes it: a batch system's words may hold anything."""
    return {k: v.replace("\0", "\ufffd") for k, v in columns.items() if isinstance(v, str)}


def _row(job: Job) -> dict[str, Any]:
    row = {f.name: getattr(job, f.name) for f in fields(Job)}
    own = {"state": job.state.value, "control": job.control.value, "access": job.access or job.id}
    return row | _storable(row) | own


def _job(row: Any) -> Job:
    found = {f.name: row[f.name] for f in fields(Job)}
    own = {"state": State(row["state"]), "control": ControlRequest(row["control"])}
    return Job(**found | own | {"access": row["access"] or row["id"]})
