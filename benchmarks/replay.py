"""A stream of jobs through the whole dispatcher, with a batch system in memory: how many a second
it keeps up, whether that stays the same, what limits it, and whether every job ends.

    python benchmarks/replay.py [--jobs 50000] [--under-way 2000] [--postgresql]

Job table, spool and dispatcher are real, and the disk is waited for as in operation. Accepting is
what the web server does for a job: its folder, its first documents, its row. As many jobs are under
way all the time; each begins, and succeeds, at the turn after.
"""

from __future__ import annotations

import contextlib
import cProfile
import logging
import os
import pstats
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import sqlalchemy as sa

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402
from dispatcher import durable  # noqa: E402

from dispatcher_harness import DispatcherHarness  # noqa: E402
from fake_scheduler import DONE, QUEUED, RUNNING, FakeScheduler  # noqa: E402
from joblauncher.shared.files import write_new  # noqa: E402
from postgres import Postgres  # noqa: E402
from pywps_hpc.jobs import ACTIVE, Job, State  # noqa: E402
from pywps_hpc.jobs.schema import jobs as table  # noqa: E402

#: Parts of the run whose rates are compared.
PARTS = 8
DUMP = bytes(8192)


@contextlib.contextmanager
def unsynced() -> Iterator[None]:
    """Files are written, and their writer does not wait for the disk."""
    sync, os.fsync = os.fsync, lambda _file: None
    try:
        yield
    finally:
        os.fsync = sync


class Day:
    """Jobs that come and go.

    Args:
        harness: on which they do.
        under_way: how many are active all the time.
    """

    def __init__(self, harness: DispatcherHarness, under_way: int) -> None:
        self._harness, self._under_way = harness, under_way
        self.accepted: set[str] = set()
        self.ended = 0

    def turn(self, most: int) -> None:
        """Accept what there is room for, ``most`` jobs in all; let those that are there move on."""
        harness = self._harness
        active = harness.store.in_state(ACTIVE)
        room = min(self._under_way - len(active), most - len(self.accepted))
        for _ in range(room):
            with unsynced():  # of an accept's files the dump alone is on disk before the answer
                job = harness.accept(created=time.time())
            write_new(harness.folder(job).dump, DUMP)
            self.accepted.add(job.id)
        with unsynced():  # each node waits for its own disk
            for job in active:
                self._move_on(job)
        harness.now = time.time()
        harness.turn()
        self.ended = len(self.accepted) - self._count_active()

    def _move_on(self, job: Job) -> None:
        scheduler = self._harness.scheduler
        if job.state is State.QUEUED and scheduler.queue.get(job.native_id) == QUEUED:
            scheduler.say(job.native_id, RUNNING)
            self._harness.begin(job)
        elif job.state is State.RUNNING and scheduler.queue.get(job.native_id) == RUNNING:
            self._harness.succeed(job)
            scheduler.forget(job.native_id, DONE)

    def _count_active(self) -> int:
        with self._harness.store.engine.connect() as connection:
            states = [state.value for state in ACTIVE]
            query = sa.select(sa.func.count()).where(table.c.state.in_(states))
            return int(connection.execute(query).scalar_one())

    def ends(self) -> Counter[str]:
        """How many jobs there are by their states."""
        with self._harness.store.engine.connect() as connection:
            query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
            return Counter({str(state): int(n) for state, n in connection.execute(query)})


def replay(jobs: int, under_way: int, url: str, profile: bool, place: Path) -> list[float]:
    """Jobs a second of each part of the run.

    Raises:
        AssertionError: a job was lost, doubled, or did not succeed.
    """
    rates: list[float] = []
    with tempfile.TemporaryDirectory(dir=place) as name:
        scheduler = FakeScheduler()
        scheduler.system = "slurm"
        harness = DispatcherHarness(Path(name), scheduler, database=url)
        durable(harness)
        day, profiler = Day(harness, under_way), cProfile.Profile()
        spent, begun = time.process_time(), time.perf_counter()
        since, counted = begun, 0
        with profiler if profile else contextlib.nullcontext():
            while day.ended < jobs:
                day.turn(jobs)
                if day.ended - counted >= jobs / PARTS:
                    now = time.perf_counter()
                    rates.append((day.ended - counted) / (now - since))
                    since, counted = now, day.ended
                    print(f"{counted} jobs ended, {rates[-1]:.0f}/s", flush=True)
        took = time.perf_counter() - begun
        harness.cycle()  # and what it does aside
        processor = (time.process_time() - spent) / took
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{jobs / took:.0f} jobs/s; {100 * processor:.0f} % of a core; {memory:.0f} MiB at most"
        )
        assert day.ends() == {"succeeded": jobs}, day.ends()
        assert len(day.accepted) == len(scheduler.jobs) == jobs, len(scheduler.jobs)
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(12)
        harness.store.engine.dispose()
    return rates


@click.command()
@click.option("--jobs", default=12_000, show_default=True)
@click.option("--under-way", default=2000, show_default=True)
@click.option("--postgresql", is_flag=True, help="Debian's, started for this; else SQLite.")
@click.option("--profile", is_flag=True, help="Tell where the time goes; slower.")
@click.option(
    "--folder",
    default="/var/tmp",
    show_default=True,
    type=click.Path(exists=True, path_type=Path),
    help="Where spool and SQLite are; in memory, as /dev/shm is, nothing waits for a disk.",
)
def main(jobs: int, under_way: int, postgresql: bool, profile: bool, folder: Path) -> None:
    """Measure and print."""
    logging.disable(logging.CRITICAL)
    kind = "PostgreSQL" if postgresql else "SQLite"
    with Postgres() if postgresql else contextlib.nullcontext() as server:
        rates = replay(jobs, under_way, server.url if server else "", profile, folder)
    place = ", in memory" if str(folder).startswith("/dev/shm") else ""
    what = f"replay of {jobs:,} jobs, none lost or doubled, {kind}{place}"
    compare.tell(compare.Figure(what, "jobs/s", 20, rates, at_least=True))
    flat = compare.Row(f"{what}: its second half", "its first half", 0.9, "jobs/s", True)
    half = len(rates) // 2
    flat.theirs, flat.ours = rates[:half], rates[half : 2 * half]
    flat.load = os.getloadavg()[0]
    compare.tell(flat)


if __name__ == "__main__":
    main()
