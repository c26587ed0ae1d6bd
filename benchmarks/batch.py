"""Jobs through real Slurm and Apptainer, against what one would type: ``sbatch`` of ``true`` in the
same image; and jobs handed to Slurm and Grid Engine, against ``sbatch`` and ``qsub``.

    python benchmarks/batch.py [--jobs 200] [--many 500] [--submissions 1000] [--rounds 7]
        [--only jobs|submissions|pilots ...]

As root on the test cluster (tests/infra/up.sh; Grid Engine is started where it is not up). Both
sides ask for the same processor and memory, and both are measured in turn. The variable
``BENCHMARK_HYPERQUEUE`` names an interpreter that has HyperQueue (PyPI), with which jobs in pilots
are compared, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support"), str(ROOT / "benchmarks")]

import compare  # noqa: E402
import psutil  # noqa: E402

import cluster_site as site  # noqa: E402
import gridengine_cell  # noqa: E402
import servers  # noqa: E402
import wps_client as client  # noqa: E402
from places import INFRA  # noqa: E402

MEMORY = "300M"
INPUTS = [("steps", "1"), ("seconds", "0")]
REQUEST = client.execute_document("countdown", INPUTS, asynchronous=True)
SCRIPT = "#!/bin/bash\n{command}\n"
NAME = "plainly"
#: Of the control groups that count processor time.
NODES = Path("/sys/fs/cgroup/cpuacct")
#: Jobs at once in a pilot.
SLOTS = 4
PARTS = ("jobs", "submissions", "pilots")
Sections = dict[str, dict[str, object]]


@dataclass(frozen=True)
class System:
    """A batch system, by the commands that one types.

    Attributes:
        name: as people write it.
        submit: a user's, which reads a script from standard input.
        cancel: ends all jobs of the service's account.
        hold, release: an administrator's, so that no job starts, or jobs start again.
        environment: what the commands need besides this process's own.
    """

    name: str
    submit: tuple[str, ...]
    cancel: tuple[str, ...]
    hold: tuple[str, ...]
    release: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str, script: str = "", check: bool = True) -> None:
        """Run a command, which may read a script from standard input."""
        environment = os.environ | dict(self.environment)
        subprocess.run(
            command,
            input=script,
            text=True,
            check=check,
            stdout=subprocess.DEVNULL,
            cwd="/",
            env=environment,
        )

    def submit_plainly(self, number: int, image: str = "") -> None:
        """Submit ``true`` again and again, in an image or without one."""
        script = SCRIPT.format(
            command=f"exec apptainer exec {image} true" if image else "exec true"
        )
        for _ in range(number):
            self.run("runuser", "-u", site.user(), "--", *self.submit, script=script)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No job starts meanwhile."""
        self.run(*self.hold)
        try:
            yield
        finally:
            self.run(*self.release)


def slurm() -> System:
    """The test cluster's Slurm."""
    options = ("--parsable", f"--mem={MEMORY}", "--time=10", "--output=/dev/null", "--chdir=/")
    partition = ("scontrol", "update", "PartitionName=batch")
    return System(
        name="Slurm",
        submit=("sbatch", f"--job-name={NAME}", *options),
        cancel=("scancel", f"--user={site.user()}"),
        hold=(*partition, "State=DOWN"),
        release=(*partition, "State=UP"),
    )


def grid_engine() -> System:
    """The test cluster's Grid Engine, which has to be up."""
    options = ("-S", "/bin/bash", "-r", "n", "-notify", "-j", "y", "-o", "/dev/null", "-wd", "/")
    return System(
        name="Grid Engine",
        submit=("qsub", "-terse", "-N", NAME, *options, "-l", f"h_rt=600,h_vmem={MEMORY}"),
        cancel=("qdel", "-u", site.user()),
        hold=("qmod", "-d", "all.q"),
        release=("qmod", "-e", "all.q"),
        environment=gridengine_cell.environment(),
    )


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
    states = server.states()
    assert set(states) <= {"accepted", "submitting", "queued", "running", "succeeded"}, states
    return states.get("succeeded", 0) == number


class Ours:
    """The service; each measurement with as many jobs as those before have left."""

    def __init__(self, server: servers.HpcServer, system: System) -> None:
        self.server, self.system = server, system

    def burst(self, number: int) -> float:
        """Seconds from the first request to the last job's end in the table."""
        before = sum(self.server.states().values())
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
        """Seconds in which the dispatcher hands over jobs that were accepted while it stood
        still."""
        dispatcher = self.server.part("dispatcher")
        self._stop(dispatcher)
        try:
            accept(self.server, number)
        finally:
            begun = time.perf_counter()
            dispatcher.send_signal(signal.SIGCONT)
        while self.server.states().keys() & {"accepted", "submitting"}:
            time.sleep(0.05)
        return time.perf_counter() - begun

    def _stop(self, dispatcher: psutil.Process) -> None:
        """Stop it where it holds no lock on the database, or nobody could write."""
        table = sqlite3.connect(self.server.folder / "spool/jobs.sqlite", timeout=0)
        with contextlib.closing(table):
            while True:
                dispatcher.send_signal(signal.SIGSTOP)
                with contextlib.suppress(sqlite3.OperationalError):
                    table.execute("BEGIN IMMEDIATE")
                    table.rollback()
                    return
                dispatcher.send_signal(signal.SIGCONT)
                time.sleep(0.05)

    def clear(self) -> None:
        """Cancel what waits, and wait until nothing is active."""
        self.server.cli("cancel", "--process", "countdown")
        self.system.run(*self.system.cancel, check=False)  # there may be none
        servers.wait_for(
            lambda: self.server.states().keys() <= {"succeeded", "failed", "dismissed"},
            "all have ended",
            600,
        )


def plain_burst(number: int, image: str) -> float:
    """Seconds from the first ``sbatch`` to an empty queue."""
    begun = time.perf_counter()
    slurm().submit_plainly(number, image)
    while subprocess.run(
        ["squeue", "--noheader", f"--name={NAME}"], capture_output=True, check=True
    ).stdout:
        time.sleep(0.1)
    return time.perf_counter() - begun


def processor_time(server: servers.HpcServer) -> float:
    """Seconds that the service and all jobs of the cluster's nodes have used, with what has ended:
    Slurm has a control group for each node (cgroup.conf(5), cpuacct)."""
    used = sum(int(file.read_text()) for file in NODES.glob("slurm_*/cpuacct.usage")) / 1e9
    for process in server.processes():
        with contextlib.suppress(psutil.Error):
            used += sum(process.cpu_times()[:4])
    return used


def hyperqueue(python: str, number: int, image: str) -> float:
    """Seconds in which a running worker of HyperQueue does as many tasks, with as many at once as
    two pilots have."""
    command = [str(INFRA / "fuse.sh"), "runuser", "-u", site.user(), "--", "env"]
    command += [f"PATH={site.LOCAL['command_path']}", python]
    command += [str(ROOT / "benchmarks/hyperqueue_tasks.py"), str(number), str(2 * SLOTS)]
    command += ["apptainer", "exec", image, "true"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
    return float(done.stdout.splitlines()[-1])


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
    sections: Sections = {
        "hpc.resources": {"memory": MEMORY},
        "hpc.container": {"warm": "yes", "pilots": 2, "pilot_slots": SLOTS},
    }
    with service("bench-pilots", sections) as server:
        ours = Ours(server, slurm())
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
            before = processor_time(server)
            taken = ours.burst(many)
            used.append((processor_time(server) - before) / many)
            return taken

        what = f"{many} short jobs, in two pilots"
        rows = [compare.Row(what, f"{many} `sbatch` in the image", 1 / 3)]
        others = [lambda: plain_burst(many, image)]
        if python := os.environ.get("BENCHMARK_HYPERQUEUE"):
            against = f"{many} tasks of HyperQueue, `true` in the image"
            rows.append(compare.Row(what, against, 1.0))
            others.append(lambda: hyperqueue(python, many, image))
        yield from compare.against_each(rows, burst_of_many, others, rounds)
        yield compare.Figure(f"{what}: processor time of each, service and pilot", "s", 0.1, used)
        ours.clear()


def job_rows(jobs: int, rounds: int) -> Iterator[compare.Row | compare.Figure]:
    """One job, and many at once, each by itself.

    Args:
        jobs: at once.
        rounds: of each measurement.
    """
    image = os.environ["PYWPS_HPC_TEST_IMAGE"]
    with service("bench", {"hpc.resources": {"memory": MEMORY}}) as server:
        ours = Ours(server, slurm())
        ours.one()
        plain = compare.Row("Execute → succeeded, Slurm idle", "`sbatch` in the image", 2.0)
        yield compare.in_turn(plain, ours.one, lambda: plain_burst(1, image), rounds)
        yield beyond(plain.what, plain, 0.6)
        row = compare.Row(f"{jobs} jobs that do nothing", f"{jobs} `sbatch` in the image", 2.5)
        yield compare.in_turn(
            row, lambda: ours.burst(jobs), lambda: plain_burst(jobs, image), rounds
        )


def submission_rows(number: int, rounds: int) -> Iterator[compare.Row]:
    """Jobs handed to each batch system, none of which starts.

    Args:
        number: of jobs.
        rounds: of each measurement.
    """
    with service("bench-slurm", {"hpc.resources": {"memory": MEMORY}}) as server:
        yield handed_over(Ours(server, slurm()), number, rounds, goal=1 / 10)
    with gridengine_cell.running():
        sections: Sections = {
            "hpc": {
                "scheduler": "gridengine",
                "command_environment": gridengine_cell.command_environment(),
            },
            "hpc.resources": {"memory": MEMORY},
        }
        with service("bench-gridengine", sections) as server:
            yield handed_over(Ours(server, grid_engine()), number, rounds, goal=1 / 5)


def handed_over(ours: Ours, number: int, rounds: int, goal: float) -> compare.Row:
    """Jobs handed over by the dispatcher, against as many commands."""
    system = ours.system
    command = system.submit[0]
    row = compare.Row(f"{number} jobs handed to {system.name}", f"{number} `{command}`", goal)

    def by_dispatcher() -> float:
        taken = ours.submissions(number)
        ours.clear()
        return taken

    def by_hand() -> float:
        begun = time.perf_counter()
        system.submit_plainly(number)
        taken = time.perf_counter() - begun
        system.run(*system.cancel)
        return taken

    with system.held():
        return compare.in_turn(row, by_dispatcher, by_hand, rounds)


@contextmanager
def service(name: str, sections: Sections) -> Iterator[servers.HpcServer]:
    """The examples as a service that polls each second.

    Args:
        name: of its folder.
        sections: further configuration.
    """
    root = site.folder(name)
    site.code(root)
    own = {**sections, "hpc": {"poll_interval": "1", **sections.get("hpc", {})}}
    with site.slurm_server(root, "examples.service:service", sections=own) as server:
        yield server


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--only", action="append", choices=PARTS, help="parts of it; else all")
    parser.add_argument("--many", type=int, default=500, help="short jobs at once, in pilots")
    parser.add_argument("--rounds", type=int, default=compare.ROUNDS)
    own = parser.parse_args()
    parts = {
        "jobs": lambda: job_rows(own.jobs, own.rounds),
        "submissions": lambda: submission_rows(own.submissions, own.rounds),
        "pilots": lambda: pilot_rows(own.jobs, own.many, own.rounds),
    }
    compare.printed(row for part in own.only or PARTS for row in parts[part]())


if __name__ == "__main__":
    main()
