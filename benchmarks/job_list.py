"""What a page of the job list costs in a table of a million jobs, on SQLite and on PostgreSQL.

    python benchmarks/job_list.py [JOBS]

For each filter: the first page of the list and pages at random places in it, asked of the store.
Printed are the median, the 95th percentile, and how many jobs such a page had. PostgreSQL is
Debian's, started for this, with the tests' settings.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import sqlalchemy as sa  # noqa: E402

from postgres import Postgres  # noqa: E402
from pywps_hpc.jobs import Job, JobStore, State, job_name, new_id  # noqa: E402
from pywps_hpc.jobs.listing import Filter  # noqa: E402
from pywps_hpc.jobs.rows import to_row  # noqa: E402
from pywps_hpc.jobs.schema import jobs as table  # noqa: E402
from pywps_hpc.jobs.view import PublicState  # noqa: E402

JOBS, PAGES, LIMIT, BATCH = 1_000_000, 100, 100, 5000
#: Jobs arrive one a second; the last ones are still under way.
ACTIVE = 1000
#: One account has a third of the jobs, others share the rest; some have few.
OWNERS = ["", "heavy", *(f"user{number}" for number in range(1000))]
PROCESSES = [f"process{number}" for number in range(20)]
ENDS = [State.SUCCEEDED] * 90 + [State.FAILED] * 9 + [State.DISMISSED]
RUNNING = [State.ACCEPTED, State.QUEUED, State.RUNNING, State.PAUSED]


def jobs(number: int, chance: random.Random) -> Iterator[Job]:
    """Jobs, oldest first."""
    begin = time.time() - number
    for index in range(number):
        job_id, created = new_id(), begin + index
        active = index >= number - ACTIVE
        state = chance.choice(RUNNING if active else ENDS)
        started = 0.0 if state in RUNNING[:2] else created + chance.expovariate(1 / 60)
        yield Job(
            job_id,
            job_name("w", job_id),
            chance.choice(PROCESSES),
            "d" * 64,
            owner="heavy" if chance.random() < 1 / 3 else chance.choice(OWNERS),
            state=state,
            native_id=str(index),
            message="" if state is State.SUCCEEDED else "killed: time limit 00:10:00 reached",
            created=created,
            started=started,
            finished=0.0 if active else started + chance.expovariate(1 / 300),
            access=new_id(),
        )


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
    begun, source = time.perf_counter(), jobs(number, random.Random(1))
    indexes = sorted(table.indexes, key=str)
    with store.engine.connect().execution_options(write=True) as connection:
        with connection.begin():
            for index in indexes:
                index.drop(connection)
        while rows := [to_row(job) for job in itertools.islice(source, BATCH)]:
            with connection.begin():
                connection.execute(table.insert(), rows)
        with connection.begin():
            for index in indexes:
                index.create(connection)
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
