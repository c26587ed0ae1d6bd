"""Processes below another one, as proc(5) tells."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Collection, Iterable
from pathlib import Path

#: The clock of a process's own processor time has a number made of this and its id
#: (clock_getcpuclockid(3)).
_OF_PROCESS = 2


def children(pid: int) -> list[int]:
    """The process ids of a process's children."""
    found: list[int] = []
    for listing in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(listing, encoding="ascii") as text:
            found += map(int, text.read().split())
    return found


def tree(pid: int) -> list[int]:
    """A process and all that it started, parents first."""
    found = [pid]
    for process in found:
        found += children(process)
    return found


def send(number: int, processes: Iterable[int]) -> None:
    """Signal those of these processes that are still there."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def signal_tree(pid: int, number: int) -> None:
    """Signal a process and all that it started."""
    send(number, tree(pid))


def marked(variable: str, value: str) -> list[int]:
    """The processes that were started with this value of an environment variable."""
    wanted, found = f"{variable}={value}".encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
                if wanted in environment.read().split(b"\0"):
                    found.append(int(name))
    return found


def parent(pid: int) -> int:
    """The process id of a process's parent (proc(5), stat).

    Raises:
        OSError: there is no such process.
    """
    return int(_stat(pid)[1])


def started(pid: int) -> int:
    """When a process was started, in ticks since the host was (proc(5), stat); another one that is
    given its id has another time. 0: there is no such process."""
    try:
        return int(_stat(pid)[19])
    except OSError:
        return 0


def used(processes: Iterable[int]) -> float:
    """Processor seconds of these processes, and of those that they have waited for; the latter in
    hundredths, rounded down (proc(5), stat)."""
    seconds, tick = 0.0, 1 / os.sysconf("SC_CLK_TCK")
    for process in processes:
        with contextlib.suppress(OSError):
            seconds += time.clock_gettime(~process << 3 | _OF_PROCESS)
            seconds += sum(map(int, _stat(process)[13:15])) * tick
    return seconds


def _stat(pid: int) -> list[bytes]:
    """Of proc(5), stat, what follows the name of the command: from the third field on."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def memory(processes: Collection[int], limit: int) -> int:
    """What these processes have in memory, in bytes.

    Pages that they share, with each other or with their neighbours, count once for each process up
    to the limit; beyond it, where it matters, in part (Pss), which takes longer to learn.
    """
    used = sum(map(_resident, processes))
    return used if used <= limit else sum(map(_proportional, processes))


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _proportional(pid: int) -> int:
    try:
        return share(pid)
    except OSError:
        return _resident(pid)


def share(pid: int) -> int:
    """What a process has in memory, in bytes; pages are divided among all that have them (proc(5),
    smaps, Pss).

    Raises:
        OSError: there is no such process, or it is somebody else's.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
