"""Where the batch system's commands run.

What a scheduler *says* (its dialect) and where its commands *run* (a channel) are separate axes:
every dialect works over every channel. A channel runs one command at a time to its end, with a time
limit, a clean environment and a given standard input, and hands back all three answers together.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pywps_hpc.errors import HpcError


class Completed(NamedTuple):
    """What a command answered; the three are judged together."""

    returncode: int  # negative: killed by that signal
    stdout: str
    stderr: str


class ChannelError(HpcError):
    """No whole answer; unless a subclass says otherwise the command may have had its effect.

    Attributes:
        argv: the command.
    """

    def __init__(self, message: str, argv: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.argv = tuple(argv)


class ChannelTimeout(ChannelError):
    """The command did not end in time and was killed; it may have had its effect."""


class ChannelUnavailable(ChannelError):
    """The command was certainly not started (no connection, no memory for a process)."""


class CommandMissing(ChannelUnavailable):
    """There is no such command where the channel leads; asking again will not help."""


class Channel(ABC):
    """A place where commands run: this host, or another one."""

    @abstractmethod
    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        """Run a command to its end.

        Args:
            argv: program and arguments; no shell reads them. A channel that can only hand over a
                line for a shell (SSH) quotes them with :func:`shlex.join`.
            stdin: everything the command reads; empty means end of file at once.
            timeout: seconds until the command and all that it started is killed.

        Raises:
            ChannelTimeout: it did not end in time.
            CommandMissing: it is not installed there.
            ChannelUnavailable: it could not be started.
            ChannelError: the connection broke while it ran.
        """

    def close(self) -> None:  # noqa: B027  (a local channel holds nothing open)
        """Give back connections."""


class LocalChannel(Channel):
    """Runs commands on this host, as the service's own user.

    Nothing of the server's environment reaches the command: options hide in variables such as
    ``SBATCH_PARTITION``, ``SQUEUE_FORMAT`` or ``SLURM_TIME_FORMAT``, and messages follow ``LANG``.

    Args:
        environment: what the batch system's commands need (``SLURM_CONF``, ``SGE_ROOT``,
            ``PBS_DEFAULT``); also the place to override ``PATH``.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = clean_environment(environment)

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                cwd="/",  # exists wherever a batch system may want to start from it
                start_new_session=True,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CommandMissing(
                f"command not found: {argv[0]} (searched {self._environment['PATH']}): install "
                "the batch system's client commands on this host, or add their folder to the "
                "PATH in [hpc] command_path",
                argv,
            ) from error
        except PermissionError as error:
            raise ChannelUnavailable(
                f"cannot run {argv[0]}: it is not executable for this account (searched "
                f"{self._environment['PATH']}): give it the right to, or name another folder in "
                "[hpc] command_path",
                argv,
            ) from error
        except (OSError, ValueError) as error:
            raise ChannelUnavailable(f"cannot run {argv[0]}: {error}", argv) from error
        try:
            out, err = process.communicate(stdin.encode(), timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _abandon(process)
            raise ChannelTimeout(
                f"{shlex.join(argv)} did not answer within {timeout:g} s", argv
            ) from error
        except BaseException:
            _abandon(process)
            raise
        return Completed(process.returncode, _text(out), _text(err))


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The few variables a command needs, from the user database rather than from the server."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C"}
    try:
        user = pwd.getpwuid(os.geteuid())
    except KeyError:  # a container may run under a number that has no name
        environment["HOME"] = os.environ.get("HOME", "/")
    else:
        environment |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    return environment | dict(extra or {})


def _abandon(process: subprocess.Popen[bytes]) -> None:
    """Kill the command's whole process group and give back the pipes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A grandchild in a session of its own may keep the pipes open: never wait for it.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
