"""Copies of a job table in SQLite: made while it is in use, and put back when it is not.

A PostgreSQL database has tools of its own, which also know what a copy must be like to be complete.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from pywps_hpc.errors import TableError
from pywps_hpc.jobs import identity, versions

#: What a table on PostgreSQL is copied and put back with.
ADVICE = (
    "the job table is in PostgreSQL: use pg_dump --format=custom and pg_restore --clean "
    "(PostgreSQL manual, chapter 26), which make a consistent copy while the service runs"
)


class BackupFailed(TableError):
    """A copy could not be made, or not be put back; what was there is as it was."""


def file_of(url: str) -> Path:
    """The file of a job table.

    Raises:
        BackupFailed: it is in no file.
    """
    made = sa.make_url(url)
    if made.get_backend_name() != "sqlite" or not made.database:
        raise BackupFailed(ADVICE)
    return Path(made.database)


def copy(table: Path, output: Path) -> int:
    """Copy a job table as it is at one moment, while others change it (SQLite: Online Backup API).

    Args:
        table: the file of the job table.
        output: the file to make, which only this account can read.

    Returns:
        How many jobs are in the copy.

    Raises:
        BackupFailed: that did not succeed; there is no copy.
    """
    if not table.is_file():
        raise BackupFailed(f"there is no job table yet: {table}")
    if output.exists():
        raise BackupFailed(f"{output} exists: give the name of a file that does not")
    try:
        os.close(os.open(output, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            with _open(table) as source, contextlib.closing(sqlite3.connect(output)) as made:
                source.backup(made)
                made.execute("PRAGMA journal_mode=DELETE")  # one file, whatever becomes of it
            return look(output)
        except BaseException:
            output.unlink()
            raise
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{output}: cannot be written: {_why(error)}") from None


def look(file: Path, spool: str = "") -> int:
    """See that a copy is whole, is of a job table, and of which.

    Args:
        spool: the identity that the spool has; empty if that does not matter.

    Returns:
        How many jobs are in it.

    Raises:
        BackupFailed: it cannot be put back.
    """
    try:
        with _open(file) as copied:
            (sound,) = copied.execute("PRAGMA integrity_check").fetchone()
            if sound != "ok":
                raise BackupFailed(f"{file}: is damaged: {sound}")
            (version,) = copied.execute("SELECT max(version) FROM hpc_schema").fetchone()
            if version is None or version > versions.VERSION:
                raise BackupFailed(f"{file}: is of a later version of this program ({version})")
            query = "SELECT value FROM hpc_facts WHERE name = ?"
            known = copied.execute(query, (identity.FACT,)).fetchone()
            if spool and known and known[0].removeprefix(identity.PROMISED) != spool:
                raise BackupFailed(f"{file}: is the job table of another spool")
            return int(copied.execute("SELECT count(*) FROM hpc_jobs").fetchone()[0])
    except sqlite3.Error as error:
        raise BackupFailed(f"{file}: is no copy of a job table: {_why(error)}") from None


def put_back(file: Path, table: Path, aside: Path) -> None:
    """Put a copy in the place of a job table that nobody uses.

    Args:
        file: the copy; stays.
        table: where it goes.
        aside: where the present one goes, if there is one.

    Raises:
        BackupFailed: it could not be put there.
    """
    new = table.with_name(f".{table.name}.restored")
    new.unlink(missing_ok=True)
    copy(file, new)
    try:
        if table.exists():
            copy(table, aside)  # with what is in its log
        for name in (f"{table}-wal", f"{table}-shm"):
            Path(name).unlink(missing_ok=True)
        new.replace(table)
    except OSError as error:
        raise BackupFailed(f"{table}: cannot be replaced: {error.strerror}") from None


@contextlib.contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(
        sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
    ) as opened:
        yield opened


def _why(error: OSError | sqlite3.Error) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
