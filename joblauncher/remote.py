"""Programs of a job on its other nodes, each in a container like the launcher's own.

The container on the first node has no way to the batch system. So what starts ranks there (an
MPI's ``mpiexec``) calls :func:`start` as its remote shell, which leaves a numbered request in the
job's folder. The job's batch script, outside, sees it, and has the batch system start :func:`serve`
on the node that is meant. Nothing of a request reaches a shell or an argument list outside: the
script reads which of the job's nodes is meant, by its number; the rest is read inside.

::

    ranks/hosts      the job's nodes, one a line
    ranks/N          request N: number of the node; program, environment and folder in JSON
    ranks/N.stop     a folder: what request N started shall end
    ranks/N.ended.C  a folder: it has ended, with exit code C
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

#: What a node's batch system says of the node itself.
OF_NODE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
#: The name of the node that a program was started on, as the batch system knows it.
NODE = "PYWPS_HPC_NODE"
#: Seconds between two looks into the folder.
INTERVAL = 0.2
#: Seconds between the polite and the final signal to what shall end.
GRACE = 5.0


def folder_of(job: Path) -> Path:
    """Where a job's requests are."""
    return job / "ranks"


def hosts(job: Path) -> list[str]:
    """The job's nodes, first the one of the process; empty if it has one alone."""
    try:
        return (folder_of(job) / "hosts").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []


def start(job: Path, host: str, command: Sequence[str]) -> int:
    """Run a command on another node of the job, as rsh(1) does: its words make a line for a shell.

    Args:
        job: the job's folder.
        host: name of the node, as in :func:`hosts`.
        command: what to run.

    Returns:
        Its exit code.
    """
    try:
        number = hosts(job).index(host) + 1
    except ValueError:
        sys.stderr.write(f"{host} is not a node of this job\n")
        return 127
    order = {"line": " ".join(command), "environment": dict(os.environ), "folder": os.getcwd()}
    request = _request(folder_of(job), f"{number}\n{json.dumps(order)}\n")

    def stop(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{request}.stop")

    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, stop)
    ended = re.compile(re.escape(request.name) + r"\.ended\.(\d+)")
    while True:
        for name in os.listdir(request.parent):
            if match := ended.fullmatch(name):
                return int(match[1])
        time.sleep(INTERVAL)


def _request(folder: Path, text: str) -> Path:
    """Leave a request under the next free number; it appears whole."""
    draft = folder / f".{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    try:
        for number in _numbers():
            with contextlib.suppress(FileExistsError):
                os.link(draft, folder / str(number))
                return folder / str(number)
    finally:
        draft.unlink()
    raise AssertionError("there is always another number")


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def serve(job: Path, number: str) -> int:
    """Run what a request asks for, on this node; the exit code."""
    request = folder_of(job) / number
    order = json.loads(request.read_text(encoding="utf-8").partition("\n")[2])
    own = {name: os.environ[name] for name in OF_NODE if name in os.environ}
    own[NODE] = hosts(job)[int(request.read_text(encoding="utf-8").partition("\n")[0]) - 1]
    program = subprocess.Popen(
        ["/bin/sh", "-c", order["line"]],
        env=order["environment"] | own,
        cwd=order["folder"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        _end(program)

    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, stop)
    while program.poll() is None:
        # Listing, since an NFS client may answer from its cache that a file is not there (nfs(5)).
        if f"{number}.stop" in os.listdir(request.parent):
            _end(program)
        time.sleep(INTERVAL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)  # what it left behind
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def _end(program: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(GRACE)
            return


def main(arguments: Sequence[str]) -> int:
    """``start FOLDER HOST COMMAND…`` or ``serve FOLDER NUMBER``."""
    what, job, first, *rest = arguments
    if what == "serve":
        return serve(Path(job), first)
    return start(Path(job), first, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
