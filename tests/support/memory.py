"""How much memory something takes: in this process, in another one, or in a new interpreter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from places import TESTS

MIB = 1 << 20
_T = TypeVar("_T")


def resident(process: int | str = "self") -> int:
    """Bytes that a process has in memory (proc_pid_status(5))."""
    return _status(process, "VmRSS")


def peak(process: int | str = "self") -> int:
    """Bytes that a process had in memory at most (proc_pid_status(5))."""
    return _status(process, "VmHWM")


def peak_of(act: Callable[[], _T]) -> tuple[int, _T]:
    """Bytes that this process has at most during a call, and what the call returns."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
    given = act()
    return peak(), given


def measured(program: str, *arguments: str | Path) -> list[dict[str, Any]]:
    """What a program in ``tests/support`` prints: one JSON object a line."""
    done = subprocess.run(
        [sys.executable, TESTS / "support" / program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def excessive(taken: Mapping[str, int], sizes: Mapping[str, int], beside: int) -> dict[str, str]:
    """What takes more than four times its own size, as text for a failure.

    Args:
        beside: bytes that each may take in any case.
    """
    return {
        name: f"{most / MIB:.0f} MiB for {sizes[name] / MIB:.0f} MiB"
        for name, most in taken.items()
        if most > 4 * sizes[name] + beside
    }


def _status(process: int | str, key: str) -> int:
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10
