"""The job table: who accepted what, where it stands, what somebody wishes to happen to it.

One row a job. A state changes only by :meth:`JobStore.move`, a compare-and-set in one statement, so
that two dispatchers, or a dispatcher and a web worker, can never both believe that they changed it,
and nothing turns a finished job back.
"""

from __future__ import annotations

import os
import secrets
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine


class State(Enum):
    """Where a job stands for us."""

    ACCEPTED = "accepted"  # spooled, recorded, answered
    SUBMITTING = "submitting"  # the scheduler is being asked; it may have the job or not
    QUEUED = "queued"  # the scheduler has it
    RUNNING = "running"
    PAUSED = "paused"  # held or suspended
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DISMISSED = "dismissed"


class Wish(Enum):
    """What a client or an administrator wants to happen; the dispatcher carries it out."""

    NONE = ""
    DISMISS = "dismiss"
    PAUSE = "pause"
    RESUME = "resume"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.DISMISSED})
ACTIVE = frozenset(State) - TERMINAL

#: state -> states it may turn into. Terminal is terminal: it has no entry.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.ACCEPTED: frozenset({State.SUBMITTING, State.PAUSED}) | TERMINAL,
    State.SUBMITTING: frozenset({State.ACCEPTED, State.QUEUED}) | TERMINAL,
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED}) | TERMINAL,
    State.RUNNING: frozenset({State.QUEUED, State.PAUSED}) | TERMINAL,
    State.PAUSED: frozenset({State.ACCEPTED, State.QUEUED, State.RUNNING}) | TERMINAL,
}


@dataclass(frozen=True)
class Job:
    """One row of the job table. Times are seconds since the epoch (UTC); 0 means not yet.

    Attributes:
        id: the job's UUID, 128 random bits.
        name: its name in the batch system.
        process: the process identifier.
        digest: SHA-256 of the dump, hexadecimal.
        owner: who sent it; empty where the service does not know.
        sync: whether the client waits on its connection.
        state: where it stands.
        wish: what is to happen to it.
        native_id: the scheduler's id; empty before it has one.
        message: the last words for the user from the batch system's side.
        missing_since: since when the scheduler does not list it; 0 when it does.
        created, submitted, started, finished: when it got there.
        changed: when this row last changed.
    """

    id: str
    name: str
    process: str
    digest: str
    owner: str = ""
    sync: bool = False
    state: State = State.ACCEPTED
    wish: Wish = Wish.NONE
    native_id: str = ""
    message: str = ""
    missing_since: float = 0.0
    created: float = 0.0
    submitted: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    changed: float = 0.0


def new_id() -> str:
    """A job id nobody can guess: 128 random bits in the form of a UUID (RFC 9562, 5.8)."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16)))


def job_name(prefix: str, job_id: str) -> str:
    """The name in the queue: at most 15 of ``[a-z0-9]``, a letter first, as TORQUE takes it."""
    return prefix + job_id.replace("-", "")[: 15 - len(prefix)]


_metadata = sa.MetaData()
_jobs = sa.Table(
    "hpc_jobs",
    _metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(15), nullable=False, index=True),
    sa.Column("process", sa.String(255), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("sync", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("wish", sa.String(12), nullable=False),
    sa.Column("native_id", sa.String(64), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("missing_since", sa.Double, nullable=False),
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Column("submitted", sa.Double, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double, nullable=False),
    sa.Column("changed", sa.Double, nullable=False),
)
_dispatcher = sa.Table(
    "hpc_dispatcher",
    _metadata,
    sa.Column("role", sa.String(16), primary_key=True),  # one row: the dispatcher in charge
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("beat", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)
_ROLE = "dispatcher"


class JobStore:
    """The job table in a database. Safe to use from several threads, processes and hosts.

    Args:
        url: SQLAlchemy database URL. SQLite is put into WAL mode and must lie on a local disk.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine: tuple[int, Engine] | None = None

    @property
    def engine(self) -> Engine:
        """This process's engine: connections must not be shared across a fork (gunicorn)."""
        if self._engine is None or self._engine[0] != os.getpid():
            self._engine = os.getpid(), _connect(self.url)
        return self._engine[1]

    def create(self) -> None:
        """Make the tables where they are missing."""
        try:
            _metadata.create_all(self.engine)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
            _metadata.create_all(self.engine)  # somebody else made them at the same moment

    @contextmanager
    def _begin(self, *, write: bool = False) -> Iterator[Connection]:
        """One transaction; one that writes says so, see :func:`_connect`."""
        with self.engine.connect().execution_options(write=write) as connection, connection.begin():
            yield connection

    def add(self, job: Job) -> Job:
        """Record a job that was just accepted; returns it as recorded."""
        now = time.time()
        row = _row(job) | {"created": job.created or now, "changed": now}
        with self._begin(write=True) as connection:
            connection.execute(_jobs.insert().values(row))
        return _job(row)

    def get(self, job_id: str) -> Job | None:
        """The job of this id, or ``None``."""
        found = self._select(_jobs.c.id == job_id)
        return found[0] if found else None

    def in_state(self, states: Collection[State], *, limit: int | None = None) -> list[Job]:
        """Jobs in any of these states, oldest first."""
        return self._select(_jobs.c.state.in_([s.value for s in states]), limit=limit)

    def recent(self, limit: int = 100) -> list[Job]:
        """The jobs accepted last, newest first."""
        query = sa.select(_jobs).order_by(_jobs.c.created.desc()).limit(limit)
        with self._begin() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def wished(self) -> list[Job]:
        """Active jobs for which somebody wishes something."""
        active = [s.value for s in ACTIVE]
        return self._select(sa.and_(_jobs.c.wish != "", _jobs.c.state.in_(active)))

    def count_active(self, process: str | None = None) -> int:
        """How many jobs have not ended, of one process or of all."""
        query = sa.select(sa.func.count()).where(_jobs.c.state.in_([s.value for s in ACTIVE]))
        if process is not None:
            query = query.where(_jobs.c.process == process)
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def move(self, job: Job, to: State, **changes: Any) -> Job | None:
        """Change a job's state, if it is still in the state that ``job`` says.

        Args:
            job: the job as last read.
            to: the new state; must be allowed by :data:`TRANSITIONS`.
            changes: other columns to set along with it.

        Returns:
            The job as it is now, or ``None`` when somebody else changed its state first.

        Raises:
            ValueError: the transition is not one of :data:`TRANSITIONS`.
        """
        if to not in TRANSITIONS.get(job.state, ()):
            raise ValueError(f"{job.id}: {job.state.value} cannot turn into {to.value}")
        return self._update(job, state=to.value, **changes)

    def note(self, job: Job, **changes: Any) -> Job | None:
        """Set columns of a job that stays in its state; ``None`` if it no longer is in it."""
        return self._update(job, **changes)

    def wish(self, job_id: str, wish: Wish) -> bool:
        """Ask the dispatcher to do something; false if the job is over or unknown.

        A dismissal cannot be taken back by a later pause or resume.
        """
        allowed = sa.true() if wish is Wish.DISMISS else _jobs.c.wish != Wish.DISMISS.value
        statement = (
            _jobs.update()
            .where(_jobs.c.id == job_id, allowed)
            .where(_jobs.c.state.in_([s.value for s in ACTIVE]))
            .values(wish=wish.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def grant(self, job: Job) -> bool:
        """Take a wish off that was carried out; false if somebody wishes something else by now."""
        statement = (
            _jobs.update()
            .where(_jobs.c.id == job.id, _jobs.c.wish == job.wish.value)
            .values(wish=Wish.NONE.value, changed=time.time())
        )
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def remove(self, job_id: str) -> bool:
        """Forget a finished job; false if it is active or unknown."""
        terminal = [s.value for s in TERMINAL]
        statement = _jobs.delete().where(_jobs.c.id == job_id, _jobs.c.state.in_(terminal))
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1

    def lead(self, holder: str, lease: float, message: str = "") -> bool:
        """Take or keep the dispatcher's office, and show a sign of life.

        Args:
            holder: who asks; unique to a process.
            lease: seconds of silence after which somebody else may take over.
            message: what the dispatcher has to say ("cannot reach slurmctld").

        Returns:
            Whether ``holder`` is the dispatcher now.
        """
        now = time.time()
        mine = sa.or_(_dispatcher.c.holder == holder, _dispatcher.c.beat < now - lease)
        take = (
            _dispatcher.update()
            .where(_dispatcher.c.role == _ROLE, mine)
            .values(holder=holder, beat=now, message=message)
        )
        with self._begin(write=True) as connection:
            if connection.execute(take).rowcount == 1:
                return True
        try:
            with self._begin(write=True) as connection:
                connection.execute(
                    _dispatcher.insert().values(
                        role=_ROLE, holder=holder, beat=now, message=message
                    )
                )
        except sa.exc.IntegrityError:  # somebody holds it
            return False
        return True

    def resign(self, holder: str) -> None:
        """Give the office back, so that a standby need not wait for the lease to run out."""
        with self._begin(write=True) as connection:
            connection.execute(_dispatcher.delete().where(_dispatcher.c.holder == holder))

    def leader(self) -> str:
        """Who holds the dispatcher's office; empty if nobody does."""
        with self._begin() as connection:
            return connection.execute(sa.select(_dispatcher.c.holder)).scalar() or ""

    def heartbeat(self) -> tuple[float, str]:
        """Seconds since the dispatcher's last sign of life (infinite if none), and its message."""
        with self._begin() as connection:
            row = connection.execute(sa.select(_dispatcher)).mappings().first()
        return (time.time() - row["beat"], row["message"]) if row else (float("inf"), "")

    def _select(self, condition: sa.ColumnElement[bool], limit: int | None = None) -> list[Job]:
        query = sa.select(_jobs).where(condition).order_by(_jobs.c.created, _jobs.c.id).limit(limit)
        with self._begin() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def _update(self, job: Job, **changes: Any) -> Job | None:
        changes["changed"] = time.time()
        statement = (
            _jobs.update()
            .where(_jobs.c.id == job.id, _jobs.c.state == job.state.value)
            .values(changes)
        )
        with self._begin(write=True) as connection:
            if connection.execute(statement).rowcount != 1:
                return None
            row = connection.execute(sa.select(_jobs).where(_jobs.c.id == job.id)).mappings().one()
        return _job(row)


def _connect(url: str) -> Engine:
    """An engine; SQLite gets WAL, a busy timeout and transactions that take the lock at once."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": 30, "isolation_level": None})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # an answered job survives a power failure

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A read that turns into a write fails at once with "locked"; taking the lock first waits.
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _row(job: Job) -> dict[str, Any]:
    row = {f.name: getattr(job, f.name) for f in fields(Job)}
    return row | {"state": job.state.value, "wish": job.wish.value}


def _job(row: Any) -> Job:
    found = {f.name: row[f.name] for f in fields(Job)}
    return Job(**found | {"state": State(row["state"]), "wish": Wish(row["wish"])})
