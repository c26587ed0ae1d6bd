"""What a page of the job list costs in a table of a million jobs, on SQLite and on PostgreSQL.

    python benchmarks/job_list.py [JOBS]

For each filter: the first page of the list and pages at random places in it, asked of the store.
Printed are the median, the 95th percentile, and how many jobs such a page had. PostgreSQL is
Debian's, started for this, with the tests' settings.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import sqlalchemy as sa  # noqa: E402

from postgres import Postgres  # noqa: E402
from pywps_hpc.jobs import JobStore  # noqa: E402
from pywps_hpc.jobs.listing import Filter  # noqa: E402
from pywps_hpc.jobs.view import PublicState  # noqa: E402

JOBS, PAGES, LIMIT = 1_000_000, 100, 100
#: Jobs arrive one a second; the last thousand are still under way. One account has a third of them,
#: a thousand share the rest. The database makes them itself, from their numbers.
ROWS = """
INSERT INTO hpc_jobs (id, access, name, process, digest, owner, client, sync, state, wish, place,
    native_id, message, missing_since, created, submitted, started, finished, changed)
WITH RECURSIVE numbers(i) AS (
    SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}
), drawn AS (
    SELECT i, {begin} + i AS created, i * 7919 % 1009 AS a, i * 104729 % 997 AS b,
        i > {last} - 1000 AS active FROM numbers
), timed AS (
    SELECT *, CASE WHEN active AND i % 2 = 0 THEN 0 ELSE created + b END AS started,
        CASE WHEN i % 5000 = 7 THEN 7200 ELSE a END AS duration FROM drawn
)
SELECT {id}, {access}, 'w' || i, 'process' || (b % 20), '{digest}',
    CASE WHEN a < 336 THEN 'heavy' ELSE 'user' || ((a * 31 + b) % 1000) END, '', {false},
    CASE WHEN active AND i % 2 = 0 THEN 'queued' WHEN active AND i % 4 = 1 THEN 'running'
        WHEN active THEN 'paused' WHEN b < 890 THEN 'succeeded' WHEN b < 985 THEN 'failed'
        ELSE 'dismissed' END,
    '', 0, CAST(i AS VARCHAR(20)), 'killed: time limit 00:10:00 reached', 0, created, created + 1,
    started, CASE WHEN active THEN 0 ELSE started + duration END, created + 1
FROM timed
"""
#: What the databases have a function of their own for.
OWN = {
    "sqlite": {"id": "lower(hex(randomblob(18)))", "false": "0"},
    "postgresql": {"id": "CAST(gen_random_uuid() AS VARCHAR)", "false": "FALSE"},
}


FILTERS = {
    "none (an administrator's list)": Filter(),
    "owner, a third of all jobs": Filter(owner="heavy"),
    "owner, few jobs": Filter(owner="user7"),
    "state successful": Filter(states=frozenset({PublicState.SUCCEEDED})),
    "state running": Filter(states=frozenset({PublicState.RUNNING})),
    "state dismissed": Filter(states=frozenset({PublicState.DISMISSED})),
    "states failed, dismissed": Filter(
        states=frozenset({PublicState.FAILED, PublicState.DISMISSED})
    ),
    "process": Filter(processes=frozenset({"process3"})),
    "process, failed": Filter(
        processes=frozenset({"process3"}), states=frozenset({PublicState.FAILED})
    ),
    "owner, failed": Filter(owner="heavy", states=frozenset({PublicState.FAILED})),
    "owner, running": Filter(owner="heavy", states=frozenset({PublicState.RUNNING})),
    "owner, two processes": Filter(owner="heavy", processes=frozenset({"process3", "process4"})),
    "a day": Filter(),  # since and until are drawn anew for each page
    "longer than an hour (few)": Filter(min_duration=3600),
    "owner, longer than a day (none)": Filter(owner="heavy", min_duration=86400),
    "all at once": Filter(
        "heavy", frozenset({PublicState.FAILED}), frozenset({"process3"}), min_duration=600
    ),
}


def fill(store: JobStore, number: int) -> float:
    """Fill an empty table; how many seconds that took."""
    store.create()
    begun, own = time.perf_counter(), OWN[store.engine.dialect.name]
    facts = {"last": number - 1, "begin": int(time.time()) - number, "digest": "d" * 64, **own}
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        if store.engine.dialect.name == "postgresql":
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        connection.execute(sa.text(ROWS.format(access=own["id"], **facts)))
    if store.engine.dialect.name == "postgresql":  # its autovacuum does that
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE hpc_jobs"))
    return time.perf_counter() - begun


def measure(store: JobStore, name: str, number: int) -> tuple[list[float], float]:
    """Milliseconds of each page, and how many jobs one had in the middle."""
    chance, taken, found = random.Random(2), [], []
    for index in range(PAGES):
        wanted, now = FILTERS[name], time.time()
        if name == "a day":
            until = now - chance.random() * number
            wanted = replace(wanted, since=until - 86400, until=until)
        after = "" if index % 4 == 0 else f"{now - chance.random() * number!r}_"
        begun = time.perf_counter()
        page = store.page(wanted, LIMIT, after)
        taken.append((time.perf_counter() - begun) * 1e3)
        found.append(len(page.jobs))
    return taken, statistics.median(found)


def report(url: str, number: int) -> None:
    """Fill a database and print what its pages cost."""
    store = JobStore(url, 600.0)
    kind = store.engine.dialect.name
    print(f"{kind}: {number} jobs, filled in {fill(store, number):.0f} s", flush=True)
    for name in FILTERS:
        taken, jobs_found = measure(store, name, number)
        p95 = statistics.quantiles(taken, n=20)[-1]
        middle = statistics.median(taken)
        print(f"  {name}: {middle:.1f} ms, p95 {p95:.1f} ms, {jobs_found:g} jobs", flush=True)


def main() -> None:
    """Both databases, one after the other."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print(f"load of this host: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    with tempfile.TemporaryDirectory() as folder:
        report(f"sqlite:///{folder}/jobs.sqlite", number)
    with Postgres() as server:
        report(server.url, number)


if __name__ == "__main__":
    main()
