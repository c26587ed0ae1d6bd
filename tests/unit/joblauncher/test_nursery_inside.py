"""The first process of a warm job's namespaces: the job lasts no longer than its supervisor."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from joblauncher.halves import GO
from joblauncher.nursery_inside import _await_either
from joblauncher.shared import prctl

#: How long a launcher would go on, and the exit code of one whose first process saw its own end.
LONG, ENDED = 60, 7
Above = tuple[int, int, socket.socket, int]


@pytest.fixture
def above() -> Iterator[Above]:
    """The process above a launcher that works, the launcher, the supervisor's connection,
    and a pipe that is open as long as the launcher lives."""
    reader, writer = os.pipe()
    supervisor, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first = os.fork()
    if first == 0:
        supervisor.close()
        launcher = os.fork()
        if launcher == 0:
            prctl.end_with_parent(signal.SIGKILL)  # as whatever is in its namespaces
            try:
                inside.send(b"%d" % os.getpid())
                time.sleep(0.1)  # the process above looks at the same socket by now
                if inside.recv(20) == GO:
                    time.sleep(LONG)
            finally:
                os._exit(0)
        os.close(writer)
        _await_either(launcher, inside)
        os._exit(ENDED)
    inside.close()
    os.close(writer)
    yield first, int(supervisor.recv(20)), supervisor, reader
    supervisor.close()
    os.close(reader)
    os.waitpid(first, 0)


def code(pid: int) -> int | None:
    """With which code this child has ended; ``None`` if it goes on. It remains to be waited for."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if found is None else found.si_status


def wait_for_end(pid: int) -> int | None:
    deadline = time.monotonic() + 20
    while (found := code(pid)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_a_job_ends_with_its_supervisor(above: Above) -> None:
    first, _launcher, supervisor, lives = above
    time.sleep(0.3)
    supervisor.send(GO)  # a message is no end
    time.sleep(0.2)
    assert code(first) is None
    supervisor.close()  # as a process does that is killed
    assert wait_for_end(first) == 1
    assert select.select([lives], [], [], 20)[0]
    assert os.read(lives, 1) == b""


def test_its_supervisor_goes_on_after_the_job(above: Above) -> None:
    first, launcher, _supervisor, _lives = above
    os.kill(launcher, signal.SIGKILL)
    assert wait_for_end(first) == ENDED
