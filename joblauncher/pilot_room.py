"""Keep the process that has a pilot's modules from the jobs' folders:
``python -I -m joblauncher.pilot_room FOLDER SPOOL PROGRAM…``.

A pilot sees the spool, since it hands each job its folder. What it starts by this program is in
namespaces of its own for users, mounts, processes and shared memory, and finds another folder in
the spool's place.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from joblauncher.shared import namespaces as kernel
from joblauncher.shared import prctl

_PROC = kernel.NO_SUID | kernel.NO_DEVICES | kernel.NO_PROGRAMS


def main(folder: Path, spool: Path, program: list[str]) -> int:
    """Run a program there; its exit code.

    Args:
        folder: what it sees at the spool's place. Why it cannot be had is left beside it.
        spool: where the jobs' folders are.
        program: the command line.
    """
    with suppress(OSError):  # when memory runs out, the pilot is to be the last to go
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        kernel.unshare_users(kernel.NEW_MOUNTS | kernel.NEW_PIDS | kernel.NEW_IPC)
        pid = os.fork()
        if pid == 0:
            prctl.end_with_parent(signal.SIGKILL)
            kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
            kernel.mount("proc", "/proc", "proc", _PROC)
            kernel.mount(str(folder), str(spool), flags=kernel.BIND)
            os.execv(program[0], program)
    except OSError as error:
        with suppress(OSError):
            folder.with_name("refused").write_text(str(error.strerror or error))
        print(f"no warm starts on this node: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # the pilot's socket is the program's alone
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
