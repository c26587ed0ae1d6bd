"""A job in a container of Apptainer or Singularity, which differ in their names only.

spython is not used here: it builds a command only while running it, always as ``singularity``, and
wants every bound folder to exist on this host.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.pilotdir import ID_VARIABLES, PilotDir
from pywps_hpc.dispatch.schedulers.base import Warm, WarmContainer
from pywps_hpc.dispatch.scripts import bare
from pywps_hpc.dispatch.scripts.launch import (
    LAUNCHER,
    REMOTE,
    Launch,
    inherited,
    launcher_options,
    variables,
)
from pywps_hpc.settings import Container, ProcessSettings, Settings, paths

#: apptainer-exec(1): nothing of the host is shown, nothing of its environment is handed on.
ISOLATION = ("--containall", "--cleanenv", "--no-home", "--no-privs")
NO_NETWORK = ("--net", "--network", "none")

#: In the command line of a nursery, for what ps(1) shall show of the launchers that it forks.
_ROOM = "-" * 100
_UNBINDABLE = re.compile(r'[:,"\\]')


def launch(job: JobDir, process: ProcessSettings, settings: Settings) -> Launch:
    """The command that starts a job's launcher (apptainer-exec(1)).

    Args:
        job: the job's folder, the only one that the job may write to.
        process: settings of its process.
        settings: of the installation: where inputs lie, and where the nodes find folders of this
            host.

    Raises:
        ValueError: a folder cannot be shown inside, or must not be.
    """
    container = process.container
    if container.image is None:
        raise ValueError("no image is set")
    groups = [
        ISOLATION,
        () if container.network else NO_NETWORK,
        (f"--{container.gpu_support}",) if process.resources.gpus else (),
        *(("--bind", bind) for bind in _binds(job, container, settings)),
        *(("--bind", bind) for bind in _own_binds(job, settings)),
        ("--home", str(job.temporary)),
        ("--pwd", str(job.path)),
        *(tuple(shlex.split(option)) for option in container.options),
        (str(container.image),),
    ]
    python = str(container.python or "python3")
    shown = tuple(group for group in groups if group)
    launcher = ((python, *LAUNCHER), *launcher_options(process, allow_root=settings.allow_root))
    return Launch(
        program=(container.runtime, "exec"),
        arguments=(*shown, *launcher),
        remote=((container.runtime, "exec"), *shown, (python, *REMOTE)),
        exports=_exports(process),
        inherited=inherited(process),
        prefix=_prefix(container),
    )


def pilot(folder: PilotDir, process: ProcessSettings, settings: Settings) -> Launch:
    """The command that starts a pilot in such a container (:mod:`joblauncher.pilot`), in which it
    sees all of the spool; no process of the service runs in it but in namespaces of its own.

    Args:
        folder: the pilot's.
    """
    container, spool = process.container, settings.spool
    job = JobDir(spool / folder.path.name)
    groups = [
        ISOLATION,
        () if container.network else NO_NETWORK,
        *(("--bind", bind) for bind in _binds(job, container, settings)),
        ("--bind", _bind(paths.map_path(spool, settings.ssh.path_map), spool, "rw")),
        ("--home", str(spool)),
        ("--pwd", "/"),
        (str(container.image),),
        (str(container.python or "python3"), "-I", "-m", "joblauncher.pilot"),
    ]
    return Launch(
        program=(container.runtime, "exec"),
        arguments=tuple(group for group in groups if group),
        exports=_exports(process),
        inherited=ID_VARIABLES,
        prefix=_prefix(container),
    )


def warm(job: JobDir, digest: str, process: ProcessSettings, settings: Settings) -> Warm | None:
    """The same job as a fork of a nursery in such a container
    (:mod:`joblauncher.nursery_outside`), or of a pilot.

    Args:
        digest: SHA-256 of its dump.

    Returns:
        ``None`` where the administrator gives the container options: what they add, jobs of one
        container would share.
    """
    container = process.container
    if container.options or container.image is None:
        return None
    spool = str(job.path.parent)
    python = str(container.python or "python3")
    groups = [
        ISOLATION,
        () if container.network else NO_NETWORK,
        *(("--bind", bind) for bind in _binds(job, container, settings)),
    ]
    inside = WarmContainer(
        program=(container.runtime, "exec", *(word for group in groups for word in group)),
        arguments=(
            *("--home", spool, "--pwd", "/", str(container.image)),
            *(python, "-I", "-m", "joblauncher.nursery_inside", spool, _ROOM),
        ),
        exports=_exports(process),
        image=str(container.image),
        spool=spool,
        network=container.network,
        shown=tuple(map(str, (*container.python_path, *(b.target for b in container.binds)))),
        writable=tuple(str(bind.target) for bind in container.binds if bind.writable),
        prefix=_prefix(container),
    )
    return replace(bare.warm(job, digest, process, settings), python=python, container=inside)


def _prefix(container: Container) -> str:
    return f"{container.runtime.upper()}ENV_"


def _exports(process: ProcessSettings) -> dict[str, str]:
    """Variables go as APPTAINERENV_NAME: --env splits values at commas, and shows them in ps(1). By
    default the runtime lets a shell inside the container expand them: not ours."""
    prefix = _prefix(process.container)
    exports = {f"{prefix}{name}": value for name, value in variables(process).items()}
    return exports | {f"{process.container.runtime.upper()}_NO_EVAL": "1"}


def _binds(job: JobDir, container: Container, settings: Settings) -> Iterator[str]:
    """``source:target:mode`` of what all jobs with these settings see.

    Folders of this host are shown under their paths here, wherever the nodes have them: the request
    and the dump are full of these paths. Binds of the settings are the paths of the nodes.
    """
    mapping = settings.ssh.path_map
    for path in (*settings.input_paths, *container.python_path):
        if job.path.parent.is_relative_to(os.path.normpath(path)):
            raise ValueError(f"{path} holds the spool: every job would see all others' folders")
        yield _bind(paths.map_path(path, mapping), path, "ro")
    for bind in container.binds:
        if paths.map_path(job.path.parent, mapping).is_relative_to(os.path.normpath(bind.source)):
            raise ValueError(f"the bind {bind.source} holds the spool")
        yield _bind(bind.source, bind.target, "rw" if bind.writable else "ro")


def _own_binds(job: JobDir, settings: Settings) -> Iterator[str]:
    """The job's own folder, after the rest, so that it lies over whatever else is shown there.
    Mounted over that, so that they cannot be replaced from inside: its dump; its log, which the
    batch system opens by name when it starts a job again; and its prepared inputs, which its next
    start is to find as they were."""
    mapping = settings.ssh.path_map
    yield _bind(paths.map_path(job.path, mapping), job.path, "rw")
    for path in (job.dump, job.log, job.inputs):
        yield _bind(paths.map_path(path, mapping), path, "ro")


def _bind(source: Path, target: Path, mode: str) -> str:
    for path in (source, target):
        # --bind knows no quoting.
        if _UNBINDABLE.search(str(path)):
            raise ValueError(f'{path} cannot be bound in a container: it has : , " or \\ in it')
    return f"{source}:{target}:{mode}"
