"""What a table of very many ended jobs costs: accept, a turn of the dispatcher, the job list.

    python benchmarks/growth.py [--jobs 1000000] [--rounds 7] [--postgresql]

Two tables, one of them empty but for the jobs of the benchmark itself, are asked the same in turn.
The batch system is in memory, and the disk is not waited for: what grows would do so elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import sqlalchemy as sa

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402
from job_list import fill  # noqa: E402

from dispatcher_harness import DispatcherHarness  # noqa: E402
from fake_scheduler import RUNNING, FakeScheduler  # noqa: E402
from postgres import Postgres  # noqa: E402
from pywps_hpc.jobs import Job, Limit, State, job_name, new_id  # noqa: E402
from pywps_hpc.jobs.listing import Filter  # noqa: E402
from pywps_hpc.jobs.rows import to_row  # noqa: E402
from pywps_hpc.jobs.schema import jobs as table  # noqa: E402

LIMITS = (
    Limit(1_000_000, "this service"),
    Limit(1_000_000, "this process", process="hello"),
    Limit(1_000_000, "one client", client="address 127.0.0.1"),
)
#: Jobs that run all the while; accepts, turns and pages of a round.
RUNNING_JOBS, AT_ONCE = 100, 20


def accept(harness: DispatcherHarness) -> None:
    """What the job table does for a job that is accepted."""
    assert harness.store.intake(LIMITS).reached is None
    job_id = new_id()
    job = Job(job_id, job_name("w", job_id), "hello", "d" * 64, client="address 127.0.0.1")
    harness.store.add(job, LIMITS, unless_drained=True)
    with harness.store.engine.connect().execution_options(write=True) as connection:
        connection.begin()
        connection.execute(table.delete().where(table.c.id == job_id))
        connection.commit()


def turn(harness: DispatcherHarness) -> None:
    """A turn of the dispatcher, and all that it does aside."""
    harness.cycle(later=10.0)


def page(harness: DispatcherHarness) -> None:
    """The first page of the job list, and that of one owner's jobs."""
    harness.store.page(Filter(), 100, "")
    harness.store.page(Filter(owner="user7"), 100, "")


def milliseconds(act: Callable[[DispatcherHarness], None], harness: DispatcherHarness) -> float:
    """Of one time, in the median: of processor time where the database is in this process, so
    that what else the machine does has no part in it."""
    clock = time.process_time if harness.database == "" else time.perf_counter
    taken = []
    for _ in range(AT_ONCE):
        begun = clock()
        act(harness)
        taken.append(1e3 * (clock() - begun))
    return statistics.median(taken)


def run_some(harness: DispatcherHarness) -> None:
    """Have some jobs that run, none of which changes."""
    found = []
    for number in range(1, RUNNING_JOBS + 1):
        job_id, native = new_id(), str(10**9 + number)
        job = Job(job_id, job_name("w", job_id), "hello", "d" * 64, owner="user7")
        job = replace(job, state=State.RUNNING, native_id=native, started=harness.now)
        found.append(replace(job, created=harness.now))
        harness.spool.open(job_id).path.mkdir(mode=0o700)
        harness.scheduler.say(native, RUNNING)
    with harness.store.engine.begin() as connection:
        connection.execute(table.insert(), [to_row(job) for job in found])


def ended(harness: DispatcherHarness) -> None:
    """What the last jobs of the list's table have not come to."""
    values = {"state": "succeeded", "finished": harness.now}
    with harness.store.engine.begin() as connection:
        connection.execute(table.update().values(values).where(table.c.finished == 0))


def size_of(harness: DispatcherHarness) -> int:
    """Bytes of the table with its indexes."""
    engine = harness.store.engine
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            pages, each = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("page_count", "page_size")
            )
        return pages * each
    with engine.connect() as connection:
        query = sa.text("SELECT pg_total_relation_size('hpc_jobs')")
        return int(connection.execute(query).scalar_one())


@contextlib.contextmanager
def tables(folder: Path, is_postgresql: bool) -> Iterator[tuple[str, str]]:
    """URLs of two empty databases; empty texts for SQLite."""
    if not is_postgresql:
        yield "", ""
        return
    with Postgres() as one, Postgres() as other:
        yield one.url, other.url


def rows(jobs: int, rounds: int, is_postgresql: bool) -> Iterator[compare.Row | compare.Figure]:
    """The rows of this file."""
    kind = "PostgreSQL" if is_postgresql else "SQLite"
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as name,
        tables(Path(name), is_postgresql) as (
            full_url,
            empty_url,
        ),
    ):
        made = []
        for part, url in (("full", full_url), ("empty", empty_url)):
            (Path(name) / part).mkdir()
            made.append(DispatcherHarness(Path(name) / part, FakeScheduler(), database=url))
        full = made[0]
        fill(full.store, jobs)
        ended(full)
        yield compare.Figure(
            f"bytes of an ended job's row, {kind}", "B", 1500, [size_of(full) / jobs]
        )
        for harness in made:
            run_some(harness)
            for act in (accept, turn, page):
                act(harness)
        for what, act in (("accept", accept), ("a turn", turn), ("job list", page)):
            row = compare.Row(f"{what} with {jobs:,} ended jobs, {kind}", "none", 1.1, "ms")
            mine, theirs = (functools.partial(milliseconds, act, harness) for harness in made)
            yield compare.in_turn(row, mine, theirs, rounds)
        for harness in made:
            harness.store.engine.dispose()


@click.command()
@click.option("--jobs", default=1_000_000, show_default=True)
@click.option("--rounds", default=compare.ROUNDS, show_default=True)
@click.option("--postgresql", is_flag=True, help="Debian's, started for this; else SQLite.")
def main(jobs: int, rounds: int, postgresql: bool) -> None:
    """Measure and print."""
    logging.disable(logging.CRITICAL)
    compare.printed(rows(jobs, rounds, postgresql))


if __name__ == "__main__":
    main()
