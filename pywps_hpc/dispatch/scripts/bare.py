"""A job without a container: the interpreter with the declared environment and nothing else."""

from __future__ import annotations

import sys

from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.scripts.launch import (
    LAUNCHER,
    Launch,
    inherited,
    launcher_options,
    variables,
)
from pywps_hpc.settings import ProcessSettings, Settings


def launch(job: JobDir, process: ProcessSettings, settings: Settings) -> Launch:
    """The command that starts a job's launcher (env(1)).

    Args:
        job: the job's folder.
        process: settings of its process.
        settings: of the installation.
    """
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(job.temporary)}
    environment |= variables(process)
    return Launch(
        program=("env", "-i"),
        arguments=(
            *((f"{name}={value}",) for name, value in environment.items()),
            (str(process.container.python or sys.executable), *LAUNCHER),
            *launcher_options(process, allow_root=settings.allow_root),
        ),
        exports={},
        inherited=inherited(process),
    )
