"""What a signal sets, whatever it interrupts."""

from __future__ import annotations

import subprocess
import sys
import time

from pywps_hpc.lifecycle import Signalled

#: Waits again and again while signals come, some of which meet each step of a wait.
HAMMERED = """
import signal, time
from pywps_hpc.lifecycle import Signalled

event, count = Signalled(), 0

def handle(*_):
    global count
    count += 1
    event.set()

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
end = time.monotonic() + 1
while time.monotonic() < end:
    event.wait(0.001)
    event.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
event.set()
assert event.wait(0) and count > 100, count
"""


def test_a_signal_may_come_at_any_moment_of_a_wait() -> None:
    """The handler of a threading.Event waits here for the event's lock, for ever."""
    command = [sys.executable, "-c", HAMMERED]
    subprocess.run(command, check=True, timeout=30)


def test_a_wait_ends_when_it_is_set_and_when_its_time_is_over() -> None:
    event = Signalled()
    begun = time.monotonic()
    assert not event.wait(0.1)
    assert time.monotonic() - begun >= 0.1
    event.set()
    assert event.wait(60)
    assert event.is_set()
    event.clear()
    assert not event.wait(0)
    assert not event.is_set()
