"""Resources that a client asks for itself, by optional inputs that an administrator enables.

They are described like inputs of the process and never reach it. A process that has an input of
such a name keeps it: what is sent is its own, and the resource cannot be asked for there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pywps import LiteralInput
from pywps.exceptions import InvalidParameterValue, NoApplicableCode
from pywps.inout.literaltypes import AllowedValue
from pywps.validator.allowed_value import ALLOWEDVALUETYPE

from pywps_hpc.durations import clock
from pywps_hpc.settings import Resources, Settings, needs
from pywps_hpc.settings.owners import Owner
from pywps_hpc.web.requests import inputs as request_inputs

#: Field of the resources -> title, what it says of itself, and its unit.
_ABOUT = {
    "cpus": ("Processor cores", "Processor cores for the job.", ""),
    "memory": ("Memory (MiB)", "Main memory for the job, in MiB.", " MiB"),
    "walltime": ("Time limit (seconds)", "Limit of the job's elapsed time, in seconds.", " s"),
    "queue": ("Queue", "Queue or partition of the batch system in which the job waits.", ""),
}
_UNLESS = "Without it the service decides."
PREFIX = "hpc_"
#: Characters of a refused value that a message repeats at most.
_MOST_TOLD = 64


def offered(settings: Settings, process: Any) -> dict[str, Any]:
    """The inputs by which a job's client can ask for resources, by the field of the resources.

    Args:
        process: as its author has made it.
    """
    need = settings.for_process(process.identifier).resources
    own = {item.identifier for item in process.inputs}
    return {
        field: _input(field, allowed)
        for field in _ABOUT
        if (allowed := getattr(need, f"client_{field}")) and PREFIX + field not in own
    }


def described(settings: Settings, process: Any) -> Any:
    """A process with these inputs among its own; for descriptions and readers of requests."""
    more = offered(settings, process)
    if not more:
        return process
    shown = copy.copy(process)
    shown.inputs = [*process.inputs, *more.values()]
    return shown


def all_described(settings: Settings, processes: Mapping[str, Any]) -> dict[str, Any]:
    """All processes so, by identifier."""
    return {name: described(settings, process) for name, process in processes.items()}


def _input(field: str, allowed: Any) -> Any:
    title, about, _ = _ABOUT[field]
    values: list[Any] = list(allowed)
    if field != "queue":
        least, most = allowed
        values = [AllowedValue(ALLOWEDVALUETYPE.RANGE, minval=least, maxval=most)]
    return LiteralInput(
        PREFIX + field,
        title,
        data_type="string" if field == "queue" else "integer",
        abstract=f"{about} {_UNLESS}",
        allowed_values=values,
        min_occurs=0,
        max_occurs=1,
    )


def take(settings: Settings, process: Any, wps_request: Any) -> dict[str, int | str]:
    """Take the resources that a client asks for out of the inputs of its request.

    Args:
        process: as its author has made it.
        wps_request: before PyWPS has read the inputs.

    Returns:
        By the field of the resources.

    Raises:
        InvalidParameterValue: one is not permitted, with what is.
    """
    found: dict[str, int | str] = {}
    need = settings.for_process(process.identifier).resources
    rest = dict(wps_request.inputs or {})
    for field, item in offered(settings, process).items():
        given = rest.pop(item.identifier, [])
        if given:
            found[field] = _value(field, item, given, getattr(need, f"client_{field}"))
    wps_request.inputs = rest
    return found


def _value(field: str, item: Any, given: list[Any], allowed: Any) -> int | str:
    if len(given) > 1 or any(value.get("fetched") for value in given):
        raise _refused(field, "one plain value", allowed)
    try:
        (made,) = request_inputs.literals(item, given)
    except InvalidParameterValue:  # of another form, or not among the allowed values
        raise _refused(field, _as_sent(given[0].get("data")), allowed) from None
    value: int | str = made.data
    return value


def _as_sent(value: Any) -> str:
    """A value as a message names it; what is long, or no literal, is not repeated."""
    text = str(value) if isinstance(value, str | int | float) else ""
    return text if 0 < len(text) <= _MOST_TOLD and text.isprintable() else "its value"


def _refused(field: str, what: str, allowed: Any) -> InvalidParameterValue:
    """What is permitted instead."""
    name, unit = PREFIX + field, _ABOUT[field][2]
    if field == "queue":
        told = f"one of: {', '.join(allowed)}"
    else:
        told = f"{allowed[0]} to {allowed[1]}{unit}"
    if what == "one plain value":
        return InvalidParameterValue(f"input {name}: it takes one plain value: {told}.", name)
    return InvalidParameterValue(
        f"input {name}: {what} is not permitted; permitted is {told}.", name
    )


def of_job(
    settings: Settings, process: str, asked: Mapping[str, int | str], owner: Owner, size: int
) -> dict[str, int | str]:
    """What a job asks for otherwise than the settings of its process say.

    Args:
        process: its identifier.
        asked: by its client, see :func:`take`.
        owner: who pays for it.
        size: of its inputs as far as that is known, in bytes.

    Raises:
        InvalidParameterValue: the owner may not have what the client asks for.
        NoApplicableCode: with HTTP 403: the owner may not have what the process needs.
    """
    own: dict[str, int | str] = dict(asked)
    need = settings.for_process(process).resources
    if owner.queue and own.get("queue", owner.queue) != owner.queue:
        raise _refused("queue", str(own["queue"]), (owner.queue,))
    told = {"account": owner.account, "qos": owner.qos, "queue": owner.queue}
    own |= {field: value for field, value in told.items() if value}
    for field in ("memory", "walltime"):  # a rule stays within the owner's limit, too
        most = getattr(owner, f"max_{field}")
        if most and getattr(need, f"{field}_per_input") and field not in own:
            own[f"max_{field}"] = min(most, getattr(need, f"max_{field}"))
    final = needs.scaled(needs.changed(need, own), size)
    for field in ("cpus", "memory", "walltime"):
        most, value = getattr(owner, f"max_{field}"), getattr(final, field)
        if most and value > most:
            if field in asked:
                raise _refused(field, str(value), (getattr(need, f"client_{field}")[0], most))
            raise NoApplicableCode(
                f"This process asks for {_amount(field, final)}; your jobs may have at most "
                f"{most}{_ABOUT[field][2]}.",
                locator="",
                code=403,
            )
    return own


def _amount(field: str, need: Resources) -> str:
    if field == "walltime":
        return f"a time limit of {clock(need.walltime)}"
    return f"{need.cpus} processor cores" if field == "cpus" else f"{need.memory} MiB of memory"
