"""Values in scripts and answers, as more than one batch system writes or reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable

_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::([1-9]\d*))?)?")
_JOB_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
_PLAIN_WORD = re.compile(r"[\w@%+=:./~-]*")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)B?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+)-)?(\d*(?::\d*)*)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}

# What goes into a script


def plain(value: str, what: str) -> str:
    """The value, if it stays on its line: no control characters or line separators of any kind."""
    if not value.isprintable():
        raise ValueError(f"{what} contains control characters: {value!r}")
    return value


def job_name(value: str) -> str:
    """The value, if every batch system accepts it as a job's name."""
    if not _JOB_NAME.fullmatch(value):
        raise ValueError(f"not a job name: {value!r} (a letter and at most 14 more of a-z, 0-9)")
    return value


def indices(own: Sequence[int]) -> str:
    """An array's indices as all batch systems take them: from the first to the last one."""
    return f"{own[0]:d}-{own[-1]:d}"


def plain_word(value: str, what: str) -> str:
    """The value, if qsub reads it as it stands in a script's ``#PBS`` or ``#$`` line.

    Raises:
        ValueError: it does not. Measured: Grid Engine does not pass on quotes, commas, ``#`` and
            ``$`` as they stand.
    """
    if not _PLAIN_WORD.fullmatch(plain(value, what)):
        raise ValueError(f"a script's header cannot take this {what}: {value!r}")
    return value


# What stands in an answer


def parse_indices(text: str) -> Iterator[int]:
    """The indices in a batch system's list: ``1,3,4-6``, with a step ``2-8:3``.

    Raises:
        SchedulerUnavailable: it is no such list.
    """
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise SchedulerUnavailable(f"the answer has {text!r} where task numbers belong")
        first, last, step = match.groups()
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def whole_lines(returncode: int, stdout: str, stderr: str) -> list[str]:
    """The lines of a table that arrived whole.

    Raises:
        SchedulerUnavailable: the command failed, or its output ends within a line.
    """
    if returncode != 0:
        raise SchedulerUnavailable(f"the query failed: {first_line(stderr) or returncode}")
    if stdout and not stdout.endswith("\n"):
        raise SchedulerUnavailable("the answer is cut off")
    return stdout.splitlines()


def read_version(returncode: int, stdout: str, stderr: str) -> str:
    """The number in what a command says of its version; empty if it says none."""
    found = re.search(r"\d+(\.\d+)+\w*", stdout or stderr) if returncode == 0 else None
    return found.group() if found else ""


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def printed_id(command: str, stdout: str, pattern: re.Pattern[str]) -> str:
    """The job id that a submission printed last; banners and warnings may stand before it.

    Args:
        command: which printed it, for the message.
        stdout: all that it printed.
        pattern: of the last line; its first group is the id.

    Raises:
        SchedulerUnavailable: there is none.
    """
    match = pattern.fullmatch(stdout.rstrip("\n").rpartition("\n")[2].strip())
    if match is None:
        raise SchedulerUnavailable(f"{command} reported success but no job id")
    return match.group(1)


def amount(text: str) -> float:
    """Bytes: ``470.988MB``, ``2G`` (sge_types(5)), ``6232kb`` (pbs_resources(7B)); 0 where nothing
    is said."""
    match = _AMOUNT.fullmatch(text)
    return float(match.group(1)) * _UNITS[match.group(2).upper()] if match else 0.0


def seconds(text: str) -> int:
    """A duration: ``3600``, ``01:00:00``, ``1:0:0``, ``1-00:00:00``; 0 for text such as
    ``UNLIMITED``, and where nothing is said."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return 0
    days, clock = match.groups()
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part or 0)
    return 86400 * int(days or 0) + total
