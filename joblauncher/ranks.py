"""For processes that start MPI ranks, on one node or on several.

The administrator gives a process ``nodes`` and ``tasks``. In its job ``mpiexec`` then knows the
nodes and how to reach them by its environment, whichever MPI it is of: MPICH and Intel MPI (Hydra),
Open MPI 4 (ORTE) and 5 (PRRTE). :func:`run` calls it; a process may do so itself.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from pywps.app.exceptions import ProcessError

from joblauncher import remote

#: How many ranks the administrator gives the process; unset: one.
TASKS = "PYWPS_HPC_TASKS"

#: What the different MPIs print of a rank that ended badly: its node, and its exit code or signal.
_ENDINGS = (
    re.compile(
        r"(?:RANK (?P<rank>\d+) )?PID \d+ RUNNING AT (?P<host>\S+)\s+=\s+"
        r"(?:EXIT CODE|EXIT STATUS|KILLED BY SIGNAL): (?P<code>\d+)"
    ),
    re.compile(
        r"process rank (?P<rank>\d+) with PID \d+ on node (?P<host>\S+) "
        r"exited on signal (?P<code>\d+)"
    ),
    re.compile(r"Process name: \[.+,(?P<rank>\d+)\]\s+Exit code:\s+(?P<code>\d+)"),
)
#: Exit codes that Hydra makes of these signals.
_SIGNALS = frozenset({6, 7, 8, 9, 11, 15})


class RanksFailed(ProcessError):  # type: ignore[misc]
    """A program of several ranks failed. Of a process's exceptions, PyWPS shows only the message of
    a ``ProcessError`` to the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message, allowed_chars=".:!?=,;-_/()'")


def tasks() -> int:
    """How many ranks the settings give this process."""
    return int(os.environ.get(TASKS, "1"))


def run(
    program: Sequence[str],
    *,
    number: int = 0,
    heard: Callable[[str], None] = lambda line: None,
) -> str:
    """Run a program in several ranks, to its end; they are gone when it returns.

    Args:
        program: the program of each rank, and its arguments.
        number: how many ranks; 0: as many as :func:`tasks`.
        heard: called with each line that they print.

    Returns:
        What they printed on standard output. It stands in the job's log as well.

    Raises:
        RanksFailed: with a sentence for the client.
    """
    command = ["mpiexec", "-n", str(number or tasks()), *program]
    printed: list[str] = []
    errors: list[str] = []
    try:
        ranks = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise RanksFailed("there is no mpiexec where this process runs") from None
    with ranks:
        assert ranks.stdout is not None
        assert ranks.stderr is not None
        reader = threading.Thread(target=_copy, args=(ranks.stderr, sys.stderr, errors))
        reader.start()
        _copy(ranks.stdout, sys.stdout, printed, heard)
        reader.join()
    output = "".join(printed)
    if ranks.returncode:
        raise RanksFailed(why(output + "".join(errors), ranks.returncode))
    return output


def _copy(
    source: IO[str],
    log: IO[str],
    kept: list[str],
    heard: Callable[[str], None] = lambda line: None,
) -> None:
    for line in source:
        log.write(line)
        kept.append(line)
        heard(line.rstrip("\n"))


def why(output: str, code: int) -> str:
    """How the first rank ended that ended badly, in a sentence.

    Args:
        output: of mpiexec.
        code: its exit code.
    """
    for ending in _ENDINGS:
        if match := ending.search(output):
            found, number = match.groupdict(), int(match["code"])
            by_signal = number in _SIGNALS or "signal" in match.group().lower()
            how = (
                f"was killed by signal {number}" if by_signal else f"ended with exit code {number}"
            )
            name = (signal.strsignal(number) if by_signal else "") or ""
            rank = f"rank {found['rank']}" if found["rank"] else "a rank"
            host = f" on node {found['host']}" if found.get("host") else ""
            return f"{rank}{host} {how}{name and f' ({name})'}"
    return f"the ranks could not be run to their end (mpiexec: exit code {code})"


def prepare(job: Path, temporary: Path) -> None:
    """Tell mpiexec of the job's nodes, by the environment.

    Args:
        job: the job's folder.
        temporary: where the files for it may be.
    """
    if TASKS not in os.environ:
        return
    found = remote.hosts(job)
    # Beside the interpreter, the MPI of the same environment comes first.
    os.environ["PATH"] = os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    )
    if len(found) < 2:
        return
    each = tasks() // len(found)
    hydra, open_mpi = temporary / "hosts.hydra", temporary / "hosts.openmpi"
    hydra.write_text("".join(f"{host}:{each}\n" for host in found), encoding="ascii")
    open_mpi.write_text("".join(f"{host} slots={each}\n" for host in found), encoding="ascii")
    agent = temporary / "remote-shell"
    command = shlex.join([sys.executable, "-I", "-m", "joblauncher.remote", "start", str(job)])
    agent.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    agent.chmod(0o700)
    os.environ.update(
        {
            "HYDRA_LAUNCHER": "rsh",
            "HYDRA_LAUNCHER_EXEC": str(agent),
            "HYDRA_HOST_FILE": str(hydra),
            "I_MPI_HYDRA_BOOTSTRAP": "rsh",
            "I_MPI_HYDRA_BOOTSTRAP_EXEC": str(agent),
            "I_MPI_HYDRA_HOST_FILE": str(hydra),
            "OMPI_MCA_plm": "rsh",
            "OMPI_MCA_plm_rsh_agent": str(agent),
            "OMPI_MCA_orte_default_hostfile": str(open_mpi),
            "PRTE_MCA_plm": "ssh",
            "PRTE_MCA_plm_ssh_agent": str(agent),
            "PRTE_MCA_prte_default_hostfile": str(open_mpi),
        }
    )
