"""Import in a nursery what jobs need, and see what importing leaves behind.

A fork has the modules of its parent, but not its threads; open files, sockets and children it would
share with all other jobs. A module that leaves any of these is not imported here but in each job.
Two things do no harm: plain files that are only read, which each job opens anew
(:func:`reopen`), and the threads in :data:`FORK_SAFE`.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import importlib
import logging
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LOGGER = logging.getLogger(__name__)

#: Bytes of resident memory that a nursery may have.
MOST_MEMORY = 4 << 30
#: Name of a native thread (proc(5), comm) -> why a fork can do without it. pyarrow brings it.
FORK_SAFE = {
    "jemalloc_bg_thd": "jemalloc's pthread_atfork(3) handlers have the child start its own"
}
#: What jobs import, whatever their process, beside PyWPS; the last ones only sometimes
#: (:mod:`joblauncher.lean`).
BASE = (
    "joblauncher.supervisor",
    "joblauncher.shared.by_name.rebuild",
    "joblauncher.inputs.fetch",
    "dill",
    "dateutil.parser",
    "humanize",
    "jinja2",
    "requests",
    "werkzeug.test",
)


class Unfit(Exception):
    """A module cannot be imported in a nursery.

    Attributes:
        name: the module.
        reason: what it leaves behind.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True)
class Traces:
    """What of this process a fork would share or lack.

    Attributes:
        threads: their ids, without that of the main one.
        files: descriptor and what it is.
        children: process ids.
        memory: mappings to which a process and its forks write together.
    """

    threads: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    children: frozenset[str] = field(default_factory=frozenset)
    memory: frozenset[str] = field(default_factory=frozenset)

    def beyond(self, before: Traces) -> str:
        """What is here and was not before, as a list for the log; empty if nothing is."""
        found = []
        if len(self.threads) > len(before.threads):
            found.append("a thread")
        if files := self.files - before.files:
            found.append("an open file or socket (" + ", ".join(sorted(files)) + ")")
        if self.children - before.children:
            found.append("a child process")
        if self.memory - before.memory:
            found.append("shared memory")
        return ", ".join(found)


def traces() -> Traces:
    """What is there now."""
    threads = _threads()
    if threads:
        # Libraries such as OpenBLAS end their threads before a fork and start them when needed.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        threads = _threads()
    files = set()
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the listing itself
            if not _is_only_read(number):
                files.add(f"{number}: {os.readlink(f'/proc/self/fd/{number}')}")
    children = set()
    for listing in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError), open(listing, encoding="ascii") as text:
            children.update(text.read().split())
    return Traces(threads, frozenset(files), frozenset(children), _shared_memory())


def _shared_memory() -> frozenset[str]:
    """Mappings that forks share and can write (proc(5), maps): address and file."""
    found = set()
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            address, rights, rest = line.split(" ", 2)
            if rights.endswith("s") and "w" in rights:
                found.add(f"{address} {rest.strip()}")
    return frozenset(found)


def _threads() -> frozenset[str]:
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm") as name:
            if thread != str(os.getpid()) and name.read().strip() not in FORK_SAFE:
                found.add(thread)
    return frozenset(found)


def _is_only_read(number: int) -> bool:
    """Whether this descriptor is a plain file, open for reading alone, that still has its name."""
    facts = os.fstat(number)
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    is_read = flags & os.O_ACCMODE == os.O_RDONLY
    return is_read and stat.S_ISREG(facts.st_mode) and facts.st_nlink > 0


def only_read() -> tuple[int, ...]:
    """The descriptors of plain files that are only read, but for standard input."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if number > 2 and _is_only_read(number):
                found.append(number)
    return tuple(sorted(found))


def reopen(numbers: Iterable[int]) -> None:
    """Open files anew under the same descriptors, at the same places, so that nobody else moves
    about in them.

    Raises:
        OSError: one cannot be opened any more.
    """
    for number in numbers:
        place, inheritable = os.lseek(number, 0, os.SEEK_CUR), os.get_inheritable(number)
        fresh = os.open(f"/proc/self/fd/{number}", os.O_RDONLY)
        os.lseek(fresh, place, os.SEEK_SET)
        os.dup2(fresh, number, inheritable=inheritable)
        os.close(fresh)


def load(names: Iterable[str], unfit: Collection[str], begin: Callable[[str | None], Any]) -> None:
    """Import modules in this order; those that cannot be imported are left to the jobs.

    Args:
        names: of modules, those that others import last.
        unfit: names of those to leave out.
        begin: told each name before its import, and ``None`` at the end.

    Raises:
        Unfit: one has left something behind; this process is of no use any more.
    """
    before = traces()
    for name in names:
        if name in sys.modules or name in unfit:
            continue
        begin(name)
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            LOGGER.warning("%s cannot be imported here: %s", name, error)
        reason = traces().beyond(before)
        if not reason and (used := resident()) > MOST_MEMORY:
            reason = f"{used >> 20} MiB of memory"
        if reason:
            raise Unfit(name, reason)
    begin(None)


def resident() -> int:
    """Resident memory of this process in bytes (proc(5), statm)."""
    with open("/proc/self/statm", encoding="ascii") as facts:
        return int(facts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def files(below: Sequence[str] | None = None) -> dict[str, tuple[int, int]]:
    """The files of all modules that are imported: time of modification in ns, and size.

    Args:
        below: folders that are looked at; ``None``: all.
    """
    found = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and (
            below is None or any(path.startswith(f"{folder}/") for folder in below)
        ):
            found[path] = stamp(path)
    return found


def changed(known: Mapping[str, tuple[int, int]]) -> str:
    """The first file that is not as it was; empty if all are."""
    return next((path for path, facts in known.items() if stamp(path) != facts), "")


def stamp(path: str) -> tuple[int, int]:
    """Time of modification in ns and size of a file; zeros if there is none."""
    try:
        facts = os.stat(path)
    except NotADirectoryError:  # in a zip archive
        return stamp(os.path.dirname(path))
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size
