"""Reserved options: those that the service sets itself, and an administrator's ``extra`` must not.

If ``extra`` set one again, the batch system would obey it while the service goes on reporting what
it had asked for itself: a job killed for memory that it was never given, a log that stays empty, a
job that is looked for under a name that it does not carry. They are refused at start, with the key
that does what was meant.

Each system's own module has ``reserved(tokens, gpus)``, which gives the reserved options among the
arguments of one line; the same options make a DRMAA native specification.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module

from pywps_hpc.systems import SYSTEMS

#: The arguments of one line and the key ``gpus`` -> each reserved option, and what to do instead.
Reserved = Callable[[Sequence[str], int], Iterator[tuple[str, str]]]

SET_BY_SERVICE = "the service sets it itself; leave it out"
DELAYS_JOBS = "it would keep every job waiting; leave it out"
NOT_SUBMITTED = "with it no job of the service is submitted; leave it out"
NOT_FOUND = "the service would not find its jobs; leave it out"


def use_key(key: str) -> str:
    """What to do instead of an option for which there is a key."""
    return f"set it by the key {key}"


def check(system: str, lines: Sequence[str], gpus: int) -> None:
    """Refuse reserved options.

    Args:
        system: the batch system, as in the configuration.
        lines: of the key ``extra``.
        gpus: of the key ``gpus``.

    Raises:
        ValueError: naming the option and what to do instead.
    """
    if system not in SYSTEMS:
        return
    reserved: Reserved = import_module(f"pywps_hpc.systems.{system}").reserved
    for line in lines:
        try:
            tokens = shlex.split(line)
        except ValueError:
            raise ValueError(f"{line}: a quote is not closed") from None
        if tokens and not tokens[0].startswith("-"):
            raise ValueError(f"{tokens[0]}: no option; write one or more a line, from a '-' on")
        if sign := next((t for t in tokens if t == "=" or (t[:2] == "--" and t[-1:] == ",")), ""):
            told = "no comma between options" if sign.endswith(",") else "no blank around the ="
            raise ValueError(f"{line}: {sign} would be part of the command; write it with {told}")
        for option, problem in reserved(tokens, gpus):
            raise ValueError(f"{option}: {problem}")


def unsupported(system: str, key: str) -> str:
    """What to do instead of setting a key that the batch system does not support; empty if it does.

    Args:
        system: the batch system, or ``local``.
        key: name of a field of the resources.
    """
    known: Mapping[str, str] = import_module(f"pywps_hpc.systems.{system}").UNSUPPORTED
    return known.get(key, "")


def is_unused(system: str, key: str) -> bool:
    """Whether a key of the resources can be set for this batch system, or ``local``, and has no
    effect."""
    return key in import_module(f"pywps_hpc.systems.{system}").UNUSED


def duplicate_option(system: str, lines: Sequence[str], key: str) -> str:
    """The option in ``extra`` that says the same as a key that is set; empty if there is none."""
    if system not in SYSTEMS:
        return ""
    keys: Mapping[str, Sequence[str]] = import_module(f"pywps_hpc.systems.{system}").KEYS
    for token in (token for line in lines for token in shlex.split(line)):
        for option in keys.get(key, ()):
            name = token.partition("=")[0]
            is_long = option.startswith("--")
            if token == option or (
                # getopt_long(3) takes abbreviations, getopt(3) a value in the same word.
                len(name) > 2 and option.startswith(name)
                if is_long
                else token.startswith(option) and not token.startswith("--")
            ):
                return option
    return ""


def short_options(
    token: str, known: Mapping[str, str], with_value: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """The reserved ones among options of one letter, read as getopt(3) does: the first that takes a
    value takes the rest of the word.

    Args:
        token: one word of the line.
        known: letter -> what to do instead.
        with_value: the letters that take a value.
    """
    if not token.startswith("-"):
        return
    for letter in token[1:]:
        if letter in known:
            yield f"-{letter}", known[letter]
        if letter in with_value:
            return


def resources(
    option: str, values: Sequence[str], known: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The reserved ones among the resources of ``-l`` (``name=value``, separated by commas)."""
    for request in re.split(r"[,\s]", ",".join(values)):
        name = request.partition("=")[0].strip()
        if name in known:
            yield f"{option} {name}", known[name]
