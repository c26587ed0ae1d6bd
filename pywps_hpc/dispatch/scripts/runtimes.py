"""What runs a job's launcher on the node, by ``[hpc.container] runtime``: the registry."""

from __future__ import annotations

from collections.abc import Callable

from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.schedulers.base import Warm
from pywps_hpc.dispatch.scripts import apptainer, bare
from pywps_hpc.dispatch.scripts.launch import Launch
from pywps_hpc.settings import ProcessSettings, Settings

RUNTIMES: dict[str, Callable[[JobDir, ProcessSettings, Settings], Launch]] = {
    "apptainer": apptainer.launch,
    "singularity": apptainer.launch,
    "none": bare.launch,
}
#: How jobs start as forks of a nursery, likewise.
WARM: dict[str, Callable[[JobDir, str, ProcessSettings, Settings], Warm | None]] = {
    "apptainer": apptainer.warm,
    "singularity": apptainer.warm,
    "none": bare.warm,
}


def launch(job: JobDir, process: ProcessSettings, settings: Settings) -> Launch:
    """The command that starts a job's launcher.

    Args:
        job: the job's folder.
        process: settings of its process.
        settings: of the installation.

    Raises:
        ValueError: the job cannot run so: a folder cannot be shown inside, or must not be.
    """
    return RUNTIMES[process.container.runtime](job, process, settings)


def warm(job: JobDir, digest: str, process: ProcessSettings, settings: Settings) -> Warm | None:
    """How a nursery starts the same job; ``None`` if it cannot.

    Args:
        digest: SHA-256 of its dump.
    """
    return WARM[process.container.runtime](job, digest, process, settings)
