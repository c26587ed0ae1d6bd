"""How long clients wait for *accepted* when many send at once: median, 95th percentile, longest.

    python benchmarks/accept_clients.py [--clients 50] [--requests 400] [--rounds 7]
        [--postgresql]

Each client sends the next request when it has its answer. One job runs at a time, so that what is
measured is the web server with two workers and the job table.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402

import servers  # noqa: E402
import wps_client  # noqa: E402
from postgres import Postgres  # noqa: E402


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=compare.ROUNDS)
    parser.add_argument("--postgresql", action="store_true", help="Debian's; else SQLite.")
    own = parser.parse_args()
    with Postgres() if own.postgresql else contextlib.nullcontext() as database:
        late = measured(own, {"database": database.url} if database else {})
    kind = "PostgreSQL" if own.postgresql else "SQLite"
    what = f"accept, 95th percentile, {own.clients} clients, {kind}"
    compare.tell(compare.Figure(what, "s", 0.5, late))


def measured(own: argparse.Namespace, more: Mapping[str, object]) -> list[float]:
    """The 95th percentile of each round.

    Args:
        own: the arguments.
        more: keys of the section ``[hpc]``.
    """
    document = wps_client.execute_document("sleeper", [("seconds", "0")], asynchronous=True)
    with tempfile.TemporaryDirectory() as folder:
        hpc = {"slots": 1, "max_active": 1_000_000, "max_active_per_owner": 1_000_000}
        server = servers.HpcServer(Path(folder), sections={"hpc": hpc | more})

        def client(number: int) -> list[float]:
            taken = []
            with requests.Session() as session:
                session.trust_env = False
                for _ in range(own.requests // own.clients):
                    begun = time.perf_counter()
                    answer = session.post(
                        server.url, data=document, headers={"Content-Type": "text/xml"}
                    )
                    taken.append(time.perf_counter() - begun)
                    assert answer.status_code == 200, answer.text
            return taken

        with server:
            workers = [psutil.Process(pid) for pid in server.worker_pids()]
            client(0)
            late = []
            for _ in range(own.rounds):
                before = sum(sum(worker.cpu_times()[:2]) for worker in workers)
                with ThreadPoolExecutor(own.clients) as pool:
                    found = list(pool.map(client, range(own.clients)))
                taken = sorted(second for each in found for second in each)
                spent = sum(sum(worker.cpu_times()[:2]) for worker in workers) - before
                late.append(taken[int(len(taken) * 0.95)])
                print(
                    f"{own.clients} clients: median {statistics.median(taken):.3f} s, "
                    f"95 % {late[-1]:.3f} s, longest {taken[-1]:.3f} s; "
                    f"{spent / len(taken) * 1e3:.2f} ms of processor each",
                    flush=True,
                )
    return late


if __name__ == "__main__":
    main()
