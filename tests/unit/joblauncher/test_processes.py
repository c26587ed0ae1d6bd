"""Processes as proc(5) tells of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from joblauncher.shared import processes
from servers import wait_for


@pytest.fixture
def pair() -> Iterator[subprocess.Popen[str]]:
    """A process that has started another one, whose id it tells; both carry a mark."""
    line = (
        "import subprocess as s; p = s.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    )
    environment = {**os.environ, "MARK_OF_A_TEST": f"one {os.getpid()}"}
    with subprocess.Popen(
        [sys.executable, "-c", line], env=environment, stdout=subprocess.PIPE, text=True
    ) as started:
        yield started
        processes.signal_tree(started.pid, signal.SIGKILL)


def test_what_a_process_started_is_below_it_and_carries_its_mark(
    pair: subprocess.Popen[str],
) -> None:
    assert pair.stdout is not None
    below = int(pair.stdout.readline())
    assert processes.tree(pair.pid) == [pair.pid, below]
    assert processes.parent(below) == pair.pid
    value = f"one {os.getpid()}"
    # A child has its parent's environment until it has become its program.
    both = lambda: set(processes.marked("MARK_OF_A_TEST", value)) == {pair.pid, below}  # noqa: E731
    wait_for(both, "both carry it")
    assert processes.marked("MARK_OF_A_TEST", "one") == []
    processes.send(signal.SIGKILL, [below])
    assert pair.wait(20) == 0
    assert processes.marked("MARK_OF_A_TEST", value) == []


def test_a_process_that_is_given_the_id_of_another_one_is_told_from_it(
    pair: subprocess.Popen[str],
) -> None:
    since = processes.started(pair.pid)
    assert since == processes.started(pair.pid) > 0
    assert pair.stdout is not None
    assert pair.stdout.readline()
    assert processes.started(os.getpid()) < since
    processes.signal_tree(pair.pid, signal.SIGKILL)
    pair.wait()
    assert processes.started(pair.pid) == 0
