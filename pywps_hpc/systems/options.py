"""Options of the batch systems that are ours: an administrator's ``extra`` must not set them again.

One that does would be believed by the batch system, while the service goes on telling what it had
asked for itself: a job killed for memory that it was never given, a log that stays empty, a job
that is looked for by a name that it does not carry. They are refused at start, with the key that
does what was meant.

Sources: sbatch(1) and Slurm's slurm_opt.c (which takes abbreviations of long options), qsub(1) of
Grid Engine, qsub(1B) of TORQUE. The same words make a DRMAA native specification.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence

OURS = "the service sets it itself; leave it out"
WAITS = "it would keep every job waiting; leave it out"
NO_JOB = "with it no job of the service is submitted; leave it out"
ELSEWHERE = "the service would not find its jobs; leave it out"


def _by(key: str) -> str:
    return f"set it by the key {key}"


#: Long option of sbatch -> what to do instead.
SLURM = {
    **dict.fromkeys(("cpus-per-task", "cpus-per-gpu"), _by("cpus")),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), _by("memory")),
    **dict.fromkeys(("time", "time-min", "deadline"), _by("walltime")),
    **dict.fromkeys(
        ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "tres-per-task"),
        _by("gpus"),
    ),
    "partition": _by("queue"),
    "account": _by("account"),
    **dict.fromkeys(("requeue", "no-requeue"), _by("requeue")),
    **dict.fromkeys(
        (
            *("job-name", "comment", "output", "error", "open-mode", "array", "chdir", "export"),
            *("export-file", "signal", "nodes", "ntasks", "ntasks-per-node", "tasks-per-node"),
            *("ntasks-per-gpu", "parsable"),
        ),
        OURS,
    ),
    **dict.fromkeys(("hold", "wait"), WAITS),
    **dict.fromkeys(("wrap", "test-only", "help", "usage", "version", "external"), NO_JOB),
    **dict.fromkeys(("clusters", "cluster", "uid", "gid"), ELSEWHERE),
    **dict.fromkeys(("container", "container-id"), "set it by the keys of [hpc.container]"),
}
_SLURM_SHORT = {
    **{"A": "account", "a": "array", "c": "cpus-per-task", "D": "chdir", "e": "error", "G": "gpus"},
    **{"H": "hold", "h": "help", "J": "job-name", "M": "clusters", "N": "nodes", "n": "ntasks"},
    **{"o": "output", "p": "partition", "t": "time", "V": "version", "W": "wait"},
}
_SLURM_TAKES = frozenset("aAbBcCdDeFGiJLmMnNopqStwx")
_SLURM_MAY_TAKE = frozenset("ks")

#: Option of Grid Engine's qsub -> what to do instead.
GRIDENGINE = {
    "-q": _by("queue"),
    "-masterq": _by("queue"),
    "-A": _by("account"),
    "-r": _by("requeue"),
    **dict.fromkeys(
        (
            *("-N", "-o", "-e", "-j", "-t", "-wd", "-cwd", "-S", "-shell", "-b", "-V", "-v"),
            *("-notify", "-terse", "-sc", "-C", "-clear", "-@", "-c", "-ckpt"),
        ),
        OURS,
    ),
    **dict.fromkeys(("-h", "-hold_jid", "-hold_jid_ad", "-sync"), WAITS),
    **dict.fromkeys(("-help", "-verify", "-now", "-inherit", "-pty"), NO_JOB),
}
#: Resource in ``-l`` -> what to do instead.
GRIDENGINE_RESOURCES = {
    **dict.fromkeys(("h_rt", "s_rt"), _by("walltime")),
    **dict.fromkeys(("h_vmem", "s_vmem", "h_data", "s_data", "h_rss", "s_rss"), _by("memory")),
    **dict.fromkeys(("h_cpu", "s_cpu"), _by("walltime")),
    "gpu": _by("gpus"),
    **dict.fromkeys(("q", "qname"), _by("queue")),
    "slots": _by("cpus"),
}

#: Option of TORQUE's qsub -> what to do instead.
TORQUE = {
    "q": _by("queue"),
    "A": _by("account"),
    "r": _by("requeue"),
    "L": "set cpus, memory, walltime and gpus by the keys of these names",
    **dict.fromkeys("NoejktJdwDSVvuPCfF", OURS),
    "h": WAITS,
    **dict.fromkeys("IXxz", NO_JOB),
}
_TORQUE_TAKES = frozenset("aAbcCdDeFijJkKlLmMNopPqrStTuvwW")
#: Resource in ``-l`` -> what to do instead.
TORQUE_RESOURCES = {
    **dict.fromkeys(("nodes", "ncpus", "ppn", "procs", "select", "place"), _by("cpus")),
    **dict.fromkeys(("mem", "pmem", "vmem", "pvmem"), _by("memory")),
    **dict.fromkeys(("walltime", "cput", "pcput"), _by("walltime")),
    **dict.fromkeys(("gpus", "ngpus"), _by("gpus")),
}
#: Attributes in ``-W`` that are an administrator's; all others are ours, or keep jobs waiting.
TORQUE_ATTRIBUTES = frozenset({"group_list", "job_radix", "umask", "x"})


def check(system: str, lines: Sequence[str], gpus: int) -> None:
    """Refuse options that are ours.

    Args:
        system: the batch system, as in the configuration.
        lines: of the key ``extra``.
        gpus: of the key ``gpus``.

    Raises:
        ValueError: naming the option and what to do instead.
    """
    if system not in _CHECKS:
        return
    for line in lines:
        try:
            tokens = shlex.split(line)
        except ValueError:
            raise ValueError(f"{line}: a quote is not closed") from None
        if tokens and not tokens[0].startswith("-"):
            raise ValueError(f"{tokens[0]}: no option; write one or more a line, from a '-' on")
        for option, problem in _CHECKS[system](tokens, gpus):
            raise ValueError(f"{option}: {problem}")


def _slurm(tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if token == "--":
            yield token, NO_JOB
        elif token.startswith("--"):
            name, given, value = token[2:].partition("=")
            yield from _slurm_long(name, value if given else following, gpus)
        else:
            known = {short: SLURM[name] for short, name in _SLURM_SHORT.items()}
            yield from _short(token, known, _SLURM_TAKES | _SLURM_MAY_TAKE)


def _slurm_long(name: str, value: str, gpus: int) -> Iterator[tuple[str, str]]:
    if name == "gres" and (gpus or re.search(r"\bgpu\b", value)):
        yield "--gres", _by("gpus")
    if name in SLURM:
        yield f"--{name}", SLURM[name]
    elif name != "gres":  # getopt_long(3) takes abbreviations
        meant = {SLURM[full] for full in SLURM if full.startswith(name)}
        if "gres".startswith(name):
            meant.add("write it in full")
        if meant:
            yield f"--{name}", meant.pop() if len(meant) == 1 else "write it in full"


def _gridengine(tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
    for place, token in enumerate(tokens):
        if not token.startswith("-") or re.fullmatch(r"-\d+", token):
            continue  # a value
        values = []
        for value in tokens[place + 1 :]:
            if value.startswith("-") and not re.fullmatch(r"-\d+", value):
                break
            values.append(value)
        if token in GRIDENGINE:
            yield token, GRIDENGINE[token]
        elif token == "-l":
            yield from _resources("-l", values, GRIDENGINE_RESOURCES)
        elif token == "-w" and values[:1] in (["v"], ["p"]):
            yield "-w", NO_JOB
        elif token == "-pe":
            if len(values) > 1:
                yield "-pe", f"name it without a number; {_by('cpus')}"
            if len(tokens) > 2:
                yield "-pe", "write it on a line of its own"


def _torque(tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        yield from _short(token, TORQUE, _TORQUE_TAKES)
        letter, value = token[1:2], token[2:] or following
        if token.startswith("-") and letter == "l":
            yield from _resources("-l", [value], TORQUE_RESOURCES)
        if token.startswith("-") and letter == "W":
            for attribute in value.split(","):
                name = attribute.partition("=")[0].strip()
                if "=" in attribute and name not in TORQUE_ATTRIBUTES:
                    yield f"-W {name}", WAITS if name == "depend" else OURS


def _short(token: str, known: dict[str, str], takes: frozenset[str]) -> Iterator[tuple[str, str]]:
    """One word of options of one letter, as getopt(3) reads it: the first that takes a value takes
    the rest of the word."""
    if not token.startswith("-"):
        return
    for letter in token[1:]:
        if letter in known:
            yield f"-{letter}", known[letter]
        if letter in takes:
            return


def _resources(
    option: str, values: Sequence[str], known: dict[str, str]
) -> Iterator[tuple[str, str]]:
    for request in re.split(r"[,\s]", ",".join(values)):
        name = request.partition("=")[0].strip()
        if name in known:
            yield f"{option} {name}", known[name]


_CHECKS: dict[str, Callable[[Sequence[str], int], Iterator[tuple[str, str]]]] = {
    "slurm": _slurm,
    "gridengine": _gridengine,
    "torque": _torque,
}
