"""Connections to the database: SQLite or PostgreSQL, and an end to every wait for it."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from enum import IntEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pywps_hpc.errors import TableMissing, TableUnavailable
from pywps_hpc.jobs.turns import Turns

#: Connections that one process keeps, and how many more it may open for a moment.
POOL, OVERFLOW = 5, 10
#: What is told of a change whose turn did not come in time.
TOO_MANY = "too many changes at once"


#: SQLite has one writer at a time, and lets those that wait try again after longer and longer
#: pauses, so that some wait for seconds while others come and go: threads queue up here.
_WRITERS: weakref.WeakKeyDictionary[Engine, tuple[Turns, float]] = weakref.WeakKeyDictionary()


class Lock(IntEnum):
    """What at most one transaction does at a time; the number is PostgreSQL's key for it."""

    SCHEMA = 0x68706301
    ADMISSION = 0x68706302
    FACTS = 0x68706303


def connect(url: str, timeout: float, *, read_only: bool = False) -> Engine:
    """An engine for this process.

    Args:
        url: SQLAlchemy database URL.
        timeout: seconds until a server that does not answer, or a lock that is not given, is given
            up.
        read_only: whether no file of SQLite's is to be made or changed; using the engine may raise
            :class:`TableMissing`.
    """
    if sa.make_url(url).get_backend_name() == "sqlite":
        return _sqlite_read_only(url, timeout) if read_only else _sqlite(url, timeout)
    return _postgresql(url, timeout)


def _sqlite(url: str, timeout: float) -> Engine:
    """WAL, a busy timeout, and transactions that take the lock at once."""
    path = sa.make_url(url).database
    in_memory = path in (None, "", ":memory:")  # which has one connection
    if path and not in_memory:
        _make_private(Path(path))
    engine = sa.create_engine(
        url,
        connect_args={"timeout": timeout, "isolation_level": None},
        **({} if in_memory else _pool(timeout)),
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        _use_wal(connection, timeout)
        connection.execute("PRAGMA synchronous=FULL")  # an answered job survives a power failure

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A read that turns into a write fails at once with "locked"; taking the lock first waits.
        options = connection.get_execution_options()
        if not options.get("single"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write") else "BEGIN")

    if not in_memory:
        _WRITERS[engine] = Turns(), timeout
    return engine


def _sqlite_read_only(url: str, timeout: float) -> Engine:
    """A database that somebody else keeps (SQLite: URI Filenames, Write-Ahead Logging)."""
    path = Path(sa.make_url(url).database or "")

    def open_database() -> sqlite3.Connection:
        if not path.is_file():
            raise TableMissing(f"there is no job table yet: {path}")
        # Without a log nobody has it open, and reading would make one unless told that it stays.
        unused = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
        where = f"file:{quote(str(path.absolute()))}?mode=ro{unused}"
        return sqlite3.connect(where, timeout=timeout, isolation_level=None, uri=True)

    return sa.create_engine("sqlite://", creator=open_database, poolclass=sa.NullPool)


def _make_private(path: Path) -> None:
    """Keep a database to its account, whatever the umask: who may read it may also lock it.

    SQLite gives its other files (``-wal``, ``-shm``) the mode that it finds on this one.
    """
    with suppress(OSError):  # SQLite itself says what is wrong with the place
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            with suppress(FileNotFoundError, PermissionError):
                # By name: to close the file would give up the locks that this process has on it
                # (fcntl(2)).
                if stat.S_IMODE(file.stat().st_mode) & 0o077:
                    file.chmod(0o600)


def _use_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """The first to open a database changes its form; the others are refused at once meanwhile,
    whatever the busy timeout (sqlite3_busy_handler)."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _postgresql(url: str, timeout: float) -> Engine:
    """Parameters of libpq (PostgreSQL manual, 34.1.2) and of the session (19.11): a server that
    was switched off, a lock and a statement each end within the timeout, or a few times that."""
    whole = max(2, round(timeout))  # libpq takes less than 2 seconds for 2
    limits = {
        "lock_timeout": timeout,
        "statement_timeout": 2 * timeout,
        "idle_in_transaction_session_timeout": 4 * timeout,
    }
    arguments: dict[str, Any] = {
        "connect_timeout": whole,
        "tcp_user_timeout": round(timeout * 1000),
        "keepalives_idle": whole,
        "keepalives_interval": whole,
        "keepalives_count": 2,
        "options": " ".join(f"-c {name}={round(s * 1000)}" for name, s in limits.items()),
    }
    given = sa.make_url(url).query
    if "options" in given:  # the administrator's own come last: they win
        arguments["options"] += f" {given['options']}"
    kept = {key: value for key, value in arguments.items() if key == "options" or key not in given}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=kept, **_pool(timeout))


def _pool(timeout: float) -> dict[str, Any]:
    return {"pool_size": POOL, "max_overflow": OVERFLOW, "pool_timeout": timeout}


@contextmanager
def as_unavailable(engine: Engine) -> Iterator[None]:
    """Whatever keeps the database from being used now is a :class:`TableUnavailable`."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise TableUnavailable("too many connections at once") from error
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise TableUnavailable(driver_message(error.orig or error, engine)) from error
    except (sqlite3.OperationalError, sqlite3.InterfaceError) as error:
        raise TableUnavailable(driver_message(error, engine)) from error
    except sa.exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise TableUnavailable(driver_message(error.orig or error, engine)) from error


@contextmanager
def begin(
    engine: Engine, *, write: bool = False, single: bool = False, lock: Lock | None = None
) -> Iterator[Connection]:
    """One transaction.

    Args:
        write: whether it changes something.
        single: whether it is one statement that reads, which on SQLite is a transaction by itself.
        lock: what no other transaction does meanwhile. SQLite has one writer at a time anyway.

    Raises:
        TableUnavailable: the database cannot be reached now.
    """
    options = {"write": write, "single": single}
    with (
        writers_turn(engine) if write else nullcontext(),
        as_unavailable(engine),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        if lock is not None and engine.dialect.name == "postgresql":
            # Given back when the transaction has ended and others can see what it did.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(int(lock))))
        yield connection


@contextmanager
def writers_turn(engine: Engine, patience: float | None = None) -> Iterator[None]:
    """Be the one thread of this process that writes, where there is one writer at a time.

    Args:
        patience: seconds to wait for that, if not as long as for any lock.

    Raises:
        TableUnavailable: it was not one's turn in time.
    """
    turns, timeout = _WRITERS.get(engine, (None, 0.0))
    if turns is None:
        yield
        return
    if not turns.take(timeout if patience is None else patience):
        raise TableUnavailable(TOO_MANY)
    try:
        yield
    finally:
        turns.give_back()


def clock(connection: Connection) -> float:
    """Seconds by a clock that all who use this database share: hosts' own clocks differ."""
    if connection.dialect.name == "sqlite":
        return local_clock()
    found = connection.execute(sa.select(sa.func.now())).scalar_one()
    return float(found.timestamp())


def local_clock() -> float:
    """The clock of all who use a database on a local disk, and so are on this host; nobody can set
    it (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def driver_message(error: BaseException, engine: Engine) -> str:
    """What a driver says of a database that cannot be used now: the first line of it."""
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    if engine.dialect.name == "sqlite" and engine.url.database:  # which never says what it opens
        message += f" ({engine.url.database})"
    return message
