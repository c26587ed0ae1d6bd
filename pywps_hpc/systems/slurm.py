"""Slurm: the options that the service sets itself.

Sources: sbatch(1), and slurm_opt.c, which takes abbreviations of long options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pywps_hpc.systems.options import (
    DELAYS_JOBS,
    NOT_FOUND,
    NOT_SUBMITTED,
    SET_BY_SERVICE,
    short_options,
    use_key,
)

#: Long option of sbatch -> what to do instead.
LONG = {
    **dict.fromkeys(("cpus-per-task", "cpus-per-gpu"), use_key("cpus")),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), use_key("memory")),
    **dict.fromkeys(("time", "time-min", "deadline"), use_key("walltime")),
    **dict.fromkeys(
        ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "tres-per-task"),
        use_key("gpus"),
    ),
    "nodes": use_key("nodes"),
    **dict.fromkeys(
        ("ntasks", "ntasks-per-node", "tasks-per-node", "ntasks-per-gpu"), use_key("tasks")
    ),
    "partition": use_key("queue"),
    "account": use_key("account"),
    **dict.fromkeys(("requeue", "no-requeue"), use_key("requeue")),
    **dict.fromkeys(
        (
            *("job-name", "comment", "output", "error", "open-mode", "array", "chdir", "export"),
            *("export-file", "signal", "parsable"),
        ),
        SET_BY_SERVICE,
    ),
    **dict.fromkeys(("hold", "wait"), DELAYS_JOBS),
    **dict.fromkeys(("wrap", "test-only", "help", "usage", "version", "external"), NOT_SUBMITTED),
    **dict.fromkeys(("clusters", "cluster", "uid", "gid"), NOT_FOUND),
    **dict.fromkeys(("container", "container-id"), "set it by the keys of [hpc.container]"),
}
#: Key -> options that say the same, which may stand in ``extra`` where the key is not set.
KEYS = {"qos": ("--qos", "-q"), "reservation": ("--reservation",), "licenses": ("--licenses", "-L")}
#: Key that this system does not support -> what to do instead.
UNSUPPORTED: dict[str, str] = {}
#: Keys that have no effect.
UNUSED = frozenset({"parallel_environment"})
_SHORT = {
    **{"A": "account", "a": "array", "c": "cpus-per-task", "D": "chdir", "e": "error", "G": "gpus"},
    **{"H": "hold", "h": "help", "J": "job-name", "M": "clusters", "N": "nodes", "n": "ntasks"},
    **{"o": "output", "p": "partition", "t": "time", "V": "version", "W": "wait"},
}
_WITH_VALUE = frozenset("aAbBcCdDeFGiJLmMnNopqStwx")
_WITH_OPTIONAL_VALUE = frozenset("ks")


def reserved(tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
    """The reserved options among these arguments, each with what to do instead."""
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if token == "--":
            yield token, NOT_SUBMITTED
        elif token.startswith("--"):
            name, given, value = token[2:].partition("=")
            yield from _long(name, value if given else following, gpus)
        else:
            known = {short: LONG[name] for short, name in _SHORT.items()}
            yield from short_options(token, known, _WITH_VALUE | _WITH_OPTIONAL_VALUE)


def _long(name: str, value: str, gpus: int) -> Iterator[tuple[str, str]]:
    if name == "gres" and (gpus or re.search(r"\bgpu\b", value)):
        yield "--gres", use_key("gpus")
    if name in LONG:
        yield f"--{name}", LONG[name]
    elif name != "gres":  # getopt_long(3) takes abbreviations
        advice = {LONG[full] for full in LONG if full.startswith(name)}
        if "gres".startswith(name):
            advice.add("write it in full")
        if advice:
            yield f"--{name}", advice.pop() if len(advice) == 1 else "write it in full"
