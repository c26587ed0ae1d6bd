"""From a job to the command that runs its launcher, inside Apptainer or Singularity or without.

Pure: nothing is looked up on this host, since the command runs on another one. (spython is not used
for it: it builds a command only while running it, always as ``singularity``, and wants every bound
folder to exist here.)
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from joblauncher.shared.jobdir import JobDir
from pywps_hpc.settings import Container, ProcessSettings, Settings, paths

#: apptainer-exec(1): nothing of the host is shown, nothing of its environment is handed on.
ISOLATION = ("--containall", "--cleanenv", "--no-home", "--no-privs")
NO_NETWORK = ("--net", "--network", "none")
#: The launcher as every job starts it. ``-I``: neither the current folder nor ``PYTHONPATH`` count.
LAUNCHER = ("-I", "-m", "joblauncher")
#: Set by the batch system on the node for a job that asked for graphics processors.
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES",)

_UNBINDABLE = re.compile(r'[:,"\\]')


@dataclass(frozen=True)
class Launch:
    """What the batch script has to do for a job.

    Attributes:
        program: the first words of the command.
        arguments: the others, grouped as a person would break the lines. The launcher's own
            (digest, attempt, folder) follow.
        exports: variables for the script to set.
        inherited: names of variables of the node that shall reach the job.
        prefix: under which the program looks for a job's variables in its own environment; empty:
            it does not, they have to follow it as ``NAME=value``.
    """

    program: tuple[str, ...]
    arguments: tuple[tuple[str, ...], ...]
    exports: Mapping[str, str]
    inherited: tuple[str, ...] = ()
    prefix: str = ""


def launch(job: JobDir, settings: ProcessSettings, whole: Settings) -> Launch:
    """The command that starts a job's launcher.

    Args:
        job: the job's folder, the only one that the job may write to.
        settings: of its process.
        whole: of the installation: where inputs lie, and where the nodes find folders of this host.

    Raises:
        ValueError: a folder cannot be shown inside, or must not be.
    """
    environment = _environment(settings)
    own = (*_modules(settings.container), *((("--allow-root",),) if whole.allow_root else ()))
    inherited = GPU_VARIABLES if settings.resources.gpus else ()
    if settings.container.runtime == "none":
        return _bare(job, settings.container, environment, inherited, own)
    return _contained(job, settings, environment, inherited, own, whole)


def _environment(settings: ProcessSettings) -> dict[str, str]:
    """The job's variables."""
    # Numeric libraries start a thread for each core of the whole node unless told.
    own = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": str(settings.resources.cpus)}
    return own | dict(settings.container.environment)


def _bare(
    job: JobDir,
    container: Container,
    environment: dict[str, str],
    inherited: tuple[str, ...],
    own: tuple[tuple[str, ...], ...],
) -> Launch:
    """Without a container: the interpreter with the declared environment and nothing else."""
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(job.temporary)}
    python = str(container.python or sys.executable)
    return Launch(
        program=("env", "-i"),
        arguments=(
            *((f"{name}={value}",) for name, value in (variables | environment).items()),
            (python, *LAUNCHER),
            *own,
        ),
        exports={},
        inherited=inherited,
    )


def _contained(
    job: JobDir,
    settings: ProcessSettings,
    environment: dict[str, str],
    inherited: tuple[str, ...],
    own: tuple[tuple[str, ...], ...],
    whole: Settings,
) -> Launch:
    container = settings.container
    if container.image is None:
        raise ValueError("no image is set")
    # Variables travel as APPTAINERENV_NAME: --env splits values at commas, and shows them in ps(1).
    # By default the runtime lets a shell inside the container expand them: not ours.
    prefix = f"{container.runtime.upper()}ENV_"
    exports = {f"{prefix}{name}": value for name, value in environment.items()}
    exports[f"{container.runtime.upper()}_NO_EVAL"] = "1"
    groups = [
        ISOLATION,
        () if container.network else NO_NETWORK,
        ("--nv",) if settings.resources.gpus else (),
        *(("--bind", bind) for bind in _binds(job, container, whole)),
        ("--home", str(job.temporary)),
        ("--pwd", str(job.path)),
        *(tuple(shlex.split(option)) for option in container.options),
        (str(container.image),),
        (str(container.python or "python3"), *LAUNCHER),
        *own,
    ]
    return Launch(
        program=(container.runtime, "exec"),
        arguments=tuple(group for group in groups if group),
        exports=exports,
        inherited=inherited,
        prefix=prefix,
    )


def _modules(container: Container) -> Iterator[tuple[str, ...]]:
    """Where the launcher finds modules of the service that its interpreter does not have."""
    for folder in container.python_path:
        yield "--path", str(folder)


def _binds(job: JobDir, container: Container, whole: Settings) -> Iterator[str]:
    """``source:target:mode`` in the order of mounting: the job's own folder last, so that it lies
    over whatever else is shown there, and over that its dump and its log: what is a mount cannot be
    replaced from inside, and the batch system opens the log by its name when it starts a job again;
    and what was prepared for it, which its next start is to find as it was.

    Folders of this host are shown under their paths here, wherever the nodes have them: the request
    and the dump are full of these paths. Binds of the settings are the administrator's own words.
    """
    mapping = whole.ssh.path_map
    for path in (*whole.input_paths, *container.python_path):
        if job.path.parent.is_relative_to(os.path.normpath(path)):
            raise ValueError(f"{path} holds the spool: every job would see all others' folders")
        yield _bind(paths.map_path(path, mapping), path, "ro")
    for bind in container.binds:
        if paths.map_path(job.path.parent, mapping).is_relative_to(os.path.normpath(bind.source)):
            raise ValueError(f"the bind {bind.source} holds the spool")
        yield _bind(bind.source, bind.target, "rw" if bind.writable else "ro")
    yield _bind(paths.map_path(job.path, mapping), job.path, "rw")
    for path in (job.dump, job.log, job.inputs):
        yield _bind(paths.map_path(path, mapping), path, "ro")


def _bind(source: Path, target: Path, mode: str) -> str:
    for path in (source, target):
        # --bind knows no quoting.
        if _UNBINDABLE.search(str(path)):
            raise ValueError(f'{path} cannot be shown in a container: it has : , " or \\ in it')
    return f"{source}:{target}:{mode}"
