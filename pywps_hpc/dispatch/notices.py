"""Notices to the service's administrator: jobs that ended, and a batch system that cannot be asked.

They are sent beside the loop, as one message for all that has come up, and at most one a minute: a
thousand ends are a few messages, and a receiver that hangs holds up nothing. What could not be sent
is tried again with what came meanwhile, and given up after :data:`TRIES`; nothing of it survives
the dispatcher, whose log has the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from joblauncher.inputs.policy import Refused
from pywps_hpc.dispatch import notice_ways
from pywps_hpc.dispatch.aside import Aside
from pywps_hpc.jobs.job import Job, State
from pywps_hpc.jobs.leader import Reach
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing

log = logging.getLogger(__name__)

#: Notices that one message has, that wait at most, and how often a message is tried.
MOST, MOST_WAITING, TRIES = 100, 1000, 5
ENDED, FAILED, UNREACHABLE = "ended", "failed", "unreachable"


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


def of_end(job: Job, state: State, facts: Mapping[str, Any]) -> Notice:
    """That a job has ended."""
    told = f": {facts['message']}" if facts.get("message") else ""
    what = f"job {job.id} ({job.process}) has {_ENDS[state]}{told}"
    event = FAILED if state is State.FAILED else ENDED
    return Notice(event, what, facts.get("finished", 0.0), job.id, job.process, job.owner)


_ENDS = {
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.DISMISSED: "been dismissed",
}


def unreachable(system: str, trouble: str) -> str:
    """That the batch system does not answer."""
    return f"{system} cannot be asked, and no job changes: {trouble}"


def reachable(system: str) -> str:
    """That it answers again."""
    return f"{system} can be asked again"


class Notices:
    """What an administrator is still to be told.

    Args:
        settings: of the installation.
        timing: how long things take.
    """

    def __init__(self, settings: Settings, timing: Timing = TIMING) -> None:
        self._settings, self._own, self._timing = settings, settings.notices, timing
        self._lock = threading.Lock()
        self._waiting: deque[Notice] = deque()
        self._lost = self._tries = 0
        self._sending = Aside(self._send, "the administrator cannot be told")
        self._due = 0.0
        self._silent_since: float | None = None
        self._told_silent = False

    @property
    def are_wanted(self) -> bool:
        """Whether anybody is to be told anything."""
        return bool(self._own.webhook or self._own.mail)

    def ended(self, job: Job, state: State, facts: Mapping[str, Any]) -> None:
        """A job has ended, and its row says so."""
        notice = of_end(job, state, facts)
        if ENDED in self._own.events or notice.event in self._own.events:
            self._add(notice)

    def look(self, reach: Reach, trouble: str, now: float) -> None:
        """Notice whether the batch system can be asked; send what is due. Waits for nothing.

        Args:
            reach: what is known of it.
            trouble: why it cannot be asked; empty if it can.
            now: seconds since the epoch.
        """
        if not self.are_wanted:
            return
        if UNREACHABLE in self._own.events:
            self._look_at(reach, trouble, now)
        with self._lock:
            is_due = bool(self._waiting) and time.monotonic() >= self._due
            if is_due:
                self._due = time.monotonic() + self._timing.notice_pause
        if is_due:
            self._sending.start()

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until what was begun is done, for so many seconds at most."""
        self._sending.wait(timeout)

    def _look_at(self, reach: Reach, trouble: str, now: float) -> None:
        system = reach.system or self._settings.scheduler
        if not trouble:
            self._silent_since = None
            if self._told_silent:
                self._told_silent = False
                self._add(Notice("reachable", reachable(system), now))
            return
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        silent = time.monotonic() - self._silent_since
        if not self._told_silent and silent >= self._timing.notice_patience:
            self._told_silent = True
            self._add(Notice(UNREACHABLE, unreachable(system, trouble), now))

    def _add(self, notice: Notice) -> None:
        if not self.are_wanted:
            return
        with self._lock:
            self._waiting.append(notice)
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1

    def _send(self) -> None:
        with self._lock:
            taken, lost = list(self._waiting), self._lost
        if not taken:
            return
        shown, left_out = taken[:MOST], max(0, len(taken) - MOST) + lost
        content: dict[str, Any] = {
            "service": self._settings.url,
            "text": text_of(shown, left_out),
            "notices": [asdict(notice) for notice in shown],
            "left_out": left_out,
        }
        self._tries += 1
        troubles = []
        for way in notice_ways.of(self._settings, self._timing):
            try:
                way(content)
            except (OSError, Refused) as error:
                troubles.append(str(getattr(error, "strerror", "") or error))
        if troubles and self._tries < TRIES:
            what = "; ".join(troubles)
            log.warning(
                "the administrator could not be told, try %d of %d: %s", self._tries, TRIES, what
            )
            return
        if troubles:
            log.warning(
                "the administrator is not told of %d events: %s", len(taken), "; ".join(troubles)
            )
        self._tries = 0
        with self._lock:
            for notice in taken:
                if self._waiting and self._waiting[0] is notice:
                    self._waiting.popleft()
            self._lost -= lost


def text_of(notices: list[Notice], left_out: int) -> str:
    """A message for people."""
    more = [f"and {left_out} more events, see pywps-hpc jobs"] if left_out else []
    return "\n".join([notice.text for notice in notices] + more)
