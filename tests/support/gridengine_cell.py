"""The test cluster's Grid Engine: what its commands need, and that it runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from places import INFRA

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc")) / "gridengine"
SCRIPT = INFRA / "gridengine.sh"


def environment() -> dict[str, str]:
    """Variables that Grid Engine's commands need."""
    return dict(line.split("=", 1) for line in (HOME / "env").read_text().split())


def command_environment() -> str:
    """The same as the value of ``[hpc] command_environment``, a variable a line."""
    return "".join(f"\n    {name}={value}" for name, value in environment().items())


def is_up() -> bool:
    """Whether all its daemons run."""
    return subprocess.run([SCRIPT, "status"], capture_output=True, check=False).returncode == 0


@contextmanager
def running() -> Iterator[None]:
    """It runs meanwhile, and is left as it was found."""
    if is_up():
        yield
        return
    subprocess.run([SCRIPT, "up"], check=True)
    try:
        yield
    finally:
        subprocess.run([SCRIPT, "down"], check=True)
