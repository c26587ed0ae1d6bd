"""Forks that are children of the parent's parent."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest

from joblauncher import siblings
from joblauncher.shared import prctl

WAYS = ("clone", "two forks")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two forks":
        monkeypatch.setattr(siblings, "_CLONE3", 1 << 20)  # no such system call
    return str(request.param)


def told_by(what: Callable[[socket.socket], None]) -> bytes:
    """What is said by a child that adopts all below it, and by whatever it starts."""
    mine, other = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            mine.close()
            what(other)
        finally:
            os._exit(0)
    other.close()
    told = b""
    while select.select([mine], [], [], 20)[0] and (part := mine.recv(100)):
        told += part
    os.waitpid(pid, 0)
    mine.close()
    return told


def test_it_is_no_child_of_whoever_forked_it(way: str) -> None:
    def start(other: socket.socket) -> None:
        prctl.adopt_orphans()
        above = os.getpid()
        if os.fork() == 0:
            forker = os.getpid()
            if siblings.fork_away():
                limit = time.monotonic() + 20
                while os.getppid() != above and time.monotonic() < limit:
                    time.sleep(0.01)  # the first of two forks is about to end
                has_own = os.getsid(0) == os.getpid() != forker
                other.send(b"above" if os.getppid() == above and has_own else b"elsewhere")
                os._exit(0)
            other.send(b"children" if has_children() else b"")
            os._exit(0)
        os.wait()
        os.wait()

    assert told_by(start) == b"above"


def has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def test_what_it_forks_and_how_it_ends_is_as_of_any_process() -> None:
    def start(other: socket.socket) -> None:
        if os.fork() == 0:
            try:
                pid = siblings.fork()
            except OSError:
                other.send(b"not here")
                os._exit(0)
            if pid == 0:
                child = os.fork()
                if child == 0:
                    os._exit(3)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                ids = {threading.get_native_id() == os.getpid(), status == 3}
                other.send(b"right" if ids == {True} else b"wrong")
                signal.raise_signal(signal.SIGKILL)
            os._exit(0)
        ends = {os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)}
        other.send(b"" if ends == {0, -signal.SIGKILL} else b"other ends")

    told = told_by(start)
    if told == b"not here":
        pytest.skip("this kernel has no clone3, or it is not allowed")
    assert told == b"right"


def test_a_process_with_threads_is_not_forked_so() -> None:
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    try:
        with pytest.raises(OSError, match="not supported"):
            siblings.fork()
    finally:
        wait.set()
        thread.join()
