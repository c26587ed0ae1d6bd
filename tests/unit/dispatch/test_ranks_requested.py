"""What each batch system is asked for when a job has several tasks, on one node or on several."""

from __future__ import annotations

from pathlib import Path

import pytest

import dialects
from pywps_hpc.dispatch.schedulers.base import BatchJob, Resources, SubmissionRefused
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from pywps_hpc.dispatch.schedulers.dialects.openpbs import OpenPbsDialect
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.dispatch.schedulers.dialects.torque import TorqueDialect
from pywps_hpc.dispatch.schedulers.local import LocalScheduler

#: Two nodes with two tasks of three processors each, 1200 MiB on each node.
MPI = {"nodes": 2, "tasks": 4, "cpus": 3, "memory": 1200, "gpus": 1, "walltime": 60}
SYSTEMS = {
    "slurm": (
        SlurmDialect,
        ["--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=3", "--mem=1200M"],
    ),
    # Memory is that of a slot, of which each node has six.
    "gridengine": (GridEngineDialect, ["-pe smp 12", "-l h_rt=60,h_vmem=200M"]),
    "torque": (TorqueDialect, ["-l nodes=2:ppn=6:gpus=1,mem=2400mb,walltime=00:01:00"]),
    "openpbs": (
        OpenPbsDialect,
        ["-l select=2:ncpus=6:mpiprocs=2:mem=1200mb:ngpus=1", "-l place=scatter"],
    ),
}


def asked(system: str, **resources: object) -> list[str]:
    lines = dialects.header(SYSTEMS[system][0](), resources={**MPI, **resources})
    return [line.split(" ", 1)[1] for line in lines]


@pytest.mark.parametrize("system", SYSTEMS)
def test_nodes_and_tasks_are_asked_for_in_the_system_s_own_terms(system: str) -> None:
    assert set(SYSTEMS[system][1]) <= set(asked(system))


@pytest.mark.parametrize("system", SYSTEMS)
def test_several_tasks_of_one_node_are_together(system: str) -> None:
    lines = "\n".join(asked(system, nodes=1))
    wanted = {
        "slurm": "--nodes=1\n--ntasks=4\n--cpus-per-task=3",
        "gridengine": "h_vmem=100M\n-pe smp 12",
        "torque": "nodes=1:ppn=12:gpus=1,mem=1200mb",
        "openpbs": "select=1:ncpus=12:mpiprocs=4:mem=1200mb",
    }
    assert wanted[system] in lines
    assert "scatter" not in lines


def test_nodes_alone_are_one_task_each() -> None:
    assert {"--nodes=2", "--ntasks=2"} <= set(asked("slurm", tasks=0))


def test_the_parallel_environment_has_a_key() -> None:
    assert "-pe mpi 12" in asked("gridengine", parallel_environment="mpi")
    assert "-pe orte 12" in asked("gridengine", extra=("-pe orte",))


def test_a_site_s_own_placement_of_nodes_counts() -> None:
    placed = asked("openpbs", extra=("-l place=scatter:excl",))
    assert [line for line in placed if "place" in line] == ["-l place=scatter:excl"]


def test_drmaa_asks_for_the_same() -> None:
    job = BatchJob(name="a1", script="", log="/d/log", resources=Resources(**MPI))
    assert "-N 2 -n 4 -c 3" in SlurmDialect().native_specification(job)


def test_the_local_scheduler_has_one_node_with_so_many_processors(tmp_path: Path) -> None:
    scheduler = LocalScheduler(tmp_path, cpus=4)
    for resources, words in (
        (Resources(nodes=2), "asks for 2 nodes"),
        (Resources(tasks=3, cpus=2), "asks for 6 processors"),
    ):
        job = BatchJob(name="a1", script="", log=str(tmp_path / "log"), resources=resources)
        with pytest.raises(SubmissionRefused, match=words):
            scheduler.submit(job)
