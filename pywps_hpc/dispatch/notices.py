"""Notices to the service's administrator: jobs that ended, and a batch system that cannot be asked.

They are sent beside the loop, by each way as one message for all that has come up, and at most one
a minute: a thousand ends are a few messages, and a receiver that hangs holds up nothing, not even
the other way. What a way could not send it tries again with what came meanwhile, and gives up after
:data:`~.notice_outbox.TRIES`; nothing of it survives the dispatcher, whose log has the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pywps_hpc.dispatch import notice_ways
from pywps_hpc.dispatch.notice_outbox import Notice, Outbox
from pywps_hpc.jobs.job import Job, State
from pywps_hpc.jobs.leader import Reach
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing

ENDED, FAILED, UNREACHABLE = "ended", "failed", "unreachable"


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
        self._outboxes = [
            Outbox(way, settings.url, timing) for way in notice_ways.of(settings, timing)
        ]
        self._silent_since: float | None = None
        self._told_silent = False

    @property
    def are_wanted(self) -> bool:
        """Whether anybody is to be told anything."""
        return bool(self._outboxes)

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
        for outbox in self._outboxes:
            outbox.look()

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until what was begun is done, for so many seconds at most."""
        deadline = time.monotonic() + timeout
        for outbox in self._outboxes:
            outbox.wait(max(0.0, deadline - time.monotonic()))

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
        for outbox in self._outboxes:
            outbox.add(notice)
