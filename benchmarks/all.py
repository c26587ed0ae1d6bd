"""Every benchmark, one after the other, and one table of what they found at the end.

    make bench
    python benchmarks/all.py [--quick] [--only SCRIPT ...]

An hour and a quarter on a host of one's own. ``--quick`` takes less than 15 minutes: fewer jobs,
but never fewer rounds than an interval needs. The plots are made apart, by curves.py.
What needs the test cluster (tests/infra/up.sh) is left out where it is not up, and that is said.
The variable ``BENCHMARK_FINCH`` names the interpreter of an environment in which finch (PyPI) and
pywps-hpc are installed; without it the benchmark of its indices is left out. For that of HyperQueue
see batch.py.
The load of the host stands in each row, since the figures of a busy one count as ratios only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from compare import HEADING

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """A script with its arguments.

    Attributes:
        quick: the arguments of a quick run; ``None``: it is left out of one.
        cluster: whether it needs the test cluster.
        python: the variable that names the interpreter of the service that it needs.
    """

    script: str
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = ()
    cluster: bool = False
    python: str = ""


RUNS = (
    Run("accept.py", quick=("--requests", "20")),
    Run("accept_clients.py", quick=("--requests", "150")),
    Run("accept_clients.py", ("--postgresql",), None),
    Run(
        "inline.py", quick=("--size", "50", "--only", "WPS 1.0.0, text", "--only", "OGC API, text")
    ),
    Run("status_reads.py", quick=("--seconds", "1", "--clients", "1", "64")),
    Run("launcher.py", quick=("--rounds", "7")),
    Run("warm.py", ("--rounds", "7"), ("--rounds", "7", "--cold-rounds", "1")),
    Run("dispatcher.py", quick=("--jobs", "2000", "--only", "changes", "--only", "wake_up")),
    Run("growth.py", quick=("--jobs", "200000")),
    Run("growth.py", ("--postgresql",), None),
    Run("replay.py", quick=("--folder", "/dev/shm", "--jobs", "4000", "--under-way", "500")),
    Run("replay.py", ("--postgresql",), None),
    Run("job_list.py", ("200000",), None),
    Run("indices.py", quick=None, python="BENCHMARK_FINCH"),
    Run("batch.py", quick=None, cluster=True),
)


@click.command()
@click.option("--quick", is_flag=True, help="Less than 15 minutes.")
@click.option("--only", multiple=True, help="Scripts; else all.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Run them, and print the table; the exit code tells how many failed."""
    has_cluster = os.environ.get("PYWPS_HPC_CLUSTER") == "1"
    failed, left_out = [], []
    with tempfile.NamedTemporaryFile("r", suffix=".md") as rows:
        for run in RUNS:
            arguments = run.quick if quick else run.arguments
            if only and run.script not in only:
                continue
            service = os.environ.get(run.python, "")
            if (
                arguments is None
                or (run.cluster and not has_cluster)
                or (run.python and not service)
            ):
                left_out.append(run.script)
                continue
            if service:
                arguments = (*arguments, "--python", service)
            load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
            print(f"\n== {run.script} {' '.join(arguments)} (load {load})", flush=True)
            command = [sys.executable, str(FOLDER / run.script), *arguments]
            done = subprocess.run(
                command, env=os.environ | {"BENCHMARK_ROWS": rows.name}, check=False
            )
            if done.returncode:
                failed.append(run.script)
        print(f"\n{HEADING}\n{rows.read()}", end="")
    for what, scripts in (("failed", failed), ("left out", left_out)):
        if scripts:
            print(f"\n{what}: {', '.join(scripts)}")
    sys.exit(len(failed))


if __name__ == "__main__":
    main()
