"""The local scheduler's nurseries: from outside.

A nursery (:mod:`joblauncher.nursery`) has imported what the jobs of some settings need and starts
each as a fork of itself. It is detached, as jobs are, and ends when it has been idle for a while. A
job never waits for one: while there is none, or none that answers, it starts without.

::

    directory/nurseries/KEY/    one for each interpreter, environment and path of modules, and image
    directory/nurseries/wanted  locked while a dispatcher lives
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from joblauncher.shared.warm_home import HOME
from pywps_hpc.dispatch.channels.local import clean_environment
from pywps_hpc.dispatch.schedulers.local_runtime import runner
from pywps_hpc.timing import TIMING, Timing

log = logging.getLogger(__name__)

PROGRAM = "joblauncher.nursery"
#: Nurseries that may live at once on one directory: each has the service's modules in memory.
MOST_ALIVE = 4
#: Seconds until a nursery that was refused is tried again.
_REFUSED = 3600.0
#: Folders that are kept: what a nursery has learned outlives it.
MOST_KEPT = 16


class Order:
    """A job that a nursery was asked to start."""

    def __init__(self, folder: Path, connection: socket.socket, patience: float) -> None:
        self._folder, self._connection = folder, connection
        self._deadline = time.monotonic() + patience

    def wait(self) -> None:
        """Until the nursery is done with it: the job has begun then, or it will not.

        A nursery that does not answer in time is given up: no further job waits for it, and it ends
        when it sees that.
        """
        with self._connection:
            self._connection.settimeout(max(0.01, self._deadline - time.monotonic()))
            try:
                self._connection.recv(1)
            except TimeoutError:
                log.warning("a nursery does not answer, jobs start without it: %s", self._folder)
                with contextlib.suppress(OSError):
                    (self._folder / "socket").unlink()
            except OSError:
                pass  # it was killed


class Nurseries:
    """Those of one local scheduler.

    Args:
        directory: of the scheduler.
        environment: in which containers are started.
        timing: durations.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        timing: Timing = TIMING,
    ) -> None:
        self._queue = directory / "queue"
        self._folder = directory / "nurseries"
        self._environment = dict(environment or {})
        self._timing = timing
        self._refused: dict[str, float] = {}
        self._told: set[str] = set()
        self._started: dict[str, float] = {}
        self._children: list[subprocess.Popen[bytes]] = []
        self._wanted: IO[str] | None = None

    def hold(self) -> None:
        """Let nurseries live as long as this process does, without which they soon end; collect
        what has started them."""
        self._children = [child for child in self._children if child.poll() is None]
        if self._wanted is not None:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            wanted = (self._folder / "wanted").open("a")
        except OSError as error:
            log.debug("no nursery can be held: %s", error)
            return
        try:
            fcntl.flock(wanted, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # a nursery just looks: the next time, then
            wanted.close()
        else:
            self._wanted = wanted

    def order(self, number: int, warm: dict[str, Any] | None) -> Order | None:
        """Ask a nursery to start a job.

        Args:
            number: of the job.
            warm: how it is started; ``None``: not by a nursery.

        Returns:
            What to wait for; ``None`` if there is no nursery now. One is started, for other jobs.
        """
        if warm is None:
            return None
        folder = self._folder / _key(warm)
        connection = _connect(folder)
        if connection is None:
            self._start(folder, warm)
            return None
        try:
            connection.settimeout(self._timing.nursery_patience)
            connection.sendall(str(number).encode("ascii"))
        except OSError:
            connection.close()
            return None
        return Order(folder, connection, self._timing.nursery_patience)

    def _start(self, folder: Path, warm: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._refused.get(folder.name, -_REFUSED) < _REFUSED:
            return
        last = self._started.get(folder.name)
        if last is not None and now - last < self._timing.nursery_restart:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if last is not None and self._was_refused(folder):
                return
            if _lives(folder) or not self._make_room(folder):
                return
            self._started[folder.name] = now
            self._children.append(self._spawn(folder, warm))
        except OSError as error:
            log.warning("no nursery can be started: %s", error)

    def _was_refused(self, folder: Path) -> bool:
        """Whether the last start has shown that containers cannot be had, or jobs not be shut in;
        each reason is told once."""
        try:
            reason = (folder / "refused").read_text(errors="replace")
        except OSError:
            return False
        (folder / "refused").unlink(missing_ok=True)
        self._refused[folder.name] = time.monotonic()
        if reason not in self._told:
            log.warning(
                "no warm starts in containers on this host, jobs start without: %s. It takes user "
                "namespaces for plain users and Linux 5.2; [hpc.container] warm = no stops trying.",
                reason,
            )
        self._told.add(reason)
        return True

    def _spawn(self, folder: Path, warm: dict[str, Any]) -> subprocess.Popen[bytes]:
        facts: dict[str, Any] = {
            "python": warm["python"],
            "paths": warm["paths"],
            "queue": str(self._queue),
            "wanted": str(self._folder / "wanted"),
            "idle": self._timing.nursery_idle,
            "orphaned": self._timing.nursery_orphaned,
        }
        # A fork shows the environment that its parent was started with, and writes its own mark
        # into it: in the first place, with room for any job's.
        mark = {runner.MARK: "-" * (len(str(self._queue)) + 32)}
        home = {"HOME": HOME, "TMPDIR": HOME}
        python, environment = warm["python"], mark | home | warm["environment"]
        if warm.get("container"):
            python, environment = sys.executable, clean_environment()
            facts |= self._container(folder, warm, mark)
        runner.write(folder / "nursery.json", json.dumps(facts))
        with (folder / "log").open("wb") as output:
            child = subprocess.Popen(
                [python, "-I", "-m", PROGRAM, str(folder), runner.__file__, "detach"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        log.info("a nursery for warm starts: %s", folder)
        return child

    def _container(
        self, folder: Path, warm: dict[str, Any], mark: Mapping[str, str]
    ) -> dict[str, Any]:
        """What a nursery has to know to start its container; lays out what that one sees."""
        container, inside = warm["container"], folder / "inside"
        inside.mkdir(mode=0o700, exist_ok=True)
        own = {name: container[name] for name in ("network", "writable")}
        own["changeable"] = None if os.path.isdir(container["image"]) else container["shown"]
        runner.write(inside / "nursery.json", json.dumps({"paths": warm["paths"], **own}))
        bind = f"{inside}:{container['spool']}:rw"
        prefix = container["prefix"]
        marked = {f"{prefix}{name}": value for name, value in mark.items()}
        return {
            "command": [*container["program"], "--bind", bind, *container["arguments"]],
            "environment": self._environment | marked | container["exports"],
        }

    def _make_room(self, own: Path) -> bool:
        """Whether one more nursery may live; forgets those that have been gone for longest."""
        others = [other for other in self._folder.iterdir() if other.is_dir() and other != own]
        gone = [other for other in others if not _lives(other)]
        for other in sorted(gone, key=lambda one: one.stat().st_mtime)[: -MOST_KEPT or None]:
            shutil.rmtree(other, ignore_errors=True)
        return len(others) - len(gone) < MOST_ALIVE


def _key(warm: dict[str, Any]) -> str:
    """The name of the nursery in which jobs that start so can be started."""
    parts = [warm["python"], warm["paths"], warm["environment"]]
    if container := warm.get("container"):
        parts += [container, _stamp(container["image"])]
    facts = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _stamp(image: str) -> list[int]:
    """Which file an image is: what lies there later is another one."""
    try:
        facts = os.stat(image)
    except OSError:
        return []
    return [facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size]


def _lives(folder: Path) -> bool:
    """Whether a nursery holds the lock."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _connect(folder: Path) -> socket.socket | None:
    """A connection to the nursery in this folder, if it takes orders. The address of a socket may
    have 107 bytes (unix(7)), so it is given by an open folder (proc(5))."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.setblocking(False)
            connection.connect(f"/proc/self/fd/{handle}/socket")
        finally:
            os.close(handle)
    except OSError:  # there is none, or too many orders wait for it
        connection.close()
        return None
    return connection
