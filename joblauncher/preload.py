"""Import in a nursery what jobs need, and see what importing leaves behind.

A fork has the modules of its parent, but not its threads; open files, sockets and children it would
share with all other jobs. A module that leaves any of these is not imported here but in each job.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LOGGER = logging.getLogger(__name__)

#: Bytes of resident memory that a nursery may have.
MOST_MEMORY = 4 << 30
#: What every job imports, whatever its process.
BASE = (
    "joblauncher.supervisor",
    "joblauncher.service",
    "joblauncher.inputs.large_values",
    "joblauncher.inputs.literals",
    "joblauncher.inputs.references",
    "joblauncher.shared.by_name.rebuild",
    "joblauncher.shared.response",
    "pywps.response.execute",
    "pywps.response.status",
    "werkzeug.test",
    "dill",
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
    """

    threads: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    children: frozenset[str] = field(default_factory=frozenset)

    def beyond(self, before: Traces) -> str:
        """What is here and was not before, in words; empty if nothing is."""
        found = []
        if len(self.threads) > len(before.threads):
            found.append("a thread")
        if files := self.files - before.files:
            found.append("an open file or socket (" + ", ".join(sorted(files)) + ")")
        if self.children - before.children:
            found.append("a child process")
        return ", ".join(found)


def traces() -> Traces:
    """What is there now."""
    threads = frozenset(os.listdir("/proc/self/task")) - {str(os.getpid())}
    if threads:
        # Libraries such as OpenBLAS end their threads before a fork and start them when needed.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        threads = frozenset(os.listdir("/proc/self/task")) - {str(os.getpid())}
    files = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            files.add(f"{number}: {os.readlink(f'/proc/self/fd/{number}')}")
    children = set()
    for listing in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError), open(listing, encoding="ascii") as text:
            children.update(text.read().split())
    return Traces(threads, frozenset(files), frozenset(children))


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


def files() -> dict[str, tuple[int, int]]:
    """The files of all modules that are imported: time of modification in ns, and size."""
    found = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            found[path] = stamp(path)
    return found


def changed(known: Mapping[str, tuple[int, int]]) -> str:
    """The first file that is not as it was; empty if all are."""
    return next((path for path, facts in known.items() if stamp(path) != facts), "")


def stamp(path: str) -> tuple[int, int]:
    """Time of modification in ns and size of a file; zeros if there is none."""
    try:
        facts = os.stat(path)
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size
