"""Run the commands that build an image or look into one."""

from __future__ import annotations

import logging
import os
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from pywps_hpc.errors import HpcError

LOGGER = logging.getLogger(__name__)

#: Lines of a failed command's output that an error shows.
TAIL = 30


class ImageError(HpcError):
    """An image could not be built, or not be read.

    Attributes:
        command: what was run, or an empty list where nothing could be.
        returncode: its exit status; None if it was not started.
        output: the end of what it printed, both streams.
    """

    def __init__(
        self,
        message: str,
        command: Sequence[str] = (),
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(f"{message}\n{output}".rstrip())
        self.command = list(command)
        self.returncode = returncode
        self.output = output


#: Waits in its new user namespace until the parent has mapped the ids.
_WAIT_FOR_MAP = 'echo; read -r _ && exec "$@" </dev/null'


def run(command: Sequence[str], *, own_namespace: bool = False) -> str:
    """Run a command and return what it printed.

    Args:
        command: the argument list.
        own_namespace: as root of a user namespace in which every id maps to itself and root has all
            capabilities (user_namespaces(7)). unshare(1) alone maps one id, or subordinate ones.
    """
    LOGGER.info("running %s", " ".join(command))
    argv = list(command)
    if own_namespace:
        argv = ["unshare", "--user", "--mount", "sh", "-c", _WAIT_FOR_MAP, "sh", *argv]
    tail: deque[str] = deque(maxlen=TAIL)
    printed = []
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if own_namespace else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ImageError(f"cannot run {argv[0]}: {error.strerror}", command) from error
    with process:
        assert process.stdout is not None
        if process.stdin is not None and process.stdout.readline() == "\n":
            for ids in ("gid_map", "uid_map"):
                Path(f"/proc/{process.pid}/{ids}").write_text("0 0 65536\n")
            process.stdin.write("\n")
            process.stdin.flush()
        for line in process.stdout:
            LOGGER.debug("%s", line.rstrip())
            printed.append(line)
            tail.append(line)
    if process.returncode != 0:
        raise ImageError(
            f"{command[0]} failed with exit status {process.returncode}",
            command,
            process.returncode,
            "".join(tail),
        )
    return "".join(printed)


def root_lacks_capabilities() -> bool:
    """Whether this is a root without all capabilities, as in a container (capabilities(7)).

    Apptainer gives root's ``%post`` every capability that the kernel knows, and fails where root
    itself lacks one.
    """
    if os.geteuid() != 0:
        return False
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    status = Path("/proc/self/status").read_text()
    permitted = next(line for line in status.splitlines() if line.startswith("CapPrm:"))
    return int(permitted.split()[1], 16) != (1 << (last + 1)) - 1
