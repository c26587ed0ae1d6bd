"""Versions of the tables: the steps that bring those of an earlier one to their present form.

A version number stands in the database. Steps add columns, tables and indexes, and take away
nothing but indexes: a program of the version before, which may still be running beside, goes on
working with the new tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pywps_hpc.errors import TableError, TableMissing
from pywps_hpc.jobs.database import Lock, begin
from pywps_hpc.jobs.schema import jobs, metadata, version_table


@dataclass(frozen=True)
class Step:
    """What is new in a version.

    Attributes:
        version: the number it leads to.
        statements: SQL that both databases know.
        postgresql: SQL for PostgreSQL only.
    """

    version: int
    statements: Sequence[str]
    postgresql: Sequence[str] = ()


#: Version 1 is what the first release made; it knew no version number, nor did the next.
STEPS = (
    Step(2, ["ALTER TABLE hpc_jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0"]),
    Step(
        3,
        [
            "ALTER TABLE hpc_jobs ADD COLUMN client VARCHAR(255) NOT NULL DEFAULT ''",
            "ALTER TABLE hpc_jobs ADD COLUMN size BIGINT",
            "CREATE INDEX ix_hpc_jobs_finished ON hpc_jobs (finished)",
        ],
        # Ids of TORQUE end with the server's whole name. SQLite heeds no length.
        postgresql=["ALTER TABLE hpc_jobs ALTER COLUMN native_id TYPE VARCHAR(255)"],
    ),
    Step(
        4,
        [
            "CREATE TABLE hpc_facts ("
            "name VARCHAR(32) NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name))",
            "ALTER TABLE hpc_dispatcher ADD COLUMN service VARCHAR(255) NOT NULL DEFAULT ''",
            # Jobs of before have their id in the addresses that clients know.
            "ALTER TABLE hpc_jobs ADD COLUMN access VARCHAR(36)",
            "UPDATE hpc_jobs SET access = id",
            "CREATE UNIQUE INDEX ix_hpc_jobs_access ON hpc_jobs (access)",
        ],
    ),
    Step(
        5,
        [
            "ALTER TABLE hpc_dispatcher ADD COLUMN since FLOAT NOT NULL DEFAULT 0",
            "ALTER TABLE hpc_dispatcher ADD COLUMN system VARCHAR(255) NOT NULL DEFAULT ''",
            "ALTER TABLE hpc_dispatcher ADD COLUMN reachable INTEGER",
            "ALTER TABLE hpc_dispatcher ADD COLUMN reach_since FLOAT NOT NULL DEFAULT 0",
        ],
    ),
    Step(
        6,
        [
            "ALTER TABLE hpc_jobs ADD COLUMN end_seen BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX ix_hpc_jobs_end_seen ON hpc_jobs (end_seen)",
        ],
    ),
    Step(7, ["ALTER TABLE hpc_jobs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0"]),
    Step(
        8,
        [
            "CREATE INDEX ix_hpc_jobs_owner_created ON hpc_jobs (owner, created)",
            "CREATE INDEX ix_hpc_jobs_state_created ON hpc_jobs (state, created)",
            "CREATE INDEX ix_hpc_jobs_process_created ON hpc_jobs (process, created)",
            "CREATE TABLE hpc_removed ("
            "access VARCHAR(36) NOT NULL, owner VARCHAR(255) NOT NULL, "
            "removed FLOAT NOT NULL, PRIMARY KEY (access))",
            "CREATE INDEX ix_hpc_removed_removed ON hpc_removed (removed)",
        ],
    ),
    Step(
        9,
        [
            "DROP INDEX ix_hpc_jobs_state",  # ix_hpc_jobs_state_created begins with the same
            "CREATE INDEX ix_hpc_jobs_owner_state_created ON hpc_jobs (owner, state, created)",
            "CREATE INDEX ix_hpc_jobs_process_state_created ON hpc_jobs (process, state, created)",
        ],
    ),
    Step(10, ["ALTER TABLE hpc_jobs ADD COLUMN cause VARCHAR(12) NOT NULL DEFAULT ''"]),
    Step(
        11,
        [
            "ALTER TABLE hpc_jobs ADD COLUMN callbacks INTEGER NOT NULL DEFAULT 0",
            "CREATE TABLE hpc_callbacks ("
            "job VARCHAR(36) NOT NULL, event VARCHAR(12) NOT NULL, url TEXT NOT NULL, "
            "host VARCHAR(255) NOT NULL, tries INTEGER NOT NULL, due FLOAT NOT NULL, "
            "PRIMARY KEY (job, event))",
            "CREATE INDEX ix_hpc_callbacks_due ON hpc_callbacks (due)",
        ],
    ),
    Step(12, ["ALTER TABLE hpc_jobs ADD COLUMN waits TEXT NOT NULL DEFAULT ''"]),
    Step(
        13,
        [
            "ALTER TABLE hpc_jobs ADD COLUMN retry_of VARCHAR(36) NOT NULL DEFAULT ''",
            "CREATE INDEX ix_hpc_jobs_retry_of ON hpc_jobs (retry_of)",
            "ALTER TABLE hpc_jobs ADD COLUMN cpus INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE hpc_jobs ADD COLUMN memory BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE hpc_jobs ADD COLUMN account VARCHAR(255) NOT NULL DEFAULT ''",
            "ALTER TABLE hpc_jobs ADD COLUMN cpu_seconds FLOAT",
            "ALTER TABLE hpc_jobs ADD COLUMN peak_memory FLOAT",
        ],
    ),
    Step(
        14,
        [
            "UPDATE hpc_jobs SET wish = '' "
            "WHERE wish != '' AND state IN ('succeeded', 'failed', 'dismissed')",
            "DROP INDEX IF EXISTS ix_hpc_jobs_wish",  # of another form in between two releases
            "CREATE INDEX ix_hpc_jobs_wish ON hpc_jobs (wish) WHERE wish != ''",
        ],
    ),
    Step(
        15,
        [
            "ALTER TABLE hpc_jobs ADD COLUMN resources TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE hpc_jobs ADD COLUMN input_size BIGINT NOT NULL DEFAULT 0",
        ],
    ),
)
#: The version of the present tables.
VERSION = STEPS[-1].version


class SchemaTooNew(TableError):
    """The database belongs to a later version of this program."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the job table has version {found}, this program knows versions up to {VERSION}: "
            "run the newer program, or give this one a database of its own"
        )


class SchemaTooOld(TableError):
    """The database is still of an earlier version, and whoever only reads does not change it."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the job table has version {found}, this program needs version {VERSION}: "
            "the service brings it there when it starts"
        )


def require(engine: Engine) -> None:
    """Make sure that the tables are there and of this version; changes nothing.

    Raises:
        TableMissing, SchemaTooOld, SchemaTooNew: they are not.
        TableUnavailable: the database cannot be reached now.
    """
    with begin(engine) as connection:
        found = _version(connection)
    if found == 0:
        raise TableMissing("there is no job table yet: the service has never been started")
    if found > VERSION:
        raise SchemaTooNew(found)
    if found < VERSION:
        raise SchemaTooOld(found)


def prepare(engine: Engine) -> None:
    """Make the tables, or bring them to this version; every job in them stays.

    Of several programs that start at once one does it, the others wait.

    Raises:
        SchemaTooNew: the database is for a later version; nothing is changed.
        TableUnavailable: it cannot be reached now; nothing is changed.
    """
    with begin(engine) as connection:
        found = _version(connection)
    if found > VERSION:
        raise SchemaTooNew(found)
    if found < VERSION:
        with begin(engine, write=True, lock=Lock.SCHEMA) as connection:
            _migrate(connection)


def _migrate(connection: Connection) -> None:
    """In one transaction: both databases take changes of tables back with it."""
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:  # a large table takes its time
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    found = _version(connection)  # somebody else may have done it by now
    if found == 0:
        metadata.create_all(connection)
    for step in STEPS:
        if 0 < found < step.version:
            for statement in (*step.statements, *(step.postgresql if postgresql else ())):
                connection.exec_driver_sql(statement)
    version_table.create(connection, checkfirst=True)
    if found < VERSION:
        connection.execute(version_table.delete())
        connection.execute(version_table.insert().values(version=VERSION))


def _version(connection: Connection) -> int:
    """Of the tables that are there; 0 if there are none."""
    inspector = sa.inspect(connection)
    if inspector.has_table(version_table.name):
        stated = connection.execute(sa.select(sa.func.max(version_table.c.version))).scalar()
        if stated is not None:
            return int(stated)
    if not inspector.has_table(jobs.name):
        return 0
    columns = {column["name"] for column in inspector.get_columns(jobs.name)}
    return 2 if "place" in columns else 1
