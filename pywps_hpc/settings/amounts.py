"""Readers of amounts of resources: rules by the size of the inputs, ranges, GPUs, licenses.

A rule is a constant and one term, nothing else::

    memory = 2G + 3 * input
    walltime = 00:10:00 + 00:01:00 * input / 1G

``input`` is the size of all inputs of the job in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pywps_hpc.settings import readers
from pywps_hpc.settings.keys import Split
from pywps_hpc.settings.readers import Reader, reads

#: The least and the most that a client may ask for.
Range = tuple[int, int]

_FACTOR = r"(?P<factor>\d+(?:\.\d+)?)"
_MEMORY_TERM = re.compile(rf"{_FACTOR}\s*\*\s*input")
_TIME_TERM = re.compile(r"(?P<time>[\d:-]+)\s*\*\s*input\s*/\s*(?P<size>\S+)")
_GPUS = re.compile(r"(?:(?P<type>[A-Za-z][\w.-]*):)?(?P<number>\d+)", re.ASCII)
_LICENSE = re.compile(r"(?P<name>[A-Za-z][\w.@-]*)(?::(?P<number>[1-9]\d{0,5}))?", re.ASCII)


def _rule(value: str) -> tuple[str, str]:
    """The constant and the term of a rule; a plain amount has no term."""
    constant, plus, term = (part.strip() for part in value.partition("+"))
    if plus and not (constant and term):
        raise ValueError(f"{value!r}: one side of the + is missing")
    return constant, term


@reads(
    "amount of memory: `512M`, `2G`; a bare number means MiB; or a rule by the size of all inputs: "
    "`2G + 3 * input`"
)
def memory(value: str) -> Split:
    """An amount as :func:`.readers.memory` reads it, or a rule; MiB, and MiB for each MiB of
    input."""
    constant, term = _rule(value)
    match = _MEMORY_TERM.fullmatch(term)
    if term and not match:
        raise ValueError(f"{value!r} is not a rule that is known; write 2G + 3 * input")
    factor = float(match["factor"]) if match else 0.0
    return Split(readers.memory(constant), {"memory_per_input": factor})


@reads(
    "`HH:MM:SS` or `D-HH:MM:SS`; or a rule by the size of all inputs: "
    "`00:10:00 + 00:01:00 * input / 1G`"
)
def walltime(value: str) -> Split:
    """A time as :func:`.readers.walltime` reads it, or a rule; seconds, and seconds for each MiB of
    input."""
    constant, term = _rule(value)
    match = _TIME_TERM.fullmatch(term)
    if term and not match:
        raise ValueError(
            f"{value!r} is not a rule that is known; write 00:10:00 + 00:01:00 * input / 1G"
        )
    factor = (
        readers.walltime(match["time"]) / (readers.size(match["size"]) / (1 << 20)) if match else 0
    )
    return Split(readers.walltime(constant), {"walltime_per_input": float(factor)})


@reads("whole number, at least 0, or with a type: `a100:2`")
def gpus(value: str) -> Split:
    """``2``, or ``a100:2`` for GPUs of one type."""
    match = _GPUS.fullmatch(value)
    if not match or (match["type"] and not int(match["number"])):
        raise ValueError(f"{value!r} is not a number of GPUs; write 2, or a100:2 for a type")
    if match["type"] in ("gpu", "gpus", "gres"):  # as sbatch(1), --gres has it
        raise ValueError(f"{value!r}: {match['type']} is no type; write {match['number']}")
    return Split(int(match["number"]), {"gpu_type": match["type"] or ""})


@reads("names, each with a number if it is not 1: `matlab:2, ansys`")
def licenses(value: str) -> tuple[tuple[str, int], ...]:
    """``matlab:2, ansys``; each name with its number."""
    found: dict[str, int] = {}
    for entry in filter(None, re.split(r"[\s,]+", value)):
        match = _LICENSE.fullmatch(entry)
        if not match or match["name"] in found:
            raise ValueError(f"{entry!r} is not a license; write NAME or NAME:NUMBER, each once")
        found[match["name"]] = int(match["number"] or 1)
    return tuple(found.items())


def range_of(read: Callable[[str], int], example: str) -> Reader[Range | None]:
    """A least and a most, ``1..16``; an empty value for none.

    Args:
        read: reads each of the two.
        example: of such a range, for the administrator.
    """

    @reads(f"least and most: `{example}`; empty: clients may not ask")
    def parse(value: str) -> Range | None:
        if not value:
            return None
        least, dots, most = (part.strip() for part in value.partition(".."))
        if not dots:
            raise ValueError(f"{value!r} is not a range; write {example}")
        found = read(least), read(most)
        if found[0] > found[1]:
            raise ValueError(f"{value!r}: the least is more than the most; write {example}")
        return found

    return parse


@reads("names, separated by commas or white space; empty: clients may not ask")
def queues(value: str) -> tuple[str, ...]:
    """Names of queues, with commas or white space between them."""
    return tuple(dict.fromkeys(filter(None, re.split(r"[\s,]+", value))))
