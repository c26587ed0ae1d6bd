"""Statements that are made again and again, given to SQLite's driver as it takes them.

SQLite answers one within microseconds; what SQLAlchemy does around it takes ten times as long. So
there a statement is compiled once, and the driver is asked.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.sql.dml import Insert

from pywps_hpc.jobs.database import Lock, as_unavailable, begin, writers_turn

#: Statements that are kept compiled.
MOST = 64


class Asked(Protocol):
    """A transaction. Statements are made once and kept: they are known again as these objects."""

    def first(self, query: sa.Select[Any], given: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The first row, by the names of the columns; ``None`` if there is none.

        Args:
            given: values of its parameters.
        """

    def insert(self, statement: Insert, row: Mapping[str, Any]) -> None:
        """Insert one row; the statement names a parameter for each column by the column's key."""


def first(
    engine: Engine, query: sa.Select[Any], given: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """As :meth:`Asked.first`, in a transaction of its own: on SQLite each statement that reads is
    one by itself.

    Raises:
        TableUnavailable: the database cannot be reached now.
        sqlalchemy.exc.DatabaseError: something else is wrong with it.
    """
    if engine.dialect.name != "sqlite":
        with begin(engine, single=True) as connection:
            return _Alchemy(connection).first(query, given)
    with as_unavailable(engine), closing(engine.raw_connection()) as held:
        return _Driver(held.cursor(), engine.dialect).first(query, given)


@contextmanager
def writing(
    engine: Engine, lock: Lock | None = None, patience: float | None = None
) -> Iterator[Asked]:
    """One transaction that changes something.

    Args:
        lock: as of :func:`~pywps_hpc.jobs.database.begin`.
        patience: seconds for which it waits for other threads of this process, if not as usual.

    Raises:
        TableUnavailable: the database cannot be reached now.
    """
    if engine.dialect.name != "sqlite":
        with begin(engine, write=True, lock=lock) as connection:
            yield _Alchemy(connection)
        return
    with (
        writers_turn(engine, patience),
        as_unavailable(engine),
        closing(engine.raw_connection()) as held,
    ):
        cursor = held.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield _Driver(cursor, engine.dialect)
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has done so already
                cursor.execute("ROLLBACK")
            raise


class _Alchemy:
    """Through SQLAlchemy."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def first(self, query: sa.Select[Any], given: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found: Mapping[Any, Any] | None = (
            self._connection.execute(query, dict(given)).mappings().first()
        )
        return found

    def insert(self, statement: Insert, row: Mapping[str, Any]) -> None:
        self._connection.execute(statement, dict(row))


class _Driver:
    """Through SQLite's driver."""

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        self._cursor, self._dialect = cursor, dialect

    def first(self, query: sa.Select[Any], given: Mapping[str, Any]) -> Mapping[str, Any] | None:
        compiled = _compiled(query, self._dialect)
        rows = self._execute(compiled, given).fetchall()  # and the statement is over
        if not rows:
            return None
        row = dict(zip(compiled.names, rows[0], strict=True))
        for name, convert in compiled.converted:
            row[name] = convert(row[name])
        return row

    def insert(self, statement: Insert, row: Mapping[str, Any]) -> None:
        self._execute(_compiled(statement, self._dialect), row)

    def _execute(self, compiled: _Compiled, given: Mapping[str, Any]) -> Any:
        values = [given.get(name, compiled.fixed.get(name)) for name in compiled.parameters]
        try:
            return self._cursor.execute(compiled.text, values)
        except sqlite3.Error as error:
            known = sa.exc.DBAPIError.instance(
                compiled.text, values, error, sqlite3.Error, dialect=self._dialect
            )
            raise known from error


@dataclass(frozen=True)
class _Compiled:
    """A statement as the driver takes it.

    Attributes:
        text: with a question mark for each parameter.
        parameters: their names, in this order.
        fixed: values of those that the statement itself gives.
        names: of the columns that it finds.
        converted: what makes a value of what the driver gives, by the column's name.
    """

    text: str
    parameters: tuple[str, ...]
    fixed: Mapping[str, Any]
    names: tuple[str, ...]
    converted: tuple[tuple[str, Callable[[Any], Any]], ...]


@functools.lru_cache(maxsize=MOST)
def _compiled(statement: sa.Select[Any] | Insert, dialect: Dialect) -> _Compiled:
    made: Any = statement.compile(dialect=dialect)
    if made.post_compile_params:  # lists of values (IN), all of them known here
        made = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    finds = statement.selected_columns if isinstance(statement, sa.Select) else ()
    columns = [(str(column.key), column.type) for column in finds]
    converted = (
        (name, kind.dialect_impl(dialect).result_processor(dialect, None)) for name, kind in columns
    )
    return _Compiled(
        text=str(made),
        parameters=tuple(made.positiontup or ()),
        fixed=dict(made.params),
        names=tuple(name for name, _ in columns),
        converted=tuple((name, convert) for name, convert in converted if convert is not None),
    )
