"""What a pilot asks the batch system for, and the command that starts it."""

from __future__ import annotations

from dataclasses import replace

from joblauncher.shared.pilotdir import PilotDir
from pywps_hpc.dispatch.scripts import apptainer
from pywps_hpc.dispatch.scripts.launch import Launch
from pywps_hpc.settings import ProcessSettings, Resources, Settings
from pywps_hpc.timing import TIMING

#: MiB beside what its jobs may use: for the modules, which they share.
OVERHEAD = 512


def can_have_pilots(process: ProcessSettings) -> bool:
    """Whether jobs with these settings go to pilots: those that are marked for it, in a container
    that jobs can share, and of which each needs the same."""
    container, need = process.container, process.resources
    is_fit = container.runtime != "none" and not container.options
    is_plain = need.nodes == need.ranks == 1 and not (need.gpus or need.licenses)
    by_inputs = need.memory_per_input or need.walltime_per_input
    by_client = (need.client_cpus, need.client_memory, need.client_walltime, need.client_queue)
    varies = by_inputs or any(by_client)
    return bool(container.warm) and is_fit and is_plain and not varies


def goes_to_pilot(settings: Settings, process: str, need: Resources) -> bool:
    """Whether a job of this process goes to a pilot.

    A pilot has one account, queue and QOS, and the amounts of one kind of job: a job with any
    resources of its own (of its owner, or as its client asked) is none of that kind.

    Args:
        settings: of the installation.
        process: identifier, or empty: one without settings of its own.
        need: what this one job asks for.
    """
    own = settings.for_process(process)
    return can_have_pilots(own) and need == own.resources


def of_pilot(process: ProcessSettings) -> Resources:
    """The resources of one job times slots."""
    one, slots = process.resources, process.container.pilot_slots
    return replace(
        one,
        cpus=one.cpus * slots,
        memory=one.memory * slots + OVERHEAD,
        walltime=process.container.pilot_walltime or 2 * one.walltime + int(TIMING.pilot_extra),
    )


def launch_pilot(folder: PilotDir, process: ProcessSettings, settings: Settings) -> Launch:
    """The command; pilots run in containers only.

    Args:
        folder: the pilot's.
        process: settings of the processes that it is for.
        settings: of the installation.
    """
    return apptainer.pilot(folder, process, settings)
