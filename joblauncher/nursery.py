"""Starts the jobs of a service as forks of itself: ``python -I -m joblauncher.nursery …``.

Python's imports are most of what a short job costs. This process has imported what they need and
runs none of their code: each order is carried out by a fork that becomes the job's supervisor
(:mod:`joblauncher.orders`), whose own fork becomes the launcher.

Where jobs run in containers there are two halves: this process, outside, supervises and imports
nothing (:mod:`joblauncher.nursery_outside`); what has the modules is in the container
(:mod:`joblauncher.nursery_inside`).

::

    FOLDER/learned.json   what to import (:mod:`joblauncher.learned`); outlives the nursery
    FOLDER/compile-caches   what was compiled at import (:mod:`joblauncher.caches`)
    FOLDER/home           its home and temporary folder, read-only once everything is imported

What there is to import is learned from the jobs' launchers (:mod:`joblauncher.warm`). What they
report is imported beside the rest; where that cannot be, as when the file of a module has changed,
the nursery starts itself anew (execve).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from joblauncher.descriptors import write_to
from joblauncher.imports import Imports, start_anew
from joblauncher.nursery_outside import ContainerNursery
from joblauncher.orders import Orders


class Nursery(Orders):
    """One without a container."""

    def __init__(self, folder: Path, supervisor: str, lock: int) -> None:
        self._environment = dict(os.environ)
        super().__init__(folder, supervisor, lock)
        paths = self._facts["paths"]
        self._imports = Imports(folder, paths, self._start_anew, pause=self._closed)

    def run(self) -> None:
        self._imports.prepare()
        self.open()
        self._imports.announce()
        super().run()

    def sources(self) -> Sequence[socket.socket]:
        return [self._imports.reports]

    def heed(self, ready: Collection[socket.socket]) -> bool:
        if self._imports.reports in ready:
            self._imports.learn()
        return True

    def check(self, connection: socket.socket) -> None:
        if reason := self._imports.is_stale():
            connection.close()
            self._start_anew(reason)

    def kept(self) -> tuple[int, ...]:
        return self._imports.descriptors()

    @contextlib.contextmanager
    def _closed(self) -> Iterator[None]:
        """Jobs are started without this process meanwhile: none waits for an import."""
        self.close()
        yield
        self.open()

    def launch(self, order: dict[str, Any], mark: tuple[str, str], log: int) -> tuple[int, int]:
        pid = os.fork()
        if pid == 0:
            write_to(log, *self._imports.descriptors())
            self._imports.become(order, mark)
        return pid, pid

    def _start_anew(self, reason: str) -> NoReturn:
        """In this process; meanwhile jobs are started without it."""
        (self._folder / "socket").unlink(missing_ok=True)
        python = self._facts["python"]
        arguments = [str(self._folder), self._program, str(self._lock)]
        program = [python, "-I", "-m", "joblauncher.nursery", *arguments]
        start_anew(reason, program, self._environment, [self._lock])


def main(folder: Path, supervisor: str, lock: int | None) -> None:
    """Be the nursery in this folder, unless there is one.

    Args:
        folder: its folder.
        supervisor: the program that supervises a job.
        lock: descriptor of its lock, where this is a new start of the same process.
    """
    os.umask(0o077)
    if lock is None:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    else:
        os.set_inheritable(lock, False)
    is_outside = (folder / ContainerNursery.INSIDE).is_dir()
    kind = ContainerNursery if is_outside else Nursery
    kind(folder, supervisor, lock).run()


if __name__ == "__main__":
    folder, program, *more = sys.argv[1:]
    if more == ["detach"] and os.fork():  # a child of nobody's, as jobs are
        os._exit(0)
    main(Path(folder), program, int(more[0]) if more and more != ["detach"] else None)
