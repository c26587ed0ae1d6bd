"""A rush and a steady stream through real Slurm and Apptainer: is everything accepted ended, does
anything grow?

    python benchmarks/load.py --database sqlite --burst 2000 --minutes 10 --rate 1

First a burst of requests at once, then a stream of them at a steady rate. All the while each part
of the server is measured; afterwards the checker of the fault tests looks at table, documents,
leases, queue and disk, and ``pywps-hpc purge`` has to bring the server's folder back to the files
that it began with. Prints one table; ends with 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import cluster_site as site  # noqa: E402
import invariants  # noqa: E402
import postgres  # noqa: E402
import servers  # noqa: E402
import wps_client as client  # noqa: E402
from pywps_hpc.spool import ARRAYS, TRASH  # noqa: E402

#: Seconds between two measurements, and share of a phase that counts as warming up.
EVERY, WARM = 2.0, 0.2
REQUEST = client.execute_document(
    "countdown", [("steps", "1"), ("seconds", "0.01")], asynchronous=True
)
TERMINAL = ("succeeded", "failed", "dismissed")


@dataclass
class Sent:
    """What the clients saw.

    Attributes:
        accepted: the locations of the status documents.
        seconds: from each accepted request to its answer.
        statuses: how often each HTTP status was answered.
    """

    accepted: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def one(self, url: str, deadline: float) -> None:
        """Send a request, and again for as long as the server says that it is busy."""
        while True:
            begun = time.perf_counter()
            with requests.Session() as session:
                session.trust_env = False
                answer = session.post(
                    url, data=REQUEST, headers={"Content-Type": "text/xml"}, timeout=120
                )
            taken = time.perf_counter() - begun
            with self.lock:
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    location = client.etree.fromstring(answer.content).get("statusLocation")
                    self.accepted.append(str(location))
                    self.seconds.append(taken)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return
            time.sleep(int(answer.headers["Retry-After"]))


@dataclass
class Gauge:
    """Measures the parts of a server again and again.

    Attributes:
        samples: for each part and quantity, all values in the order of time.
    """

    server: servers.HpcServer
    samples: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: collections.defaultdict(list)
    )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Measure in a thread for as long as this lasts."""
        stop = threading.Event()

        def measure() -> None:
            while not stop.wait(EVERY):
                self._measure()

        thread = threading.Thread(target=measure)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _measure(self) -> None:
        for part, processes in self._parts().items():
            with contextlib.suppress(psutil.Error):
                values = {
                    "memory, MiB": sum(p.memory_info().rss for p in processes) / (1 << 20),
                    "descriptors": sum(p.num_fds() for p in processes),
                    "threads": sum(p.num_threads() for p in processes),
                }
                for name, value in values.items():
                    self.samples[part, name].append(value)
        folders = sum(1 for _ in self.server.spool.job_ids())
        self.samples["spool", "job folders"].append(folders)

    def _parts(self) -> Mapping[str, list[psutil.Process]]:
        parts: dict[str, list[psutil.Process]] = collections.defaultdict(list)
        for process in self.server.processes():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                for part in ("web", "dispatcher"):
                    if part in line and "pywps_hpc" in line:
                        parts[part].append(process)
        return parts

    def table(self) -> Iterator[str]:
        """For each quantity its median early on, its median at the end, and its highest value."""
        yield f"{'':24} {'early':>9} {'late':>9} {'highest':>9}"
        for (part, name), values in sorted(self.samples.items()):
            rest = values[int(len(values) * WARM) :]
            quarter = max(1, len(rest) // 4)
            early, late = statistics.median(rest[:quarter]), statistics.median(rest[-quarter:])
            yield f"{part + ' ' + name:24} {early:9.1f} {late:9.1f} {max(values):9.1f}"


def burst(server: servers.HpcServer, number: int, clients: int) -> Sent:
    """So many requests at once."""
    sent, deadline = Sent(), time.monotonic() + 3600
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: sent.one(server.url, deadline), range(number)))
    return sent


def stream(server: servers.HpcServer, minutes: float, rate: float) -> Sent:
    """Requests at a steady rate, a second."""
    sent, begun = Sent(), time.monotonic()
    deadline = begun + 60 * minutes
    with ThreadPoolExecutor(64) as pool:
        number = 0
        while (due := begun + number / rate) < deadline:
            time.sleep(max(0.0, due - time.monotonic()))
            pool.submit(sent.one, server.url, deadline)
            number += 1
    return sent


def await_ends(server: servers.HpcServer, limit: float) -> collections.Counter[str]:
    """Wait until no job is active; how many ended how."""
    states: collections.Counter[str] = collections.Counter()

    def all_over() -> bool:
        states.clear()
        states.update(row["state"] for row in server.rows())
        return all(state in TERMINAL for state in states)

    with contextlib.suppress(AssertionError):
        servers.wait_for(all_over, "all jobs have ended", limit)
    return states


def phase(name: str, server: servers.HpcServer, sent: Sent, begun: float, limit: float) -> bool:
    """Wait for the ends of a phase and tell of it; whether all is well."""
    answered = time.monotonic() - begun
    states = await_ends(server, limit)
    took = time.monotonic() - begun
    quantiles = statistics.quantiles(sent.seconds, n=20)
    print(
        f"{name}: {len(sent.accepted)} accepted within {answered:.0f} s, ended within {took:.0f} s"
    )
    print(f"  HTTP {dict(sorted(sent.statuses.items()))}, table {dict(states)}")
    print(
        f"  answered in {statistics.median(sent.seconds) * 1e3:.0f} ms (median), "
        f"{quantiles[-1] * 1e3:.0f} ms (95 %), {max(sent.seconds) * 1e3:.0f} ms (longest)"
    )
    server_errors = sum(n for code, n in sent.statuses.items() if code >= 500 and code != 503)
    return server_errors == 0 and set(states) == {"succeeded"}


def files(server: servers.HpcServer) -> set[Path]:
    """All that lies in the server's folder, but for what SQLite keeps beside an open database, and
    the two folders that the spool makes when it first needs them."""
    known = {server.spool.root / ARRAYS, server.spool.root / TRASH}
    found = set(server.folder.rglob("*")) - known
    return {path for path in found if not path.name.endswith(("-wal", "-shm"))}


def purge(server: servers.HpcServer, before: set[Path]) -> bool:
    """Let all jobs expire and tell of it; whether nothing is left of them."""
    after = files(server)
    time.sleep(1)  # the last job ended that long ago
    server.cli("purge", "--older-than", "1s").check_returncode()
    left = files(server) - before
    print(f"files: {len(before)} before, {len(after)} after, {len(before | left)} once purged")
    print("".join(f"  left: {path}\n" for path in sorted(left)), end="")
    return not left and not server.rows()


def run(arguments: argparse.Namespace, database: str) -> bool:
    """Both phases against one server; whether all is well."""
    root = site.folder("load")
    site.code(root)
    sections: dict[str, dict[str, object]] = {
        "hpc": {"database": database, "poll_interval": "1"} if database else {"poll_interval": "1"},
        "hpc.resources": {"memory": "300M"},
    }
    with site.slurm_server(root, "examples.service:service", sections=sections) as server:
        before, gauge, well = files(server), Gauge(server), True
        with gauge.running():
            begun = time.monotonic()
            sent = burst(server, arguments.burst, arguments.clients)
            well &= phase("burst", server, sent, begun, 3600)
            locations = sent.accepted
        for line in gauge.table():
            print("  " + line)
        gauge = Gauge(server)
        with gauge.running():
            begun = time.monotonic()
            sent = stream(server, arguments.minutes, arguments.rate)
            well &= phase("stream", server, sent, begun, 1200)
            locations += sent.accepted
        for line in gauge.table():
            print("  " + line)
        facts = invariants.check_server(server, locations, limit=300)
        print(f"invariants hold for {len(facts.accepted)} jobs")
        well &= purge(server, before)
    return well


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--burst", type=int, default=2000, help="requests at once")
    parser.add_argument("--clients", type=int, default=100, help="connections of the burst")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the stream")
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second in the stream")
    arguments = parser.parse_args()
    print(f"database {arguments.database}, {time.strftime('%Y-%m-%d %H:%M')}", flush=True)
    if arguments.database == "sqlite":
        return 0 if run(arguments, "") else 1
    with postgres.Postgres() as server:
        return 0 if run(arguments, server.url) else 1


if __name__ == "__main__":
    sys.exit(main())
