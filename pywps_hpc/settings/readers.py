"""Readers of single configuration values: text in, typed value out, ``ValueError`` in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from joblauncher.inputs import addresses

_MEMORY = re.compile(r"(\d+)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_MEBIBYTES = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def text(value: str) -> str:
    """One line of text without control characters."""
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed")
    return value


def word(value: str) -> str:
    """Text without white space, as names of queues and accounts are."""
    if re.search(r"\s", text(value)):
        raise ValueError(f"{value!r} has white space in it")
    return value


def integer(least: int) -> Callable[[str], int]:
    """A whole number not below ``least``."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"\d+", value) or int(value) < least:
            raise ValueError(f"{value!r} is not a whole number of at least {least}")
        return int(value)

    return parse


def size(value: str) -> int:
    """``2G``, ``512M``, ``100K`` or a bare number of bytes; bytes."""
    match = _MEMORY.fullmatch(value)
    if not match or not int(match[1]):
        raise ValueError(f"{value!r} is not an amount of data; write 512M or 2G")
    return int(match[1]) * (int(_MEBIBYTES[match[2].upper()] * (1 << 20)) if match[2] else 1)


def bound(value: str) -> int:
    """An amount of data as :func:`size` reads it, or ``0`` for no limit; bytes."""
    return 0 if value == "0" else size(value)


def duration(value: str) -> float:
    """``90s``, ``30m``, ``12h``, ``7d``, ``2w``, or ``0``; seconds."""
    match = _DURATION.fullmatch(value)
    if value != "0" and not (match and float(match[1])):
        raise ValueError(f"{value!r} is not a length of time; write 12h or 7d, or 0 for no limit")
    return float(match[1]) * _SECONDS[match[2]] if match else 0.0


def database(value: str) -> str:
    """A SQLAlchemy URL of SQLite or PostgreSQL. A message shows nothing of it: it may hold a
    password."""
    if value and not re.match(r"sqlite:///.|postgresql(\+psycopg2?)?://", text(value)):
        raise ValueError("write sqlite:////path/to/file or postgresql+psycopg://user@host/name")
    return value


def words(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """Some of a few words, with commas or white space between them."""

    def parse(value: str) -> tuple[str, ...]:
        return tuple(choice(*allowed)(word) for word in re.split(r"[\s,]+", value) if word)

    return parse


def names(value: str) -> tuple[str, ...]:
    """Names that are the same in capital letters, with commas or white space between them."""
    return tuple(entry.lower() for entry in re.split(r"[\s,]+", value) if entry)


def networks(value: str) -> tuple[str, ...]:
    """Networks, addresses and host names, with commas or white space between them."""
    found = tuple(entry for entry in re.split(r"[\s,]+", value) if entry)
    addresses.split(found)
    for entry in found:
        if not re.fullmatch(r"[\w.-]+|[0-9A-Fa-f.:]+(/\d+)?", entry):
            raise ValueError(f"{entry!r} is neither a network nor a host name")
    return found


def proxy(value: str) -> str:
    """``http://host:port``. It travels with each job, so it has no password in it."""
    if value and not re.fullmatch(r"http://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?", value):
        raise ValueError(f"{value!r} is not of the form http://host:port")
    return value


def seconds(value: str) -> float:
    """A positive number of seconds, or ``HH:MM:SS``."""
    if ":" in value:
        return float(walltime(value))
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e9:
        raise ValueError(f"{value!r} is not a positive number of seconds")
    return number


def walltime(value: str) -> int:
    """``HH:MM:SS`` or ``D-HH:MM:SS`` (sbatch(1), ``--time``); seconds. A bare number is refused,
    since it means minutes to Slurm and seconds to the others."""
    match = _WALLTIME.fullmatch(value)
    if not match:
        raise ValueError(f"{value!r} is not a time; write HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, secs = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + secs
    if not total:
        raise ValueError("a walltime of zero ends every job at once")
    return total


def memory(value: str) -> int:
    """``2G``, ``512M`` (a bare number means MiB); MiB."""
    match = _MEMORY.fullmatch(value)
    size = int(int(match[1]) * _MEBIBYTES[match[2].upper()]) if match else 0
    if size < 1:
        raise ValueError(f"{value!r} is not an amount of memory; write 512M or 2G")
    return size


def boolean(value: str) -> bool:
    """``yes``/``no``, ``true``/``false``, ``on``/``off``, ``1``/``0``."""
    known = {"yes": True, "true": True, "on": True, "1": True}
    known |= {"no": False, "false": False, "off": False, "0": False}
    if value.lower() not in known:
        raise ValueError(f"{value!r} is neither yes nor no")
    return known[value.lower()]


def choice(*allowed: str) -> Callable[[str], str]:
    """One of a few words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} is not one of: {', '.join(allowed)}")
        return value

    return parse


def port(value: str) -> int:
    """A TCP port."""
    number = integer(1)(value)
    if number > 65535:
        raise ValueError(f"{value!r} is not a port (1-65535)")
    return number


def lines(value: str) -> tuple[str, ...]:
    """One entry a line; empty lines do not count."""
    return tuple(text(line.strip()) for line in value.splitlines() if line.strip())


def variables(value: str) -> Mapping[str, str]:
    """``NAME=value``, one a line."""
    found = {}
    for line in lines(value):
        name, equals, content = line.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"{line!r} is not of the form NAME=value")
        found[name] = content
    return MappingProxyType(found)


def job_prefix(value: str) -> str:
    """One to three lower-case letters."""
    if not re.fullmatch(r"[a-z]{1,3}", value):
        raise ValueError(f"{value!r} is not one to three letters a-z")
    return value
