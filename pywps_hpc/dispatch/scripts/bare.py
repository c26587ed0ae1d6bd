"""A job without a container: the interpreter with the declared environment and nothing else."""

from __future__ import annotations

import sys

from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.schedulers.base import Warm
from pywps_hpc.dispatch.scripts.launch import (
    LAUNCHER,
    REMOTE,
    Launch,
    inherited,
    launcher_options,
    variables,
)
from pywps_hpc.settings import ProcessSettings, Settings

PATH = "/usr/local/bin:/usr/bin:/bin"


def launch(job: JobDir, process: ProcessSettings, settings: Settings) -> Launch:
    """The command that starts a job's launcher (env(1)).

    Args:
        job: the job's folder.
        process: settings of its process.
        settings: of the installation.
    """
    environment = {"PATH": PATH, "HOME": str(job.temporary)} | variables(process)
    return Launch(
        program=("env", "-i"),
        arguments=(
            *((f"{name}={value}",) for name, value in environment.items()),
            (_python(process), *LAUNCHER),
            *launcher_options(process, allow_root=settings.allow_root),
        ),
        remote=((_python(process), *REMOTE),),
        exports={},
        inherited=inherited(process),
    )


def warm(job: JobDir, digest: str, process: ProcessSettings, settings: Settings) -> Warm:
    """The same job as a fork of a nursery (:mod:`joblauncher.nursery`).

    Args:
        digest: SHA-256 of its dump.
    """
    options = launcher_options(process, allow_root=settings.allow_root)
    return Warm(
        python=_python(process),
        paths=tuple(map(str, process.container.python_path)),
        options=tuple(word for group in options for word in group),
        arguments=("--digest", digest, "--attempt", "0", str(job.path)),
        environment={"PATH": PATH} | variables(process),
        home=str(job.temporary),
        folder=str(job.path),
    )


def _python(process: ProcessSettings) -> str:
    return str(process.container.python or sys.executable)
