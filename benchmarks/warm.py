"""How long a client waits for a short job: PyWPS's multiprocessing, `local` cold, `local` warm.

    python benchmarks/warm.py [APPLICATION IDENTIFIER [NAME=VALUE ...]] [--rounds N]

From the request (asynchronous Execute) to the status document that says *succeeded*, looked at
every 2 ms. The three servers run side by side and get one request each in turn; by default for a
process that does nothing. A value that begins with ``file://`` goes by reference; its folder has
to be among the allowed ones.

With ``--image`` the jobs of both our servers run in containers. For the process ``first_line`` it
tells, too, how long after the start of a job's launcher its first line ran.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import compare  # noqa: E402

import servers  # noqa: E402
import wps_client  # noqa: E402

WARM_UP = 4
servers.START_LIMIT = 900.0  # finch on a busy machine


def seconds(server: servers.Server, identifier: str, inputs: list[tuple[str, object]]) -> float:
    """From the request to the end of its job."""
    begun = time.perf_counter()
    location = wps_client.submit(server.url, identifier, inputs)  # type: ignore[arg-type]
    while True:
        try:
            document = wps_client.get(location).content
            state = wps_client.state_of(document)
        except (SyntaxError, requests.RequestException):
            continue  # PyWPS writes it in place: it is empty, or cut off, meanwhile
        if state == "ProcessSucceeded":
            return time.perf_counter() - begun
        assert state != "ProcessFailed", wps_client.message_of(document)
        time.sleep(0.002)


def to_first_line(server: servers.HpcServer) -> float:
    """Run a job of ``first_line``; seconds from the start of its launcher, or of the container in
    which that is, to its first line. The log is made right before."""
    location = wps_client.submit(server.url, "first_line", [])
    document = wps_client.await_end(location)
    line = int(str(wps_client.outputs_of(document)["done"].content)) / 1e9
    log = server.job(server.id_of(location)).log
    made = subprocess.run(["stat", "-c", "%.9W", log], check=True, capture_output=True, text=True)
    return line - float(made.stdout)


def main() -> None:
    """Print the medians and the ratios of each round, and the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("application", nargs="?", default="odd:service")
    parser.add_argument("identifier", nargs="?", default="sleeper")
    parser.add_argument("inputs", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the services")
    parser.add_argument("--memory", default="4G")
    parser.add_argument("--cold-rounds", type=int, default=7)
    parser.add_argument("--image", type=Path, help="container image of the jobs")
    own = parser.parse_args()
    inputs: list[tuple[str, object]] = []
    given = ["seconds=0"] if own.identifier == "sleeper" else []
    for text in own.inputs or given:
        name, _, value = text.partition("=")
        is_file = value.startswith("file://")
        inputs.append(
            (name, wps_client.Reference(value, "application/x-netcdf") if is_file else value)
        )
    allowed = {str(Path(t.partition("=file://")[2]).parent) for t in own.inputs if "=file://" in t}
    with tempfile.TemporaryDirectory() as folder:
        sections: dict[str, dict[str, object]] = {"hpc.resources": {"memory": own.memory}}
        if allowed:
            sections["server"] = {"allowedinputpaths": ":".join(allowed)}
        for name in ("warm", "cold", "default"):
            (Path(folder) / name).mkdir()
        contained: dict[str, object] = {}
        if own.image:
            contained = {"runtime": "apptainer", "image": own.image}
            sections["hpc"] = {"command_path": os.environ["PATH"]}
            sections["hpc.container"] = contained
        no = {"hpc.container": {**contained, "warm": "no"}}
        cold = servers.HpcServer(
            Path(folder) / "cold",
            own.application,
            python=own.python,
            workers=1,
            sections={**sections, **no},
        )
        warm = servers.HpcServer(
            Path(folder) / "warm", own.application, python=own.python, workers=1, sections=sections
        )
        default = servers.DefaultServer(
            Path(folder) / "default", own.application, python=own.python, sections=sections
        )
        with warm, cold, default:
            for _ in range(WARM_UP):
                for server in (warm, default):
                    seconds(server, own.identifier, inputs)
                time.sleep(1)
            await_nursery(Path(folder) / "warm")
            taken: dict[str, list[float]] = {"default": [], "cold": [], "warm": []}
            for number in range(own.rounds):
                for name, server in (("default", default), ("warm", warm), ("cold", cold)):
                    if name != "cold" or number < own.cold_rounds:
                        taken[name].append(seconds(server, own.identifier, inputs))
                if own.identifier == "first_line":
                    for name, one in (("warm, first line", warm), ("cold, first line", cold)):
                        taken.setdefault(name, []).append(to_first_line(one))
                print(number, *(f"{name} {t[-1]:.3f} s" for name, t in taken.items()), flush=True)
    middle = {name: statistics.median(times) for name, times in taken.items()}
    for name, value in middle.items():
        low, high = min(taken[name]), max(taken[name])
        ratio = value / middle["default"]
        print(f"{name}: {value:.3f} s ({low:.3f} to {high:.3f}), {ratio:.2f} x default mode")
    goal = 1.3 if own.application.startswith("finch") else 2.0
    row = compare.Row(f"`{own.identifier}`, `local`, warm", "PyWPS's multiprocessing", goal)
    row.ours, row.theirs, row.load = taken["warm"], taken["default"], os.getloadavg()[0]
    compare.tell(row)


def await_nursery(folder: Path) -> None:
    """Until it has taken in what the first jobs reported."""
    last, deadline = "", time.monotonic() + 600
    while time.monotonic() < deadline:
        logs = "".join(log.read_text() for log in folder.glob("spool/scheduler/nurseries/*/log"))
        if logs == last and "takes orders" in logs.rstrip("\n").rpartition("\n")[2]:
            print(logs)
            return
        last = logs
        time.sleep(5)


if __name__ == "__main__":
    main()
