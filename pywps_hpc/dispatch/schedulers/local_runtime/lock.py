"""The lock of the local scheduler's directory: every wait for it has an end."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

#: Seconds to wait for whoever holds the lock: starting jobs on a busy host takes its time.
PATIENCE = 60.0
#: Seconds after which a holder that is stopped (SIGSTOP) counts as dead.
STOPPED = 10.0


def take(lock: int) -> None:
    """Lock a file for this process alone (flock(2)).

    Only the dispatcher that leads comes here. One that was stopped with the lock in its hands has
    been replaced meanwhile, and would let nobody work; it is killed, which costs nothing, since a
    dispatcher may die at any point.

    Args:
        lock: descriptor of the file; closing it gives the lock back.

    Raises:
        TimeoutError: somebody else keeps it; the message says who.
        OSError: the file cannot be locked.
    """
    begun, pause = time.monotonic(), 0.001
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - begun
        if waited >= STOPPED:
            _end_stopped(lock)
        if waited >= PATIENCE:
            holder = ", ".join(map(str, holders(lock))) or "unknown"
            raise TimeoutError(f"another process has kept its lock for {waited:.0f} s: {holder}")
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def holders(lock: int) -> list[int]:
    """The processes that hold a lock on this file (proc(5), /proc/locks), by their ids here."""
    facts = os.fstat(lock)
    file = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if len(fields) == 8 and fields[1] == "FLOCK" and fields[5] == file:
                found.append(int(fields[4]))
    return [pid for pid in found if pid > 0]


def _end_stopped(lock: int) -> None:
    for pid in holders(lock):
        with contextlib.suppress(psutil.Error):
            holder = psutil.Process(pid)
            if pid != os.getpid() and holder.status() == psutil.STATUS_STOPPED:
                log.warning("process %s holds the local scheduler's lock, stopped: killed", pid)
                holder.kill()
