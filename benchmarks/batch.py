"""Jobs through real Slurm and Apptainer, against what one would type: ``sbatch`` of ``true`` in the
same image.

    python benchmarks/batch.py [--jobs 200] [--many 500] [--submissions 1000] [--rounds 7]
        [--pilots]

As root on the test cluster (tests/infra/up.sh). Both sides ask for the same processor and memory,
and both are measured in turn.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support"), str(ROOT / "benchmarks")]

import compare  # noqa: E402
import psutil  # noqa: E402

import cluster_site as site  # noqa: E402
import servers  # noqa: E402
import wps_client as client  # noqa: E402

MEMORY = "300M"
INPUTS = [("steps", "1"), ("seconds", "0")]
REQUEST = client.execute_document("countdown", INPUTS, asynchronous=True)
SCRIPT = "#!/bin/bash\n{command}\n"
OPTIONS = ("--parsable", f"--mem={MEMORY}", "--time=10", "--output=/dev/null", "--chdir=/")
NAME = "plainly"


def accept(server: servers.HpcServer, number: int) -> list[str]:
    """Send requests from eight clients; where their status documents are."""

    def one(_: int) -> str:
        answer = servers.HTTP.post(
            server.url, data=REQUEST, headers={"Content-Type": "text/xml"}, timeout=300
        )
        answer.raise_for_status()
        return str(client.etree.fromstring(answer.content).get("statusLocation"))

    with ThreadPoolExecutor(8) as clients:
        return list(clients.map(one, range(number)))


def ended(server: servers.HpcServer, number: int) -> bool:
    """Whether that many jobs have ended, and well."""
    states = [row["state"] for row in server.rows()]
    assert set(states) <= {"accepted", "submitting", "queued", "running", "succeeded"}, states
    return states.count("succeeded") == number


class Ours:
    """The service; each measurement with as many jobs as those before have left."""

    def __init__(self, server: servers.HpcServer) -> None:
        self.server = server

    def burst(self, number: int) -> float:
        """Seconds from the first request to the last job's end in the table."""
        before = len(self.server.rows())
        begun = time.perf_counter()
        accept(self.server, number)
        while not ended(self.server, before + number):
            time.sleep(0.1)
        return time.perf_counter() - begun

    def one(self) -> float:
        """Seconds from a request to a document that says *succeeded*."""
        begun = time.perf_counter()
        location = client.submit(self.server.url, "countdown", INPUTS)
        while client.state_of(client.get(location).content) != "ProcessSucceeded":
            time.sleep(0.02)
        return time.perf_counter() - begun

    def submissions(self, number: int) -> float:
        """Seconds in which the dispatcher hands over jobs that were accepted while it stood still
        and the partition was down."""
        dispatcher = self.server.part("dispatcher")
        dispatcher.send_signal(signal.SIGSTOP)
        try:
            accept(self.server, number)
        finally:
            begun = time.perf_counter()
            dispatcher.send_signal(signal.SIGCONT)
        while any(row["state"] in ("accepted", "submitting") for row in self.server.rows()):
            time.sleep(0.05)
        return time.perf_counter() - begun

    def clear(self) -> None:
        """Cancel what waits, and wait until nothing is active."""
        self.server.cli("cancel", "--process", "countdown")
        subprocess.run(["scancel", f"--user={site.user()}"], check=True)
        servers.wait_for(
            lambda: all(
                row["state"] in ("succeeded", "failed", "dismissed") for row in self.server.rows()
            ),
            "all have ended",
            600,
        )


def submit_plainly(number: int, image: str) -> None:
    """``sbatch``, again and again."""
    script = SCRIPT.format(command=f"exec apptainer exec {image} true" if image else "exec true")
    for _ in range(number):
        subprocess.run(
            ["runuser", "-u", site.user(), "--", "sbatch", f"--job-name={NAME}", *OPTIONS],
            input=script,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )


def plain_burst(number: int, image: str) -> float:
    """Seconds from the first ``sbatch`` to an empty queue."""
    begun = time.perf_counter()
    submit_plainly(number, image)
    while subprocess.run(
        ["squeue", "--noheader", f"--name={NAME}"], capture_output=True, check=True
    ).stdout:
        time.sleep(0.1)
    return time.perf_counter() - begun


def plain_submissions(number: int) -> float:
    """Seconds in which ``sbatch`` hands over jobs to a partition that is down."""
    begun = time.perf_counter()
    submit_plainly(number, "")
    taken = time.perf_counter() - begun
    subprocess.run(["scancel", f"--name={NAME}"], check=True)
    return taken


def partition(state: str) -> None:
    """Let jobs of the test partition start, or not."""
    subprocess.run(["scontrol", "update", "PartitionName=batch", f"State={state}"], check=True)


def processor_time() -> float:
    """Seconds that all processes of the service's account have used, those that ended included:
    service, pilots, and what the pilots ran."""
    used = 0.0
    for process in psutil.process_iter(["username", "cpu_times"]):
        if process.info["username"] == site.user() and (times := process.info["cpu_times"]):
            used += sum(times[:4])
    return used


def beyond(name: str, row: compare.Row, goal: float) -> compare.Figure:
    """By how much ours took longer than theirs."""
    longer = [mine - other for mine, other in zip(row.ours, row.theirs, strict=True)]
    return compare.Figure(f"{name}, beyond {row.against}", "s", goal, longer)


def pilot_rows(jobs: int, many: int, rounds: int) -> Iterator[compare.Row | compare.Figure]:
    """The same with pilots, which run when it begins.

    Args:
        jobs: at once.
        many: jobs at once where each of them is short.
        rounds: of each measurement.
    """
    image = os.environ["PYWPS_HPC_TEST_IMAGE"]
    root = site.folder("bench-pilots")
    site.code(root)
    sections: dict[str, dict[str, object]] = {
        "hpc": {"poll_interval": "1"},
        "hpc.resources": {"memory": MEMORY},
        "hpc.container": {"warm": "yes", "pilots": 2, "pilot_slots": 4},
    }
    with site.slurm_server(root, "examples.service:service", sections=sections) as server:
        ours = Ours(server)
        ours.burst(8)
        what = "Execute → succeeded, in a running pilot"
        row = compare.Row(what, "`sbatch` in the image", 1.0)
        yield compare.in_turn(row, ours.one, lambda: plain_burst(1, image), rounds)
        yield beyond(what, row, 0.15)
        row = compare.Row(f"{jobs} jobs, in two pilots", f"{jobs} `sbatch` in the image", 1.0)
        yield compare.in_turn(
            row, lambda: ours.burst(jobs), lambda: plain_burst(jobs, image), rounds
        )
        used: list[float] = []

        def burst_of_many() -> float:
            before = processor_time()
            taken = ours.burst(many)
            used.append((processor_time() - before) / many)
            return taken

        what = f"{many} short jobs, in two pilots"
        row = compare.Row(what, f"{many} `sbatch` in the image", 1 / 3)
        yield compare.in_turn(row, burst_of_many, lambda: plain_burst(many, image), rounds)
        yield compare.Figure(f"{what}: processor time of each, service and pilot", "s", 0.1, used)
        ours.clear()


def rows(jobs: int, submissions: int, rounds: int) -> Iterator[compare.Row | compare.Figure]:
    """The rows of this file."""
    image = os.environ["PYWPS_HPC_TEST_IMAGE"]
    root = site.folder("bench")
    site.code(root)
    sections: dict[str, dict[str, object]] = {
        "hpc": {"poll_interval": "1"},
        "hpc.resources": {"memory": MEMORY},
    }
    with site.slurm_server(root, "examples.service:service", sections=sections) as server:
        ours = Ours(server)
        ours.one()
        plain = compare.Row("Execute → succeeded, Slurm idle", "`sbatch` in the image", 2.0)
        yield compare.in_turn(plain, ours.one, lambda: plain_burst(1, image), rounds)
        yield beyond(plain.what, plain, 0.6)
        row = compare.Row(f"{jobs} jobs that do nothing", f"{jobs} `sbatch` in the image", 2.5)
        yield compare.in_turn(
            row, lambda: ours.burst(jobs), lambda: plain_burst(jobs, image), rounds
        )
        partition("DOWN")
        try:
            row = compare.Row(f"{submissions} jobs handed to Slurm", f"{submissions} `sbatch`", 0.1)

            def hand_over() -> float:
                taken = ours.submissions(submissions)
                ours.clear()
                return taken

            yield compare.in_turn(row, hand_over, lambda: plain_submissions(submissions), rounds)
        finally:
            partition("UP")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--pilots", action="store_true", help="only what concerns pilots")
    parser.add_argument("--many", type=int, default=500, help="short jobs at once, in pilots")
    parser.add_argument("--rounds", type=int, default=compare.ROUNDS)
    own = parser.parse_args()
    alone = () if own.pilots else rows(own.jobs, own.submissions, own.rounds)
    compare.printed(chain(alone, pilot_rows(own.jobs, own.many, own.rounds)))


if __name__ == "__main__":
    main()
