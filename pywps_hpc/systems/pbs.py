"""What every PBS has in common of the options that the service sets itself (qsub(1B))."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pywps_hpc.systems.options import (
    DELAYS_JOBS,
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
    "h": DELAYS_JOBS,
}
#: Resource in ``-l`` -> what to do instead.
RESOURCES = {
    **dict.fromkeys(("nodes", "select"), use_key("nodes")),
    **dict.fromkeys(("ncpus", "ppn", "procs"), use_key("cpus")),
    **dict.fromkeys(("mem", "pmem", "vmem", "pvmem"), use_key("memory")),
    **dict.fromkeys(("walltime", "cput", "pcput"), use_key("walltime")),
    **dict.fromkeys(("gpus", "ngpus"), use_key("gpus")),
}


@dataclass(frozen=True)
class Qsub:
    """The options of one PBS.

    Attributes:
        options: each reserved one of one letter, with what to do instead.
        with_value: the letters that take a value.
        resources: the same of the resources in ``-l``.
        attributes: those in ``-W`` that an administrator may set.
    """

    options: Mapping[str, str]
    with_value: frozenset[str]
    resources: Mapping[str, str]
    attributes: Collection[str]

    def reserved(self, tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
        """The reserved options among these arguments, each with what to do instead."""
        for place, token in enumerate(tokens):
            following = tokens[place + 1] if place + 1 < len(tokens) else ""
            yield from short_options(token, self.options, self.with_value)
            letter, value = token[1:2], token[2:] or following
            if token.startswith("-") and letter == "l":
                yield from resources("-l", [value], self.resources)
            if token.startswith("-") and letter == "W":
                for attribute in value.split(","):
                    name = attribute.partition("=")[0].strip()
                    if "=" in attribute and name not in self.attributes:
                        yield f"-W {name}", DELAYS_JOBS if name == "depend" else SET_BY_SERVICE
