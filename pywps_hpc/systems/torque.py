"""TORQUE: the options that the service sets itself (qsub(1B))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pywps_hpc.systems.options import (
    DELAYS_JOBS,
    NOT_SUBMITTED,
    SET_BY_SERVICE,
    resources,
    short_options,
    use_key,
)

#: Option of qsub -> what to do instead.
OPTIONS = {
    "q": use_key("queue"),
    "A": use_key("account"),
    "r": use_key("requeue"),
    "L": "set cpus, memory, walltime and gpus by the keys of these names",
    **dict.fromkeys("NoejktJdwDSVvuPCfF", SET_BY_SERVICE),
    "h": DELAYS_JOBS,
    **dict.fromkeys("IXxz", NOT_SUBMITTED),
}
_WITH_VALUE = frozenset("aAbcCdDeFijJkKlLmMNopPqrStTuvwW")
#: Resource in ``-l`` -> what to do instead.
RESOURCES = {
    **dict.fromkeys(("nodes", "ncpus", "ppn", "procs", "select", "place"), use_key("cpus")),
    **dict.fromkeys(("mem", "pmem", "vmem", "pvmem"), use_key("memory")),
    **dict.fromkeys(("walltime", "cput", "pcput"), use_key("walltime")),
    **dict.fromkeys(("gpus", "ngpus"), use_key("gpus")),
}
#: Attributes in ``-W`` that an administrator may set.
ATTRIBUTES = frozenset({"group_list", "job_radix", "umask", "x"})


def reserved(tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
    """The reserved options among these words, each with what to do instead."""
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        yield from short_options(token, OPTIONS, _WITH_VALUE)
        letter, value = token[1:2], token[2:] or following
        if token.startswith("-") and letter == "l":
            yield from resources("-l", [value], RESOURCES)
        if token.startswith("-") and letter == "W":
            for attribute in value.split(","):
                name = attribute.partition("=")[0].strip()
                if "=" in attribute and name not in ATTRIBUTES:
                    yield f"-W {name}", DELAYS_JOBS if name == "depend" else SET_BY_SERVICE
