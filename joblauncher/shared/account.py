"""Whom this program runs as."""

from __future__ import annotations

import os
from pathlib import Path

#: For whoever started it.
MESSAGE = "jobs are not run as root"


def is_root() -> bool:
    """Whether this is root of the host.

    Not meant is the "root" of a user namespace behind whom an ordinary account stands
    (user_namespaces(7)), as in a container that was started with ``--fakeroot``.
    """
    if os.geteuid() != 0:
        return False
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
        first, outside, count = next(
            numbers for line in lines if (numbers := tuple(map(int, line.split())))[0] == 0
        )
    except (OSError, ValueError, StopIteration):
        return True
    return first == outside and count > 0
