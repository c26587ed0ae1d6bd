"""What an asynchronous Execute costs until it is answered, against PyWPS's default mode.

    python benchmarks/accept.py [--rounds 7] [--requests 40]

Both servers have two web workers and the same process, which does next to nothing; they are
measured in turn, so that both see the same machine. Of processor time, that of the web workers
counts: not that of the processes which PyWPS forks, nor of our dispatcher.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402

import servers  # noqa: E402
import wps_client  # noqa: E402

INPUTS = [("seconds", "0")]
#: What is no limit on the jobs of a benchmark. One slot: the jobs of earlier requests take as
#: little as possible of the machine.
NO_LIMITS = {"slots": 1, "max_active": 1_000_000, "max_active_per_owner": 1_000_000}


def workers_of(server: servers.Server) -> list[psutil.Process]:
    """The web workers of a server that runs."""
    if isinstance(server, servers.HpcServer):
        return [psutil.Process(pid) for pid in server.worker_pids()]
    [master] = server._roots()
    return [child for child in master.children() if child.cmdline() == master.cmdline()]


def processor_time(processes: list[psutil.Process]) -> float:
    """Seconds that they have had of the processors, their ended children not counted."""
    total = 0.0
    for process in processes:
        for task in Path(f"/proc/{process.pid}/task").iterdir():  # proc(5): in nanoseconds
            total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def measure(
    server: servers.Server, workers: list[psutil.Process], requests: int
) -> tuple[float, float]:
    """Milliseconds from a request to its answer, and of its server's processors; mean values."""
    before, begun = processor_time(workers), time.perf_counter()
    for _ in range(requests):
        wps_client.submit(server.url, "leaves_child", INPUTS)
    taken, spent = time.perf_counter() - begun, processor_time(workers) - before
    return 1e3 * taken / requests, 1e3 * spent / requests


def rows(rounds: int = compare.ROUNDS, requests: int = 40) -> Iterator[compare.Row]:
    """Time, and processor time, of an accept."""
    clock = compare.Row("accept", "PyWPS's default mode", 0.5, "ms")
    processor = compare.Row("processor time of an accept", "PyWPS's default mode", 0.1, "ms")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("hpc", "default"):
            (Path(folder) / name).mkdir()
        ours = servers.HpcServer(Path(folder) / "hpc", sections={"hpc": NO_LIMITS})
        default = servers.DefaultServer(Path(folder) / "default")
        with ours, default:
            mine = functools.partial(measure, ours, workers_of(ours), requests)
            theirs = functools.partial(measure, default, workers_of(default), requests)
            mine(), theirs()  # what is done once has been done
            compare.in_turn_together((clock, processor), mine, theirs, rounds)
    yield from (clock, processor)


@click.command()
@click.option("--rounds", default=compare.ROUNDS, show_default=True)
@click.option("--requests", default=40, show_default=True, help="In each round.")
def main(rounds: int, requests: int) -> None:
    """Print the rows."""
    compare.printed(rows(rounds, requests))


if __name__ == "__main__":
    main()
