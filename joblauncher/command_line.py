"""What ps(1) shows of a fork: its own command line and mark instead of its parent's."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

#: The fields of proc(5), stat, count from 1; what follows the command's name begins with the third.
_ARG_START, _ENV_START = 48 - 3, 50 - 3


def retitle(*arguments: str) -> None:
    """Have ps(1) show this command line; a fork shows its parent's. Nothing happens where there is
    no room for it."""
    text = "\0".join(arguments).encode() + b"\0"
    with contextlib.suppress(OSError):
        _overwrite(_ARG_START, 0, len(Path("/proc/self/cmdline").read_bytes()), text)


def mark_environment(name: str, value: str) -> bool:
    """Have proc(5), environ, tell the mark, as it does of a program that was started with it; that
    of a fork is its parent's. False if there is no room for it."""
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:
        return False
    begin = block.find(f"{name}=".encode())
    end = block.find(b"\0", begin)
    # What follows the mark is not read: an empty string ends an environment.
    return 0 <= begin < end and _overwrite(_ENV_START, begin, end, f"{name}={value}".encode())


def _overwrite(field: int, begin: int, end: int, text: bytes) -> bool:
    """Put a text, and zeros, between two places of what this process was started with."""
    if len(text) > end - begin:
        return False
    start = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[field])
    ctypes.memmove(start + begin, text.ljust(end - begin, b"\0"), end - begin)
    return True
