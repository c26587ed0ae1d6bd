"""What an administrator is still to be told by one way, such as a webhook or mail."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from joblauncher.inputs.policy import Refused
from pywps_hpc.dispatch.background import Background
from pywps_hpc.dispatch.notice_ways import Way
from pywps_hpc.timing import Timing

log = logging.getLogger(__name__)

#: Notices that one message has, that wait at most, and how often a message is tried.
MOST, MOST_WAITING, TRIES = 100, 1000, 5


@dataclass(frozen=True)
class Notice:
    """One thing that an administrator is told.

    Attributes:
        event: ``ended``, ``failed``, ``unreachable`` or ``reachable``.
        text: for people, one line.
        time: of the event, in seconds since the epoch.
        job, process, owner: of one that concerns a job.
    """

    event: str
    text: str
    time: float
    job: str = ""
    process: str = ""
    owner: str = ""


class Outbox:
    """The notices of one way, which is tried on its own: what another way does is nothing to it.

    Args:
        way: sends a message.
        service: the service's address.
        timing: how long things take.
    """

    def __init__(self, way: Way, service: str, timing: Timing) -> None:
        self._way, self._service, self._timing = way, service, timing
        self._lock = threading.Lock()
        self._waiting: deque[Notice] = deque()
        self._lost = self._tries = 0
        self._due = 0.0
        self._sending = Background(self._send, f"the administrator cannot be told by {way.name}")

    def add(self, notice: Notice) -> None:
        """Let it be sent."""
        with self._lock:
            self._waiting.append(notice)
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1

    def look(self) -> None:
        """Send what is due. Waits for nothing."""
        with self._lock:
            is_due = bool(self._waiting) and time.monotonic() >= self._due
            if is_due:
                self._due = time.monotonic() + self._timing.notice_pause
        if is_due:
            self._sending.start()

    def wait(self, timeout: float) -> None:
        """Wait until what was begun is done, for so many seconds at most."""
        self._sending.wait(timeout)

    def _send(self) -> None:
        with self._lock:
            taken, lost = list(self._waiting), self._lost
        if not taken:
            return
        self._tries += 1
        try:
            self._way.send(self._content(taken, lost))
        except (OSError, Refused) as error:
            trouble = str(getattr(error, "strerror", "") or error)
            what = self._way.name, trouble
            if self._tries < TRIES:
                told = "the administrator could not be told by %s, try %d of %d: %s"
                log.warning(told, self._way.name, self._tries, TRIES, trouble)
                return
            log.warning("the administrator is not told of %d events by %s: %s", len(taken), *what)
        self._tries = 0
        with self._lock:
            for notice in taken:
                if self._waiting and self._waiting[0] is notice:
                    self._waiting.popleft()
            self._lost -= lost

    def _content(self, taken: list[Notice], lost: int) -> dict[str, Any]:
        shown, left_out = taken[:MOST], max(0, len(taken) - MOST) + lost
        return {
            "service": self._service,
            "text": text_of(shown, left_out),
            "notices": [asdict(notice) for notice in shown],
            "left_out": left_out,
        }


def text_of(notices: list[Notice], left_out: int) -> str:
    """A message for people."""
    more = [f"and {left_out} more events, see pywps-hpc jobs"] if left_out else []
    return "\n".join([notice.text for notice in notices] + more)
