"""Whose jobs are charged to which account: told by the administrator alone, never by a client.

The owner is the account that the web server has authenticated (:mod:`.principal`). He is looked for
in the sections of the configuration, then in ``owners_file``, then by ``owner_command``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import threading
import time
from pathlib import Path

from pywps.exceptions import NoApplicableCode

from pywps_hpc.errors import HpcError
from pywps_hpc.settings import Settings
from pywps_hpc.settings.owners import Owner, of_file, of_pairs
from pywps_hpc.timing import TIMING
from pywps_hpc.web.errors import Busy

LOGGER = logging.getLogger(__name__)

#: Bytes of the command's answer at most, and owners that are remembered.
_MOST_ANSWER, _MOST_KNOWN = 4096, 1000

_NOBODY = Owner()
_lock = threading.Lock()
_files: dict[Path, tuple[tuple[int, ...], dict[str, Owner]]] = {}
_told: dict[tuple[Path, str], tuple[float, Owner | None]] = {}


class Failed(HpcError):
    """The owner's account cannot be told; the message is for the administrator."""


def of(settings: Settings, name: str) -> Owner:
    """What holds for an owner; one for whom nothing is told has nothing of his own.

    Args:
        name: of the account; empty if nobody logged in.

    Raises:
        NoApplicableCode: with HTTP 403: only owners with an account may send jobs.
        Busy: who pays cannot be told now.
    """
    try:
        return known(settings, name)
    except Failed as error:
        LOGGER.error("%s", error)
        message = "Who pays for your jobs cannot be told now. Please try later."
        raise Busy(message, settings.retry_after, "unavailable") from None


def known(settings: Settings, name: str) -> Owner:
    """The same for an administrator.

    Raises:
        NoApplicableCode: with HTTP 403: only owners with an account may send jobs.
        Failed: who pays cannot be told now.
    """
    found = _found(settings, name) if name else None
    if settings.require_account and (found is None or not found.account):
        raise NoApplicableCode(
            "Your login has no account to which jobs are charged: ask the administrators of this "
            "service."
            if name
            else "Jobs are charged to accounts here: please log in.",
            locator="",
            code=403,
        )
    return found or _NOBODY


def _found(settings: Settings, name: str) -> Owner | None:
    if name in settings.owners:
        return settings.owners[name]
    if settings.owners_file and (own := _in_file(settings.owners_file).get(name)):
        return own
    return by_command(settings, settings.owner_command, name) if settings.owner_command else None


def _in_file(path: Path) -> dict[str, Owner]:
    """The owners in a file, read anew when it has changed; while it is wrong, nobody is in it."""
    try:
        facts = path.stat()
        stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        with _lock:
            known = _files.get(path)
            if known is None or known[0] != stamp:
                known = _files[path] = stamp, of_file(path)
        return known[1]
    except OSError as error:
        raise Failed(f"[hpc] owners_file: {path}: {error.strerror}") from None
    except ValueError as error:
        raise Failed(f"[hpc] owners_file: {error}") from None


def by_command(settings: Settings, command: Path, name: str) -> Owner | None:
    """What the administrator's program tells of an owner; ``None``: nothing.

    Raises:
        Failed: it does not answer as it has to.
    """
    now, key = time.monotonic(), (command, name)
    with _lock:
        known = _told.get(key)
    if known is not None and now - known[0] < TIMING.owner_known:
        return known[1]
    answer = _ask(settings, command, name)
    try:
        pairs = [line.partition("=") for line in answer.decode().splitlines() if line.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError("a line is not of the form KEY = VALUE")
        found = of_pairs({key.strip(): text for key, _, text in pairs}) if pairs else None
    except (ValueError, UnicodeError) as error:
        raise Failed(f"[hpc] owner_command: {command}: its answer: {error}") from None
    with _lock:
        if len(_told) >= _MOST_KNOWN:
            _told.clear()
        _told[key] = now, found
    return found


def _ask(settings: Settings, command: Path, name: str) -> bytes:
    """The command's answer about an owner, whose name it reads: no argument is a client's text."""
    environment = {"PATH": settings.command_path, **settings.command_environment}
    try:
        process = subprocess.Popen(
            [str(command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Failed(f"[hpc] owner_command: {command}: {error.strerror}") from None
    deadline = time.monotonic() + settings.command_timeout
    with process:
        try:
            return _answer(process, name, deadline)
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"[hpc] owner_command: {command}: {error}") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it has begun


def _answer(process: subprocess.Popen[bytes], name: str, deadline: float) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{name}\n".encode())
        process.stdin.close()
    except BrokenPipeError:
        pass  # it answers without a look at the name
    answer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise Failed("did not answer in time")
            part = os.read(process.stdout.fileno(), _MOST_ANSWER)
            answer += part
            if len(answer) > _MOST_ANSWER:
                raise Failed(f"its answer is longer than {_MOST_ANSWER} bytes")
            if not part:
                break
    code = process.wait(max(deadline - time.monotonic(), 0.1))
    if code:
        raise Failed(f"ended with {code}")
    return answer
