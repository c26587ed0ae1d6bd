"""Wake the dispatcher: an empty datagram to whoever leads, if it runs on this host.

It may be lost, sent twice or forged: all that it brings about is a look at the job table, which
is taken every so often anyway, and no more than a bounded number of times a second.

The address is one of Linux's abstract ones (unix(7)): no file is left behind, wherever spool and
database lie. It is made of the dispatcher's name, which nobody can know before that has begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import time

from pywps_hpc.timing import TIMING, Timing


def address(holder: str) -> str:
    """Where the dispatcher of this name listens."""
    return f"\0pywps-hpc/{hashlib.sha256(holder.encode()).hexdigest()[:40]}"


def wake(holder: str) -> bool:
    """Wake the dispatcher of this name; whether it listens here. Waits for nothing."""
    if not holder:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto(b"", address(holder))
        except BlockingIOError:  # it has not read those before yet
            return True
        except OSError:
            return False
    return True


class Listener:
    """Where a dispatcher hears that it is woken.

    Args:
        holder: its name.

    Raises:
        OSError: nothing can be heard there.
    """

    def __init__(self, holder: str, timing: Timing = TIMING) -> None:
        self._pause, self._last = timing.wake_pause, float("-inf")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(address(holder))
        except OSError:
            self._socket.close()
            raise

    def wait(self, seconds: float) -> bool:
        """Until it is woken, or the time is over; whether it was woken. However often somebody
        does that, a pause lies between two times."""
        # poll(2), since a web server may have more files open than select(2) takes.
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        if not waiting.poll(max(0.0, 1000 * seconds)):
            return False
        time.sleep(max(0.0, min(self._pause, self._last + self._pause - time.monotonic())))
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):  # whoever sends all the while must not keep it here
                self._socket.recv(1)
        self._last = time.monotonic()
        return True

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
