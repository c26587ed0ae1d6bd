"""Run a command many times in a worker of HyperQueue that already runs; print the seconds.

    PYTHON benchmarks/hyperqueue_tasks.py NUMBER CORES COMMAND ...

For an interpreter that has HyperQueue (PyPI); :mod:`batch` calls it.
"""

from __future__ import annotations

import sys
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def run(number: int, command: list[str]) -> float:
    """Seconds from the submission of as many tasks to the end of the last one."""
    job = Job()
    for _ in range(number):
        job.program(command, stdout=None, stderr=None)
    begun = time.perf_counter()
    queue.wait_for_jobs([queue.submit(job)])
    return time.perf_counter() - begun


number, cores, *command = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder, LocalCluster(folder) as cluster:
    cluster.start_worker(WorkerConfig(cores=int(cores)))
    queue = cluster.client()
    run(1, command)
    print(run(int(number), command))
