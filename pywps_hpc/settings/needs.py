"""What one job asks the batch system for: the settings of its process, what its client asked for
within the bounds, who pays for it, and the size of its inputs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from pywps_hpc.settings.model import ProcessSettings, Settings
from pywps_hpc.settings.resources import Resources

#: Resources that may differ from those of the settings, and the type of each.
OWN: Mapping[str, type] = {
    "cpus": int,
    "memory": int,
    "walltime": int,
    "queue": str,
    "account": str,
    "qos": str,
    "max_memory": int,
    "max_walltime": int,
}
_MIB = 1 << 20


class Known(Protocol):
    """A job, as far as it counts here."""

    @property
    def process(self) -> str: ...

    @property
    def resources(self) -> str: ...

    @property
    def input_size(self) -> int: ...


def written(own: Mapping[str, int | str]) -> str:
    """Resources of one job that differ from the settings, as its row has them."""
    return json.dumps(dict(own), sort_keys=True) if own else ""


def own_of(text: str) -> dict[str, Any]:
    """What :func:`written` wrote.

    Raises:
        ValueError: that is something else.
    """
    found = json.loads(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError("the job's resources are not what this service wrote")
    for name, value in found.items():
        if name not in OWN or type(value) is not OWN[name]:
            raise ValueError(f"the job's resources have an unknown {name}")
    return found


def of_job(settings: Settings, job: Known) -> ProcessSettings:
    """The settings that hold for one job; see :func:`own_of` for a row that this service did not
    write: nothing of it counts, and no script is made for the job."""
    process = settings.for_process(job.process)
    try:
        own = own_of(job.resources)
    except ValueError:
        own = {}
    return replace(process, resources=scaled(changed(process.resources, own), job.input_size))


def changed(need: Resources, own: Mapping[str, Any]) -> Resources:
    """Resources of one job; what it has of its own is no rule any more."""
    rules = [f"{name}_per_input" for name in ("memory", "walltime") if name in own]
    return replace(need, **{**own, **dict.fromkeys(rules, 0.0)})


def scaled(need: Resources, size: int) -> Resources:
    """What the rules make of inputs of this size, at most what bounds them.

    Args:
        size: of all inputs together, in bytes.
    """
    if need.memory_per_input:
        more = math.ceil(need.memory_per_input * size / _MIB)
        need = replace(need, memory=min(need.memory + more, need.max_memory))
    if need.walltime_per_input:
        more = math.ceil(need.walltime_per_input * size / _MIB)
        need = replace(need, walltime=min(need.walltime + more, need.max_walltime))
    return need


def key(settings: Settings, job: Known) -> str:
    """Jobs with the same key are asked for with the same script."""
    group = job.process if job.process in settings.processes else ""
    need = settings.for_process(job.process).resources
    if not (job.resources or need.memory_per_input or need.walltime_per_input):
        return group
    known = of_job(settings, job).resources
    return "\n".join((group, job.resources, str(known.memory), str(known.walltime)))
