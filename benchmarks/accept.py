"""What an asynchronous Execute costs until it is answered, against PyWPS's default mode.

    python benchmarks/accept.py

Both servers have two gunicorn workers and the same process, which does next to nothing; requests go
to them in turn, so that both see the same machine. PyWPS's default mode forks for each request.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import servers  # noqa: E402
import wps_client  # noqa: E402

ROUNDS, REQUESTS = 7, 20
INPUTS = [("seconds", "0")]


def seconds(server: servers.Server) -> float:
    """Median seconds from request to answer."""
    taken = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        wps_client.submit(server.url, "leaves_child", INPUTS)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main() -> None:
    """Print the medians and the ratio of each round, and the median ratio."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("hpc", "default"):
            (Path(folder) / name).mkdir()
        # One slot: the jobs of earlier requests take as little as possible of the machine.
        ours = servers.HpcServer(Path(folder) / "hpc", sections={"hpc": {"slots": 1}})
        default = servers.DefaultServer(Path(folder) / "default")
        ratios = []
        with ours, default:
            for number in range(ROUNDS):
                mine, theirs = seconds(ours), seconds(default)
                ratios.append(mine / theirs)
                print(f"{number}: {mine * 1e3:.1f} ms, default mode {theirs * 1e3:.1f} ms")
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"ratio pywps-hpc / default mode: {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
