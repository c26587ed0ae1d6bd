"""One MPI rank's part of the number pi.

``mpiexec -n 4 python -m examples.programs.pi_of_ranks POINTS``.

The area under 4 / (1 + x²) from 0 to 1, by the midpoint rule; each rank takes every n-th block of
points. The first rank prints the sum as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from mpi4py import MPI

BLOCK = 1_000_000


def part(points: int, rank: int, ranks: int) -> float:
    """The sum over this rank's blocks."""
    total = 0.0
    for first in range(rank * BLOCK, points, ranks * BLOCK):
        x = (np.arange(first, min(first + BLOCK, points)) + 0.5) / points
        total += float(np.sum(4 / (1 + x * x)))
    return total / points


def main(points: int) -> None:
    """Take this rank's part; the first rank prints the result."""
    world = MPI.COMM_WORLD
    # Slurm tells the node's name also where several nodes are on one host.
    nodes = world.gather(os.environ.get("PYWPS_HPC_NODE", MPI.Get_processor_name()))
    pi = world.reduce(part(points, world.rank, world.size))
    if nodes is not None:
        print(json.dumps({"pi": pi, "ranks": len(nodes), "nodes": nodes}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
