"""Takes the local scheduler's orders and forks a job's supervisor for each.

An order is the number of a job, over a socket that nobody but the account reaches. Once forked, a
supervisor needs its parent no more, and whoever gave an order that came to nothing starts the job
without it.

::

    FOLDER/nursery.json   from the scheduler: see :class:`Orders`
    FOLDER/lock           held as long as the process lives
    FOLDER/socket         takes orders (unix(7))
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import select
import socket
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from joblauncher import siblings
from joblauncher.command_line import retitle
from joblauncher.descriptors import listen, write_to

LOGGER = logging.getLogger(__name__)

#: Seconds between two looks whether it is still wanted.
LOOK = 2.0


class Orders(ABC):
    """The process; ``nursery.json`` has ``python``, the interpreter; ``paths``, folders with
    modules of the service; ``queue``, the folder of the scheduler's jobs; ``wanted``, a file that
    the dispatcher has locked while it lives; and after how many seconds it ends: ``idle`` without
    orders, ``orphaned`` without a dispatcher.

    Args:
        folder: its own.
        supervisor: the program file of the scheduler's that supervises a job.
        lock: descriptor of the lock.
    """

    def __init__(self, folder: Path, supervisor: str, lock: int) -> None:
        self._folder, self._lock = folder, lock
        self._facts: dict[str, Any] = json.loads((folder / "nursery.json").read_text())
        self._program = supervisor
        self._supervisor = _load(supervisor)
        self._address = folder / "socket"
        self._listener: socket.socket | None = None
        self._mine = 0

    @abstractmethod
    def sources(self) -> Sequence[socket.socket]:
        """What else to listen to."""

    @abstractmethod
    def heed(self, ready: Collection[socket.socket]) -> bool:
        """Read what has come from these; whether to go on."""

    @abstractmethod
    def check(self, connection: socket.socket) -> None:
        """Before a fork; may start everything anew, once the connection is closed."""

    @abstractmethod
    def launch(self, order: dict[str, Any], mark: tuple[str, str], log: int) -> tuple[int, int]:
        """In a job's supervisor: start the launcher.

        Args:
            order: see :func:`joblauncher.forked.become`.
            mark: likewise.
            log: descriptor of the job's log.

        Returns:
            A child that ends when the launcher does, and as it does; and the launcher's process id.

        Raises:
            OSError: it has not been started.
        """

    def kept(self) -> tuple[int, ...]:
        """Descriptors that a supervisor needs."""
        return ()

    def open(self) -> None:
        """Take orders from now on."""
        self._listener = listen(self._address, socket.SOCK_STREAM)
        self._mine = inode(self._address)

    def close(self) -> None:
        """Take no more orders."""
        if self._listener is not None:
            self._address.unlink(missing_ok=True)
            self._listener.close()
            self._listener = None

    def run(self) -> None:
        """Take orders until nobody gives any, or the folder is gone."""
        idle_since = wanted = time.monotonic()
        while time.monotonic() - idle_since < self._facts["idle"]:
            listener = self._listener
            sources = [*self.sources(), *([listener] if listener else [])]
            ready, _, _ = select.select(sources, [], [], LOOK)
            if listener is None and not self._folder.exists():
                return
            if listener is not None and inode(self._address) != self._mine:
                return
            if not ready and not self._is_wanted():
                if time.monotonic() - wanted >= self._facts["orphaned"]:
                    break
            else:
                wanted = time.monotonic()
            if not self.heed(ready):
                break
            if self._listener in ready and self._listener is not None:
                idle_since = time.monotonic()
                with contextlib.suppress(ConnectionError):  # whoever gave the order is gone
                    connection, _ = self._listener.accept()
                    self._obey(connection)
        self.close()

    def _is_wanted(self) -> bool:
        """Whether a dispatcher lives."""
        try:
            with open(self._facts["wanted"]) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _obey(self, connection: socket.socket) -> None:
        connection.settimeout(1.0)
        try:
            number = connection.recv(32).decode("ascii")
        except (OSError, ValueError):
            number = ""
        job = Path(self._facts["queue"], number)
        if not number.isdigit() or not job.is_dir():
            connection.close()
            return
        self.check(connection)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with connection:
            try:
                is_supervisor = siblings.fork_away()
            except OSError as error:
                LOGGER.warning("%s starts without: %s", number, error)
                return
            if is_supervisor:
                self._supervise(job, connection.detach())

    def _supervise(self, job: Path, tell: int) -> NoReturn:
        """In a fork: become the supervisor of a job, a child of nobody's."""
        try:
            log = os.open(job / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            if self._listener is not None:
                self._listener.detach()
            write_to(log, tell, *self.kept())
            os.chdir("/")
            retitle(sys.executable, "-I", self._program, str(job))
            self._supervisor.supervise(job, tell, self.launch)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


def inode(path: Path) -> int:
    """Which file is there; 0: none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _load(file: str) -> Any:
    """A program file as a module."""
    spec = importlib.util.spec_from_file_location("pywps_hpc_supervisor", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
