"""Limits and usage of jobs in a pilot: each job's own, many at once.

``PYWPS_HPC_PILOT_CASES`` has more of them tried than the few of a usual run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import cluster_site as site
import servers
import wps_client as client
from pilot_site import Queue, folders, native, param, pilots, queue_of, service

CASES = int(os.environ.get("PYWPS_HPC_PILOT_CASES", "4"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300 + 10 * CASES)]
SLOTS = 8
#: Seconds that a job may take, and of processor time of one that takes longer. Its neighbours need
#: little, so that a busy host does not keep them beyond that.
WALLTIME, BURN = 15, 1
#: Processor seconds of a pilot before its first job: container, and all imports.
START = 3.0


@pytest.fixture(params=[param("slurm")])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    yield from queue_of(request, request.param)


def test_what_goes_beyond_a_limit_ends_alone_and_all_usage_is_the_pilots(queue: Queue) -> None:
    kinds = {
        "memory": (0, 60, 2 * queue.memory),
        "time": (BURN, 600, 20),
        "neighbour": (0, 1, 20),
    }
    wanted = {
        "memory": f"more than the {queue.memory} MB asked for",
        "time": f"time limit 00:00:{WALLTIME} reached",
        "neighbour": "",
    }
    jobs = [kind for _ in range(CASES // 2) for kind in ("memory", "neighbour", "time")]
    own = {"pilot_slots": SLOTS, "pilot_idle": 10, "pilot_walltime": "01:00:00"}
    with service(queue, "working:service", f"00:00:{WALLTIME}", **own) as server:

        def play(kind: str) -> tuple[str, str, str]:
            inputs = zip(("burn", "sleep", "mebibytes"), map(str, kinds[kind]), strict=True)
            location = client.submit(server.url, "work", list(inputs))
            return kind, location, client.message_of(client.await_end(location, limit=120))

        played = [play("neighbour")]  # from now on the pilot runs
        with ThreadPoolExecutor(SLOTS) as players:
            played += players.map(play, jobs)
        (folder,) = folders(server)
        used = 0.0
        for kind, location, message in played:
            row = server.row(client.job_id_of(location))
            assert row is not None
            assert row["state"] == ("succeeded" if kind == "neighbour" else "failed"), message
            assert wanted[kind] in message
            assert native(server, location).startswith(folder.name)
            assert server.job(client.job_id_of(location)).attempts() == {0}
            used += row["cpu_seconds"]
        (pilot,) = pilots(server)
        servers.wait_for((folder / "closed").exists, "the idle pilot takes no more jobs", 120)
        servers.wait_for(lambda: not queue.has(pilot), "it ends", 120)
        assert (folder / "closed").read_text() == "it had no job for a while"
        theirs = servers.wait_for(lambda: site.processor_time(pilot), "sacct tells", 90)
    print(f"{len(played)} jobs: {used:.1f} s of processor time, the pilot: {theirs:.1f} s")
    assert used <= 1.05 * theirs
    assert theirs <= 1.05 * used + START
