"""A job table that somebody else has locked."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import sqlalchemy as sa

from postgres import PATIENCE


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else keeps the table to himself: a backup, an administrator's open transaction."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        waits = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        with contextlib.closing(waits) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")
    else:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE hpc_jobs")
            yield
