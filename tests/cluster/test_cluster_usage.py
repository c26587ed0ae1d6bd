"""What usage tells of jobs, against what the batch system's own accounting tells of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import batch_paths as paths
import cluster_site as site
import servers
import wps_client as client
from pywps_hpc.jobs.usage import percentile

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

#: Seconds of processor time, seconds of sleep, MiB: long and short, small and large.
KINDS = [
    *((12, 0, 400), (0, 3, 300), (0, 1, 20), (1, 1, 20), (0, 5, 600)),
    *((2, 3, 200), (0, 6, 350), (11, 2, 100), (0, 4, 50), (3, 0, 350)),
]
JOBS = (KINDS * 10)[: int(os.environ.get("PYWPS_HPC_USAGE_JOBS", "6"))]


class Accounted(NamedTuple):
    """What sacct tells of a job: seconds, and MiB of its batch step."""

    queued: int
    elapsed: int
    cpu: float
    memory: float


@pytest.fixture
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("usage")
    site.code(root)
    with paths.turn("slurm"), site.slurm_server(root, "working:service") as server:
        yield server


def accounted(native_id: str) -> Accounted | None:
    """Once the end of its batch step is told, too."""
    columns = "JobID,Submit,Start,End,ElapsedRaw,TotalCPU,MaxRSS"
    line = ["env", "SLURM_TIME_FORMAT=%s", "sacct", "-n", "-P", "--units=M", "-j", native_id]
    told = [row.split("|") for row in site.as_user(*line, "-o", columns).splitlines()]
    if not told:
        return None
    # Ids are used again: an earlier job of this number stands above.
    first = max(place for place, row in enumerate(told) if "." not in row[0])
    told = told[first:]
    memory = [float(row[6].rstrip("M")) for row in told if row[6]]
    if not memory or not all(row[3].isdigit() for row in told):
        return None
    _, submit, start, _, elapsed, cpu, _ = told[0]
    return Accounted(int(start) - int(submit), int(elapsed), site.seconds(cpu), max(memory))


@pytest.mark.batch_system("slurm")
def test_usage_agrees_with_the_accounting_of_slurm(hpc: servers.HpcServer) -> None:
    locations = [
        client.submit(hpc.url, "work", [("burn", burn), ("sleep", sleep), ("mebibytes", size)])
        for burn, sleep, size in ((str(b), str(s), str(m)) for b, s, m in JOBS)
    ]
    for location in locations:
        client.await_end(location)
    seen = []
    for location in locations:
        row = hpc.row(hpc.id_of(location))
        assert row is not None
        theirs = servers.wait_for(lambda row=row: accounted(row["native_id"]), "sacct tells", 90)
        seen.append((row, theirs))
    (group,) = map(json.loads, hpc.cli("usage", "--accounting", "--json").stdout.splitlines())
    queued, ran, memory = (
        sorted(values)
        for values in zip(*((t.queued, t.elapsed, t.memory) for _, t in seen), strict=True)
    )
    assert (group["process"], group["jobs"], group["measured"]) == ("work", len(JOBS), len(JOBS))
    for percent in (50, 95):
        assert abs(group[f"queue_p{percent}"] - percentile(queued, percent)) <= 2
        assert abs(group[f"run_p{percent}"] - percentile(ran, percent)) <= 1
    assert group["cpu_used"] == pytest.approx(sum(t.cpu for _, t in seen), rel=0.05)
    assert group["memory_used"] == pytest.approx(memory[-1], rel=0.1)
    assert group["memory_used_p95"] == pytest.approx(percentile(memory, 95), rel=0.1)
    # What the nodes told, without a question to anybody. sacct's times are whole seconds, its
    # memory is that of the container's runtime, too.
    for row, theirs in seen:
        if row["cpu_seconds"] is None:
            continue
        assert abs(row["started"] - row["submitted"] - theirs.queued) <= 2
        if theirs.cpu > 10:
            assert row["cpu_seconds"] == pytest.approx(theirs.cpu, rel=0.05)
