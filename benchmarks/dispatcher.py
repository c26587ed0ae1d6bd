"""What the dispatcher costs, and how soon it acts: changes of a turn, wake-up, idling, polling.

    python benchmarks/dispatcher.py --database sqlite --jobs 10000 --json figures.json

Needs no cluster: job table, spool and dispatcher are real, the batch system is in memory. With
``--database`` a URL of SQLAlchemy, an empty database is used there. Prints a row for each figure:
its name, the median with the smallest and the largest of all rounds, and the goal.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402

from dispatcher_harness import ACCEPTED, DispatcherHarness  # noqa: E402
from fake_scheduler import DONE, QUEUED, RUNNING, FakeScheduler  # noqa: E402
from joblauncher.shared import outcome  # noqa: E402
from joblauncher.shared.files import atomic_write  # noqa: E402
from pywps_hpc.dispatch.dispatcher import Dispatcher  # noqa: E402
from pywps_hpc.dispatch.schedulers.base import BatchJob, JobStatus, SubmissionPostponed  # noqa: E402
from pywps_hpc.jobs import Job, State, job_name, new_id  # noqa: E402
from pywps_hpc.jobs.rows import to_row  # noqa: E402
from pywps_hpc.jobs.schema import jobs as table  # noqa: E402
from pywps_hpc.timing import TIMING  # noqa: E402


@dataclass(frozen=True)
class Figure:
    """What was measured.

    Attributes:
        name: of what.
        unit: of the values.
        values: one of each round.
        goal: the largest value that is good enough.
    """

    name: str
    unit: str
    values: list[float]
    goal: float

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        middle = statistics.median(self.values)
        met = "met" if high <= self.goal else "median only" if middle <= self.goal else "MISSED"
        figures = f"{middle:10.2f} {low:10.2f} … {high:.2f} {self.unit}"
        return f"{self.name:52} {figures:36} goal {self.goal:g} {self.unit}: {met}"


@contextlib.contextmanager
def installation(database: str, *, arrays: bool = True) -> Iterator[DispatcherHarness]:
    """A dispatcher with a table, a spool and a batch system of its own."""
    root = Path(tempfile.mkdtemp(prefix="dispatcher-", dir="/var/tmp"))
    url = "" if database == "sqlite" else database
    scheduler = FakeScheduler()
    scheduler.system, scheduler.arrays = "slurm", arrays
    try:
        harness = DispatcherHarness(root, scheduler=scheduler, database=url)
        with harness.store.engine.begin() as connection:
            connection.execute(table.delete())
        harness.dispatcher = Dispatcher(
            harness.settings, harness.store, harness.spool, scheduler, timing=TIMING
        )
        yield harness
        harness.store.engine.dispose()
    finally:
        shutil.rmtree(root)


def fill(
    harness: DispatcherHarness, count: int, state: State, *, waiting: JobStatus = RUNNING
) -> list[Job]:
    """So many jobs in this state, without waiting for the disk for each.

    Args:
        waiting: what the batch system says of those that do not run.
    """
    found = []
    for number in range(1, count + 1):
        job_id = new_id()
        native = str(number) if state is not State.ACCEPTED else ""
        job = Job(job_id, job_name("w", job_id), "hello", "d" * 64, state=state, native_id=native)
        found.append(replace(job, created=harness.now + number / 1e3, started=harness.now))
        harness.spool.open(job_id).path.mkdir(mode=0o700)
        if native:
            harness.scheduler.say(native, RUNNING if state is State.RUNNING else waiting)
    with harness.store.engine.begin() as connection:
        connection.execute(table.insert(), [to_row(job) for job in found])
    return found


@contextlib.contextmanager
def at_work(harness: DispatcherHarness) -> Iterator[None]:
    """Its loop runs meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=harness.dispatcher.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def durable(harness: DispatcherHarness) -> None:
    """The harness does without the disk; here it counts."""
    engine = harness.store.engine
    if engine.dialect.name == "sqlite":
        engine.dispose()
        import sqlalchemy as sa

        @sa.event.listens_for(engine, "connect")
        def _sync(connection: object, _record: object) -> None:
            connection.execute("PRAGMA synchronous=FULL")  # type: ignore[attr-defined]


def changes(database: str, count: int, rounds: int) -> Figure:
    """One turn in which so many jobs begin to run."""
    found = []
    for _ in range(rounds):
        with installation(database) as harness:
            durable(harness)
            fill(harness, count, State.QUEUED)
            begun = time.perf_counter()
            changed = harness.turn()
            found.append(time.perf_counter() - begun)
            assert changed == count, changed
    return Figure(f"a turn with {count} changes of state", "s", found, 0.6)


def wake_up(database: str, rounds: int) -> Figure:
    """From the answer of the table to an accepted job until the batch system is called."""
    called: list[float] = []
    found = []
    with installation(database) as harness:
        arrived = threading.Event()

        def submitted(_job: BatchJob) -> None:
            called.append(time.perf_counter())
            arrived.set()

        harness.scheduler.on_submit = submitted
        with at_work(harness):
            harness.accept(created=time.time())
            arrived.wait(30)
            for number in range(rounds):
                time.sleep(1.3 + number % 7 / 29)  # beyond the pace of arrays, at no multiple of it
                arrived.clear()
                harness.accept(created=time.time())
                begun = time.perf_counter()
                arrived.wait(30)
                found.append(1000 * (called[-1] - begun))
    return Figure("accepted -> the batch system is called", "ms", found, 20)


def idle(database: str, count: int, rounds: int, seconds: float = 10.0) -> Figure:
    """Processor time of a dispatcher while the batch system takes none of so many jobs."""
    limit = SubmissionPostponed("the limit on jobs is reached", answered=True)
    with installation(database) as harness:
        harness.scheduler.postpone = lambda _: limit
        fill(harness, count, State.ACCEPTED)
        for _ in range(count // harness.settings.array_size + 5):
            harness.turn()  # each of them has been offered, and waits
        with at_work(harness):
            time.sleep(3)
            found = [_share(seconds) for _ in range(rounds)]
    return Figure(f"idling with {count} accepted, not submitted", "% of a core", found, 2)


def rare(database: str, count: int, rounds: int) -> list[Figure]:
    """So many jobs wait in a batch system that is asked every two minutes: what that costs, and how
    soon one that begins and ends between two polls is over in the table, whichever it is."""
    found = []
    with installation(database) as harness:
        harness.settings = replace(harness.settings, poll_interval=120.0, poll_backoff=120.0)
        waiting = fill(harness, count, State.QUEUED, waiting=QUEUED)
        for job in waiting:
            outcome.Report(job.id, job.process).write(harness.folder(job), durable=False)
        harness.restart()
        with at_work(harness):
            time.sleep(30)  # each has been looked at
            shares = [_share(10) for _ in range(rounds)]
            for number in range(rounds):
                job = waiting[-1 - number * (count // rounds)]
                atomic_write(harness.folder(job).status, ACCEPTED)
                harness.scheduler.say(job.native_id, DONE)
                harness.succeed(job)
                begun = time.perf_counter()
                _until(lambda job=job: harness.row(job).state is State.SUCCEEDED)
                found.append(time.perf_counter() - begun)
    return [
        Figure(f"idling with {count} waiting, poll_interval = 120", "% of a core", shares, 4),
        Figure("the same: a document tells the end -> table", "s", found, 5),
    ]


def _share(seconds: float) -> float:
    used, begun = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    return 100 * (time.process_time() - used) / (time.perf_counter() - begun)


def cycle(database: str, count: int, rounds: int) -> Figure:
    """A turn in which nothing has happened to so many running jobs."""
    with installation(database) as harness:
        fill(harness, count, State.RUNNING)
        harness.turn()
        found = []
        for _ in range(rounds):
            begun = time.perf_counter()
            harness.turn()
            found.append(1000 * (time.perf_counter() - begun))
    return Figure(f"a turn at {count} running jobs", "ms", found, 100)


def end(database: str, rounds: int, quiet: float = 12.0) -> Figure:
    """From a document that tells the end of a long job, whom nobody asks for, to the table."""
    found = []
    with installation(database) as harness, at_work(harness):
        for _ in range(rounds):
            job = harness.accept(created=time.time())
            _until(lambda job=job: harness.row(job).native_id != "")
            native = harness.row(job).native_id
            harness.begin(job)
            harness.scheduler.say(native, RUNNING)
            time.sleep(quiet)  # the pauses between polls grow meanwhile
            harness.succeed(job)
            begun = time.perf_counter()
            harness.scheduler.say(native, DONE)
            _until(lambda job=job: harness.row(job).state is State.SUCCEEDED)
            found.append(time.perf_counter() - begun)
    return Figure("a document tells the end -> table", "s", found, 2)


def _until(condition: Callable[[], bool], limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@click.command()
@click.option("--database", default="sqlite", show_default=True, help="sqlite, or a URL.")
@click.option("--jobs", default=10_000, show_default=True, help="Accepted, and running.")
@click.option("--rounds", default=7, show_default=True, help="Of each measurement.")
@click.option("--only", multiple=True, help="changes, wake_up, idle, cycle, end or rare; else all.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="The same as data.")
def main(database: str, jobs: int, rounds: int, only: tuple[str, ...], file: Path | None) -> None:
    """Measure and print."""
    logging.disable(logging.CRITICAL)
    measure: dict[str, Callable[[], list[Figure]]] = {
        "changes": lambda: [changes(database, 500, rounds)],
        "wake_up": lambda: [wake_up(database, 3 * rounds)],
        "idle": lambda: [idle(database, jobs, max(1, rounds // 2))],
        "cycle": lambda: [cycle(database, jobs, 3 * rounds)],
        "end": lambda: [end(database, rounds)],
        "rare": lambda: rare(database, jobs, rounds),
    }
    figures: list[Figure] = []
    kind = "SQLite" if database == "sqlite" else "PostgreSQL"
    for name in only or measure:
        for own in measure[name]():
            figures.append(own)
            click.echo(own)
            compare.tell(compare.Figure(f"{own.name}, {kind}", own.unit, own.goal, own.values))
    if file is not None:
        file.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


if __name__ == "__main__":
    main()
