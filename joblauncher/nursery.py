"""Starts the jobs of a service as forks of itself: ``python -I -m joblauncher.nursery …``.

Python's imports are most of what a short job costs. This process has imported what they need and
runs none of their code: each order, the number of a job of the local scheduler, is carried out by a
fork that becomes the job's supervisor, whose own fork becomes the launcher. Once forked, a job
needs the nursery no more, and whoever gave an order that came to nothing starts the job without it.

::

    FOLDER/nursery.json   from the scheduler: see :class:`Nursery`
    FOLDER/learned.json   what to import (:mod:`joblauncher.learned`); outlives the nursery
    FOLDER/lock           held as long as it lives
    FOLDER/socket         takes orders while everything is imported (unix(7))
    FOLDER/compile-caches   what was compiled at import (:mod:`joblauncher.caches`)
    FOLDER/home           its home and temporary folder, read-only once everything is imported

What there is to import is learned from the jobs' launchers (:mod:`joblauncher.warm`). When they
report something new, or the file of a module has changed, the nursery starts itself anew (execve).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib.util
import json
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from joblauncher import caches, command, configured, forked, lean, learned, preload, warm
from joblauncher.shared import IN_JOB
from joblauncher.shared.files import remove_tree
from joblauncher.shared.warm_home import HOME, HOME_DESCRIPTOR

LOGGER = logging.getLogger(__name__)

#: Seconds between two looks whether it is still wanted.
LOOK = 2.0
#: Seconds that all imports together may take (alarm(2)).
IMPORT_LIMIT = 600


class Nursery:
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
        self._begun = time.time_ns()
        self._environment = dict(os.environ)
        self._folder, self._lock = folder, lock
        self._facts: dict[str, Any] = json.loads((folder / "nursery.json").read_text())
        self._learned = learned.read(folder / "learned.json")
        self._home = folder / "home"
        self._reports, self._reporter = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._program = supervisor
        self._supervisor = _load(supervisor)

    def prepare(self) -> None:
        """Import what jobs need."""
        if self._learned.importing is not None:
            self._learned.leave_out(self._learned.importing, "its import did not end")
        with contextlib.suppress(FileNotFoundError):
            remove_tree(self._home)
        self._home.mkdir(mode=0o700)
        warm.point_home(self._home)
        os.chdir(self._home)
        command.prepare(self._facts["paths"])
        if self._learned.config is not None:
            self._import(self._learned.config)
        for folder, _, _ in os.walk(self._home, topdown=False):
            os.chmod(folder, 0o500)
        self._files = preload.files()
        self._open = preload.only_read()
        if any(self._begun < changed < time.time_ns() for changed, _ in self._files.values()):
            self._restart("a module was changed while it was imported")
        gc.collect()
        gc.freeze()  # a collection in a job copies no pages of what is here

    def _import(self, config: dict[str, dict[str, str]]) -> None:
        signal.alarm(IMPORT_LIMIT)
        os.environ.pop("PYWPS_CFG", None)
        os.environ[IN_JOB] = "nursery"
        kept = self._folder / caches.KEPT
        for cache in (caches.kept_of_interpreter(), kept):
            caches.use(self._home, cache, seen_as=Path(HOME))
        lean.load()
        configured.install(config, self._home, self._home)
        names = [*preload.BASE, *self._learned.names]
        try:
            preload.load(names, self._learned.unfit, self._learned.begin)
            caches.keep(self._home, kept)
        except preload.Unfit as unfit:
            caches.keep(self._home, kept)
            self._learned.leave_out(unfit.name, unfit.reason)
            self._restart(f"{unfit.name} leaves {unfit.reason}: it is imported in each job instead")
        signal.alarm(0)

    def run(self) -> None:
        """Take orders until nobody gives any, or the folder is gone."""
        address = self._folder / "socket"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.chdir(self._folder)  # a socket's address may have 107 bytes
        address.unlink(missing_ok=True)
        listener.bind(address.name)
        os.chdir(self._home)
        listener.listen(64)
        mine, idle_since, wanted = _inode(address), time.monotonic(), time.monotonic()
        LOGGER.info("takes orders, %d modules, %d MiB", len(sys.modules), preload.resident() >> 20)
        while time.monotonic() - idle_since < self._facts["idle"]:
            ready, _, _ = select.select([listener, self._reports], [], [], LOOK)
            if _inode(address) != mine:
                return
            if not ready and not self._is_wanted():
                if time.monotonic() - wanted >= self._facts["orphaned"]:
                    break
            else:
                wanted = time.monotonic()
            if self._reports in ready:
                self._learn()
            if listener in ready:
                idle_since = time.monotonic()
                with contextlib.suppress(ConnectionError):  # whoever gave the order is gone
                    connection, _ = listener.accept()
                    self._obey(connection, listener)
        address.unlink(missing_ok=True)

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

    def _learn(self) -> None:
        """Take a report of a launcher (:func:`joblauncher.warm.report`)."""
        report = json.loads(self._reports.recv(1 << 20))
        fresh = [name for name in report["names"] if name not in sys.modules]
        if reason := self._learned.add(report["config"], fresh):
            self._restart(reason)

    def _obey(self, connection: socket.socket, listener: socket.socket) -> None:
        connection.settimeout(1.0)
        try:
            number = connection.recv(32).decode("ascii")
        except (OSError, ValueError):
            number = ""
        job = Path(self._facts["queue"], number)
        if not number.isdigit() or not job.is_dir():
            connection.close()
            return
        if path := preload.changed(self._files):
            connection.close()
            self._learned.forgive()
            self._restart(f"{path} has changed")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with connection:
            try:
                pid = os.fork()
            except OSError as error:
                LOGGER.warning("%s starts without: %s", number, error)
                return
            if pid == 0:
                listener.detach()
                self._supervise(job, connection.detach())
            os.waitpid(pid, 0)

    def _supervise(self, job: Path, tell: int) -> NoReturn:
        """In a fork: become the supervisor of a job, a child of nobody's."""
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            log = os.open(job / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._use(log, tell)
            os.chdir("/")
            forked.retitle(self._facts["python"], "-I", self._program, str(job))
            self._supervisor.supervise(job, tell, self._launch)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _launch(self, order: dict[str, Any], mark: tuple[str, str], log: int) -> int:
        """Start the launcher of a job; its process id."""
        pid = os.fork()
        if pid == 0:
            self._use(log)
            reports = self._reporter.detach()
            forked.become(order, mark, self._learned.config, reports, self._open)
        return pid

    def _use(self, log: int, *also: int) -> None:
        """Write to this log, read nothing, and close whatever else is open."""
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        _close_all_but(*also, *self._open, self._reporter.fileno(), HOME_DESCRIPTOR)

    def _restart(self, reason: str) -> NoReturn:
        """Start anew, in this process; meanwhile jobs are started without it."""
        LOGGER.info("starts anew: %s", reason)
        (self._folder / "socket").unlink(missing_ok=True)
        signal.alarm(0)
        for child in preload.traces().children:
            with contextlib.suppress(OSError):
                os.kill(int(child), signal.SIGKILL)
                os.waitpid(int(child), 0)
        _close_all_but(self._lock)
        os.chdir("/")
        os.set_inheritable(self._lock, True)
        python = self._facts["python"]
        arguments = [str(self._folder), self._program, str(self._lock)]
        program = [python, "-I", "-m", "joblauncher.nursery", *arguments]
        os.execve(python, program, self._environment)


def _close_all_but(*kept: int) -> None:
    """Close whatever is open beside standard input, output, error and these."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in kept:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(number)


def _load(file: str) -> Any:
    """A program file as a module."""
    spec = importlib.util.spec_from_file_location("pywps_hpc_supervisor", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


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
    nursery = Nursery(folder, supervisor, lock)
    nursery.prepare()
    nursery.run()


if __name__ == "__main__":
    folder, program, *more = sys.argv[1:]
    if more == ["detach"] and os.fork():  # a child of nobody's, as jobs are
        os._exit(0)
    main(Path(folder), program, int(more[0]) if more and more != ["detach"] else None)
