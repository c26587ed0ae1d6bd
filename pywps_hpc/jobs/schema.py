"""The tables in their present form; :mod:`~pywps_hpc.jobs.versions` brings earlier ones to it."""

from __future__ import annotations

import sqlalchemy as sa

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
version_table = sa.Table(
    "hpc_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),  # one row
)
