"""Every benchmark that one sitting can take, one after the other.

    make bench

What needs the test cluster (tests/infra/up.sh) is left out where it is not up, and that is said.
Each prints its own figures; the load of the host stands beside them, since figures of a busy one
count as ratios only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
#: Each with its arguments.
ALONE = (
    ("accept.py",),
    ("accept_clients.py",),
    ("status_reads.py",),
    ("launcher.py",),
    ("warm.py", "--rounds", "7"),
    ("dispatcher.py",),
    ("job_list.py", "200000"),
)
ON_A_CLUSTER = (("batch.py",),)


def main() -> int:
    """Run them; how many failed."""
    has_cluster = os.environ.get("PYWPS_HPC_CLUSTER") == "1"
    failed = 0
    for script, *arguments in (*ALONE, *(ON_A_CLUSTER if has_cluster else ())):
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"\n== {script} {' '.join(arguments)} (load {load})", flush=True)
        done = subprocess.run([sys.executable, FOLDER / script, *arguments], check=False)
        failed += done.returncode != 0
    if not has_cluster:
        print(f"\nleft out, PYWPS_HPC_CLUSTER is not 1: {', '.join(s for s, *_ in ON_A_CLUSTER)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
