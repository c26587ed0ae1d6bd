"""Grid Engine: the options that the service sets itself (qsub(1))."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pywps_hpc.systems.options import (
    DELAYS_JOBS,
    NOT_SUBMITTED,
    SET_BY_SERVICE,
    resources,
    use_key,
)

#: Option of qsub -> what to do instead.
OPTIONS = {
    "-q": use_key("queue"),
    "-masterq": use_key("queue"),
    "-A": use_key("account"),
    "-r": use_key("requeue"),
    **dict.fromkeys(
        (
            *("-N", "-o", "-e", "-j", "-t", "-wd", "-cwd", "-S", "-shell", "-b", "-V", "-v"),
            *("-notify", "-terse", "-sc", "-C", "-clear", "-@", "-c", "-ckpt"),
        ),
        SET_BY_SERVICE,
    ),
    **dict.fromkeys(("-h", "-hold_jid", "-hold_jid_ad", "-sync"), DELAYS_JOBS),
    **dict.fromkeys(("-help", "-verify", "-now", "-inherit", "-pty"), NOT_SUBMITTED),
}
#: Key -> options that say the same, which may stand in ``extra`` where the key is not set.
KEYS = {"reservation": ("-ar",)}
#: Key that this system does not support -> what to do instead.
UNSUPPORTED = {
    "qos": "Grid Engine has no quality of service; use extra (-P PROJECT, -js SHARE)",
    "gpu_type": "write gpus without a type, and the site's own resource in extra (-l NAME=TYPE)",
}
#: Keys that have no effect.
UNUSED: frozenset[str] = frozenset()
#: Resource in ``-l`` -> what to do instead.
RESOURCES = {
    **dict.fromkeys(("h_rt", "s_rt"), use_key("walltime")),
    **dict.fromkeys(("h_vmem", "s_vmem", "h_data", "s_data", "h_rss", "s_rss"), use_key("memory")),
    **dict.fromkeys(("h_cpu", "s_cpu"), use_key("walltime")),
    "gpu": use_key("gpus"),
    **dict.fromkeys(("q", "qname"), use_key("queue")),
    "slots": use_key("cpus"),
}


def reserved(tokens: Sequence[str], gpus: int) -> Iterator[tuple[str, str]]:
    """The reserved options among these arguments, each with what to do instead."""
    for place, token in enumerate(tokens):
        if not token.startswith("-") or re.fullmatch(r"-\d+", token):
            continue  # a value
        values = []
        for value in tokens[place + 1 :]:
            if value.startswith("-") and not re.fullmatch(r"-\d+", value):
                break
            values.append(value)
        if token in OPTIONS:
            yield token, OPTIONS[token]
        elif token == "-l":
            yield from resources("-l", values, RESOURCES)
        elif token == "-w" and values[:1] in (["v"], ["p"]):
            yield "-w", NOT_SUBMITTED
        elif token == "-pe":
            if len(values) > 1:
                yield "-pe", f"name it without a number; {use_key('cpus')}"
            if len(tokens) > 2:
                yield "-pe", "write it on a line of its own"
