"""A question of one statement that reads, asked again and again.

SQLite answers one within microseconds, and each is a transaction by itself; what SQLAlchemy does
around it takes ten times as long. So there the statement is compiled once, and the driver is asked.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect, Engine

from pywps_hpc.jobs.database import as_unavailable, begin

#: Statements that are kept compiled.
MOST = 64


@dataclass(frozen=True)
class _Compiled:
    """A statement as the driver takes it.

    Attributes:
        text: with a question mark for each parameter.
        parameters: their names, in this order.
        fixed: values of those that the statement itself gives.
        names: of the columns.
        converted: what makes a value of what the driver gives, by the column's name.
    """

    text: str
    parameters: tuple[str, ...]
    fixed: Mapping[str, Any]
    names: tuple[str, ...]
    converted: tuple[tuple[str, Callable[[Any], Any]], ...]


def first(
    engine: Engine, query: sa.Select[Any], given: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The first row, by the names of the columns; ``None`` if there is none.

    Args:
        query: made once and kept: it is known again as this object. Has no list of values (IN).
        given: values of its parameters.

    Raises:
        TableUnavailable: the database cannot be reached now.
        sqlalchemy.exc.DatabaseError: something else is wrong with it.
    """
    if engine.dialect.name != "sqlite":
        with begin(engine, single=True) as connection:
            found: Mapping[Any, Any] | None = connection.execute(query, given).mappings().first()
            return found
    compiled = _compiled(query, engine.dialect)
    values = [given.get(name, compiled.fixed.get(name)) for name in compiled.parameters]
    try:
        with as_unavailable(engine), closing(engine.raw_connection()) as held:
            rows = held.cursor().execute(compiled.text, values).fetchall()  # and it is over
    except sqlite3.Error as error:
        raise sa.exc.DatabaseError(compiled.text, values, error) from error
    if not rows:
        return None
    row = dict(zip(compiled.names, rows[0], strict=True))
    for name, convert in compiled.converted:
        row[name] = convert(row[name])
    return row


@functools.lru_cache(maxsize=MOST)
def _compiled(query: sa.Select[Any], dialect: Dialect) -> _Compiled:
    made: Any = query.compile(dialect=dialect)
    columns = [(str(column.key), column.type) for column in query.selected_columns]
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
