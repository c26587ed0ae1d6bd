"""The tables, and the steps that bring those of an earlier version to their present form.

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

metadata = sa.MetaData()
jobs = sa.Table(
    "hpc_jobs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(15), nullable=False, index=True),
    sa.Column("process", sa.String(255), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("client", sa.String(255), nullable=False, server_default=""),
    sa.Column("sync", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("wish", sa.String(12), key="control", nullable=False),
    sa.Column("place", sa.Integer, key="array_index", nullable=False, server_default="0"),
    sa.Column("native_id", sa.String(255), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("missing_since", sa.Double, nullable=False),
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Column("submitted", sa.Double, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double, nullable=False, index=True),
    sa.Column("changed", sa.Double, nullable=False),
    sa.Column("size", sa.BigInteger),
    sa.Column("access", sa.String(36), unique=True, index=True),  # a row without one: its id
    sa.Column("end_seen", sa.BigInteger, nullable=False, server_default="0", index=True),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("cause", sa.String(12), nullable=False, server_default=""),
    sa.Column("callbacks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("waits", sa.Text, nullable=False, server_default=""),
    sa.Column("retry_of", sa.String(36), nullable=False, server_default="", index=True),
    sa.Column("cpus", sa.Integer, nullable=False, server_default="0"),
    sa.Column("memory", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("account", sa.String(255), nullable=False, server_default=""),
    sa.Column("resources", sa.Text, nullable=False, server_default=""),
    sa.Column("input_size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("cpu_seconds", sa.Float),
    sa.Column("peak_memory", sa.Float),
)
# Pages of a list, newest first: of one owner, in one state, of one process; of an owner or of a
# process in one state.
for _columns in (["owner"], ["state"], ["process"], ["owner", "state"], ["process", "state"]):
    _columns = [*_columns, "created"]
    sa.Index(f"ix_hpc_jobs_{'_'.join(_columns)}", *(jobs.c[name] for name in _columns))
# Control requests that are to be carried out: few of very many jobs.
_requested = jobs.c.control != sa.literal_column("''")
sa.Index("ix_hpc_jobs_wish", jobs.c.control, sqlite_where=_requested, postgresql_where=_requested)
callbacks = sa.Table(
    "hpc_callbacks",  # who is to be told of which event of a job
    metadata,
    sa.Column("job", sa.String(36), primary_key=True),
    sa.Column("event", sa.String(12), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due", sa.Float, nullable=False, index=True),  # 0: the event has yet to come
)
removed = sa.Table(
    "hpc_removed",  # jobs that are no longer there, for those who owned them
    metadata,
    sa.Column("access", sa.String(36), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("removed", sa.Float, nullable=False, index=True),
)
dispatcher = sa.Table(
    "hpc_dispatcher",
    metadata,
    sa.Column("role", sa.String(16), primary_key=True),  # one row: the dispatcher in charge
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("beat", sa.Double, key="heartbeat", nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("service", sa.String(255), nullable=False, server_default=""),
    sa.Column("since", sa.Float, nullable=False, server_default="0"),
    sa.Column("system", sa.String(255), nullable=False, server_default=""),
    sa.Column("reachable", sa.Integer),  # 1 yes, 0 no
    sa.Column("reach_since", sa.Float, nullable=False, server_default="0"),
)
facts = sa.Table(
    "hpc_facts",  # of the whole installation
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_schema = sa.Table(
    "hpc_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),  # one row
)


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
#: The version of the tables above.
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
    _schema.create(connection, checkfirst=True)
    if found < VERSION:
        connection.execute(_schema.delete())
        connection.execute(_schema.insert().values(version=VERSION))


def _version(connection: Connection) -> int:
    """Of the tables that are there; 0 if there are none."""
    inspector = sa.inspect(connection)
    if inspector.has_table(_schema.name):
        stated = connection.execute(sa.select(sa.func.max(_schema.c.version))).scalar()
        if stated is not None:
            return int(stated)
    if not inspector.has_table(jobs.name):
        return 0
    columns = {column["name"] for column in inspector.get_columns(jobs.name)}
    return 2 if "place" in columns else 1
