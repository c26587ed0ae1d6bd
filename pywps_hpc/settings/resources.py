"""The section ``[hpc.resources]``, which the batch systems' dialects read: it imports no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from pywps_hpc.settings import readers
from pywps_hpc.settings.keys import setting


@dataclass(frozen=True)
class Resources:
    """``[hpc.resources]``: what one job asks the batch system for."""

    cpus: int = setting(readers.integer(1), "1", "Processor cores.")
    memory: int = setting(readers.memory, "2G", "Main memory, in MiB unless a unit is given.")
    walltime: int = setting(readers.walltime, "01:00:00", "Limit of elapsed time.")
    gpus: int = setting(readers.integer(0), "0", "GPUs.")
    queue: str = setting(
        readers.word, None, "Partition or queue; unset: the site's default.", unset=""
    )
    account: str = setting(
        readers.word, None, "Account or project to charge; unset: the user's default.", unset=""
    )
    requeue: bool = setting(
        readers.boolean,
        "no",
        "Whether the batch system may start a job again that it had to end: its node failed, other "
        "jobs needed its resources, an administrator requeued it. `scheduler = local` never does.",
    )
    extra: tuple[str, ...] = setting(
        readers.lines,
        None,
        "Further options of the batch system, in its own syntax. Options that the service sets "
        "itself, or by one of the keys above, are refused at start.",
        unset=(),
    )
