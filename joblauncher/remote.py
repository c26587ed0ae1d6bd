"""Programs of a job on its other nodes, each in a container like the launcher's own.

The container on the first node has no way to the batch system. So what starts ranks there (an
MPI's ``mpiexec``) calls :func:`start` as its remote shell, which leaves a numbered request in the
job's folder. The job's batch script, outside, sees it, and has the batch system start :func:`serve`
on the node that is meant. Nothing of a request reaches a shell or an argument list outside: the
script compares the first part of a link's text with the places of the job's nodes; the rest is read
inside.

::

    ranks/hosts      the job's nodes, one a line
    ranks/N          request N: a symbolic link to PLACE/order.…, which leads nowhere: the place of
                     the node in hosts, from 1, and the name of a file in ranks/
    ranks/order.…    program, environment and working folder in JSON
    ranks/N.stop     a folder: what request N started is to end
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
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

#: What a node's batch system says of the node itself.
OF_NODE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
#: The name of the node that a program was started on, as the batch system knows it.
NODE = "PYWPS_HPC_NODE"
#: Requests that the batch script serves, for each node of the job.
MOST_REQUESTS = 100
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
    nodes = hosts(job)
    if host not in nodes:
        sys.stderr.write(f"{host} is not a node of this job\n")
        return 127
    order = {"line": " ".join(command), "environment": dict(os.environ), "folder": os.getcwd()}
    request = _request(job, nodes.index(host) + 1, json.dumps(order))
    if request is None:
        sys.stderr.write(f"this job has made {MOST_REQUESTS * len(nodes)} requests, the most\n")
        return 127

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


def _request(job: Path, place: int, order: str) -> Path | None:
    """Leave a request under the next free number; ``None``: there is none left."""
    folder = folder_of(job)
    descriptor, written = tempfile.mkstemp(prefix="order.", dir=folder)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(order)
    for number in range(1, MOST_REQUESTS * len(hosts(job)) + 1):
        with contextlib.suppress(FileExistsError):
            os.symlink(f"{place}/{os.path.basename(written)}", folder / str(number))
            return folder / str(number)
    return None


def serve(job: Path, number: str) -> int:
    """Run what a request asks for, on this node; the exit code."""
    folder = folder_of(job)
    place, _, name = os.readlink(folder / number).partition("/")
    order = json.loads((folder / name).read_text(encoding="utf-8"))
    own = {name: os.environ[name] for name in OF_NODE if name in os.environ}
    own[NODE] = hosts(job)[int(place) - 1]
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
        if f"{number}.stop" in os.listdir(folder):
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
