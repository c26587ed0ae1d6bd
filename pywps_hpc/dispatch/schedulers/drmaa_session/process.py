"""The dispatcher's side of :mod:`~.helper`: starts that process, asks it, and ends it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pywps_hpc.dispatch.schedulers.drmaa_session.remedies import mismatch, other_system, with_remedy
from pywps_hpc.errors import HpcError

log = logging.getLogger(__name__)


class HelperFailed(HpcError):
    """The helper died, hung, or would not start.

    Attributes:
        asked: whether the question had reached it: then it may have had its effect.
    """

    def __init__(self, message: str, *, asked: bool) -> None:
        super().__init__(message)
        self.asked = asked


class Helper:
    """The process with the session: started when needed, and again when it died.

    Args:
        library: ``libdrmaa.so``.
        environment: what the library needs (``SGE_ROOT``, ``SLURM_CONF``). The process gets nothing
            else of the dispatcher's own, since some libraries pass all of it on to jobs.
        timeout: seconds for one call.
        system: which batch system the library should be for, where that is known.
    """

    #: How the process is started.
    argv: Sequence[str] = (
        sys.executable,
        "-m",
        "pywps_hpc.dispatch.schedulers.drmaa_session.helper",
    )

    def __init__(
        self,
        library: Path,
        environment: Mapping[str, str],
        *,
        timeout: float = 60.0,
        system: str = "",
    ) -> None:
        self._system = system
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C",
            # Grid Engine's library needs more room for thread-local variables than glibc spares.
            "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=4096",
            **environment,
            "DRMAA_LIBRARY_PATH": str(library),
        }
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    @property
    def pid(self) -> int | None:
        """Of the living helper."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One call.

        Args:
            do: a method of :class:`~.helper.Session`.
            request: its arguments. They have to fit into a pipe (64 KiB), so that a process that
                does not read cannot hold up this one.

        Raises:
            HelperFailed: no answer.
        """
        if self.pid is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
        except OSError as error:
            raise HelperFailed(self._how_it_ended(), asked=True) from error
        return self._read(asked=True)

    def close(self) -> None:
        """End the helper. It may take a moment to take leave of the batch system, but no longer."""
        process, self._process = self._process, None
        self._buffer = b""
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> None:
        self.close()
        try:
            self._process = subprocess.Popen(
                self.argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise HelperFailed(
                f"the DRMAA helper cannot be started: {error}", asked=False
            ) from error
        hello = self._read(asked=False)
        if "error" in hello:
            self.close()
            raise HelperFailed(with_remedy(": ".join(hello["error"]), self._system), asked=False)
        library = f"{hello.get('drms')} {hello.get('implementation')}"
        if other := other_system(library, self._system):
            self.close()
            raise HelperFailed(mismatch(library, other, self._system), asked=False)
        log.info("DRMAA session open: %s, pid %s", hello, self.pid)

    def _read(self, *, asked: bool) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        answers = select.poll()  # select() fails for file descriptors from 1024 on
        answers.register(process.stdout, select.POLLIN)
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._buffer:
            if not answers.poll(max(0, deadline - time.monotonic()) * 1000):
                process.kill()  # what it may yet answer would be taken for the next answer
                self.close()
                raise HelperFailed(f"no answer from DRMAA within {self._timeout:g} s", asked=asked)
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                raise HelperFailed(self._how_it_ended(starting=not asked), asked=asked)
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _how_it_ended(self, *, starting: bool = False) -> str:
        """How a helper that is gone ended."""
        process = self._process
        assert process is not None
        self.close()  # which kills it, if it only closed its output
        code = process.wait()
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        message = f"the DRMAA helper {how}"
        if starting:
            message += " while it opened its session; is the batch system's server running?"
        return message
