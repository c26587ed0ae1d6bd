"""What a process has open: a log, what it was given, and sockets that it listens on."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


def listen(address: Path, kind: socket.SocketKind) -> socket.socket:
    """A socket that takes connections at this address, which may have more than 107 bytes."""
    listener = socket.socket(socket.AF_UNIX, kind)
    before = os.getcwd()
    os.chdir(address.parent)
    try:
        address.unlink(missing_ok=True)
        listener.bind(address.name)
    finally:
        os.chdir(before)
    listener.listen(64)
    return listener


def write_to(log: int, *also: int) -> None:
    """Write to this log, read nothing, and close whatever else is open but for these."""
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    close_all_but(*also)


def close_all_but(*kept: int) -> None:
    """Close whatever is open beside standard input, output, error and these."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in kept:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(number)
