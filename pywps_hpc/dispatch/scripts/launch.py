"""From a job to the command that starts its launcher, in a container or without one.

Pure: nothing is looked up on this host, since the command runs on another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pywps_hpc.settings import ProcessSettings

#: The launcher as every job starts it. ``-I``: neither the current folder nor ``PYTHONPATH`` count.
LAUNCHER = ("-I", "-m", "joblauncher")
#: What runs on a job's other nodes; the job's folder and the number of a request follow.
REMOTE = ("-I", "-m", "joblauncher.remote", "serve")
#: Set by the batch system on the node for a job that asked for GPUs, by their driver.
GPU_VARIABLES = {
    "nv": ("CUDA_VISIBLE_DEVICES",),
    "rocm": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
}


@dataclass(frozen=True)
class Launch:
    """What the batch script has to do for a job.

    Attributes:
        program: the beginning of the command.
        arguments: the rest of it, grouped as a person would break the lines. The launcher's own
            (digest, attempt, folder) follow.
        remote: the whole command for a program on another node of the job, likewise.
        exports: variables for the script to set.
        inherited: names of variables of the node that the job gets.
        prefix: under which the program looks for a job's variables in its own environment; empty:
            it does not, they have to follow it as ``NAME=value``.
    """

    program: tuple[str, ...]
    arguments: tuple[tuple[str, ...], ...]
    exports: Mapping[str, str]
    inherited: tuple[str, ...] = ()
    prefix: str = ""
    remote: tuple[tuple[str, ...], ...] = ()


def variables(process: ProcessSettings) -> dict[str, str]:
    """The job's environment, as far as it is declared."""
    # Numeric libraries start a thread for each core of the whole node by default.
    own = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": str(process.resources.cpus)}
    if process.resources.ranks > 1:
        own["PYWPS_HPC_TASKS"] = str(process.resources.ranks)
    return own | dict(process.container.environment)


def inherited(process: ProcessSettings) -> tuple[str, ...]:
    """Names of variables of the node that the job gets."""
    return GPU_VARIABLES[process.container.gpu_support] if process.resources.gpus else ()


def launcher_options(process: ProcessSettings, *, allow_root: bool) -> tuple[tuple[str, ...], ...]:
    """The launcher's options that do not depend on the job: where it finds modules of the service
    that its interpreter does not have, and whether it runs as root."""
    paths = tuple(("--path", str(folder)) for folder in process.container.python_path)
    return (*paths, ("--allow-root",)) if allow_root else paths
