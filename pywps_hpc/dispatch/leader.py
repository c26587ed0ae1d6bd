"""One dispatcher leads, others stand by: who it is, and when it may be replaced."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from pathlib import Path

from pywps_hpc.errors import ForeignSpool, LeadershipLost
from pywps_hpc.jobs import JobStore, Reach
from pywps_hpc.jobs.clock import boot_id
from pywps_hpc.jobs.identity import are_apart
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing

__all__ = ["Leadership", "LeadershipLost", "is_dead", "name_of"]

log = logging.getLogger(__name__)


class Leadership:
    """The leader lease, as this dispatcher sees it.

    Args:
        store: the job table, where the leader's heartbeats stand.
        lease: seconds of silence after which a leader may be taken for dead.
        holder: name of this dispatcher, unique to it; by default one that tells its process.

    Attributes:
        message: what the dispatcher has to say to whoever looks at its heartbeats.
        reach: whether it reaches the batch system, for the same.
        service: what tells its service from others, for the same.
    """

    def __init__(
        self, store: JobStore, lease: float, holder: str = "", timing: Timing = TIMING
    ) -> None:
        self._interval = timing.heartbeat
        self._store = store
        self._lease = lease
        self.holder = holder or name_of(os.getpid())
        self.message = ""
        self.reach = Reach()
        self.service = ""
        self._last = float("-inf")

    def take(self) -> bool:
        """Take or keep the leadership, and send a heartbeat; whether this dispatcher leads now."""
        self._last = time.monotonic()
        if self._claim():
            return True
        leader = self._store.leader()
        if not is_dead(leader):
            return False
        log.info("dispatcher %s: %s is dead", self.holder, leader)
        self._store.resign(leader)
        return self._claim()

    def heartbeat(self) -> None:
        """Send a heartbeat, if it is time for one. It keeps the leadership and never takes it.

        Raises:
            LeadershipLost: somebody else leads, or nobody.
        """
        if time.monotonic() - self._last >= self._interval:
            self.heartbeat_now()

    def heartbeat_now(self) -> None:
        """Send a heartbeat now, see :meth:`heartbeat`.

        Raises:
            LeadershipLost: somebody else leads, or nobody.
        """
        self._last = time.monotonic()
        if not self._store.keep_leading(self.holder, self.message, self.reach, self.service):
            raise LeadershipLost

    def refuse_two_services(self, settings: Settings) -> None:
        """Do not stand by for the dispatcher of another service: it would run our jobs with its
        settings, and we its jobs with ours.

        Raises:
            ForeignSpool: it works in this spool.
        """
        leader = self._store.dispatcher()
        if (
            leader is not None
            and leader.is_alive(self._lease)
            and are_apart(leader.service, self.service)
            and not is_dead(leader.holder)
        ):
            raise ForeignSpool(
                f"[hpc] spool, database: the dispatcher of another service "
                f"({leader.service.partition(' ')[2]}) uses them: give this service "
                f"({settings.url}) a spool and a database of its own"
            )

    def _claim(self) -> bool:
        return self._store.lead(self.holder, self._lease, self.message, self.reach, self.service)

    def resign(self) -> None:
        """Let a standby take over at once."""
        self._store.resign(self.holder)


def name_of(pid: int) -> str:
    """A name for a process that no other process on any host has."""
    try:
        _, started = _state(pid)
    except OSError:
        started = ""
    return f"{socket.gethostname()[:40]}:{_place()}:{pid}:{started}:{secrets.token_hex(2)}"


def is_dead(name: str) -> bool:
    """Whether the process of this name is certainly gone; false if that cannot be told here."""
    parts = name.split(":")
    if len(parts) != 5 or parts[1] != _place():
        return False
    _, _, pid, started, _ = parts
    if not started:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, so it is there
    try:
        state, now = _state(int(pid))
    except OSError:
        return False  # hidden (proc(5), hidepid), or gone this moment
    return now != started or state == "Z"


def _state(pid: int) -> tuple[str, str]:
    """State of a process, and its start in clock ticks since boot, which setting the clock does not
    move (proc(5), /proc/PID/stat)."""
    line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = line.rpartition(")")[2].split()
    return fields[0], fields[19]


def _place() -> str:
    """What a process id refers to: this boot of this kernel, and this namespace (proc(5))."""
    boot = boot_id()
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        boot = ""
    return f"{boot[:13]}-{namespace}" if boot else f"unknown-{secrets.token_hex(4)}"
