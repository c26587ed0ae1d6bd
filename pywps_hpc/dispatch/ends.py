"""Notice that jobs have told their ends, between two polls of the batch system.

A report is no end, since its process could have written it: it only lets the batch system be asked
soon. Each job can bring that about once, and a look takes a bounded time: where there are very many
jobs, or the file system is slow, the next one goes on with the others. Where the batch system is
asked rarely, a job may begin and end between two polls: those that wait are looked at, too, in
turns of their own, so that many of them do not delay those that run.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from joblauncher.shared import outcome
from pywps_hpc.dispatch.context import Context
from pywps_hpc.jobs import Job


class EndWatch:
    """Looks at the reports of jobs.

    Args:
        context: the dispatcher's surroundings.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._likely, self._others = _Turns(), _Turns()
        self._last = float("-inf")
        # By job id: where its report is, and which file was looked at there.
        self._seen: dict[str, tuple[str, tuple[int, int] | None]] = {}
        self._told: dict[str, float] = {}  # since when its report tells an end, by job id

    def follow(self, likely: Sequence[Job], others: Sequence[Job] = ()) -> None:
        """These have not ended, as of the latest poll.

        Args:
            likely: those that run, or are the next to begin.
            others: those that may have begun since.
        """
        self._likely.take(likely)
        self._others.take(others)
        known = {job.id for jobs in (likely, others) for job in jobs}
        self._seen = {job: seen for job, seen in self._seen.items() if job in known}
        self._told = {job: since for job, since in self._told.items() if job in known}

    def are_expected(self) -> bool:
        """Whether the batch system will confirm an end in a moment."""
        soon = time.monotonic() - self._context.timing.end_expected
        return any(since > soon for since in self._told.values())

    def look(self) -> bool:
        """Look at some, if it is time for that; whether another one tells its end."""
        timing, now, before = self._context.timing, time.monotonic(), len(self._told)
        if now - self._last < timing.end_look:
            return False
        self._last = now
        for turns in (self._likely, self._others):
            begun = time.monotonic()
            for _ in range(turns.count):
                if time.monotonic() - begun > timing.end_look_cost:
                    break
                job = turns.next()
                if job.id not in self._told and self._tells_end(job.id):
                    self._told[job.id] = now
        return len(self._told) > before

    def _tells_end(self, job_id: str) -> bool:
        path, looked_at = self._seen.get(job_id) or (self._report_of(job_id), None)
        with contextlib.suppress(OSError):
            facts = os.lstat(path)  # each write makes a new file
            file = facts.st_ino, facts.st_mtime_ns
            if looked_at != file:
                self._seen[job_id] = path, file
                report = outcome.read(self._context.spool.open(job_id))
                return report is not None and report.is_final()
        return False

    def _report_of(self, job_id: str) -> str:
        return str(self._context.spool.open(job_id).report)


class _Turns:
    """Jobs of which one look after the other takes some."""

    def __init__(self) -> None:
        self._jobs: Sequence[Job] = ()
        self._next = 0

    def take(self, jobs: Sequence[Job]) -> None:
        """These, from where the latest look stopped."""
        self._jobs, self._next = jobs, self._next if self._next < len(jobs) else 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._jobs)

    def next(self) -> Job:
        """The one whose turn it is; after the last one it is the first one's again."""
        job, self._next = self._jobs[self._next], (self._next + 1) % len(self._jobs)
        return job
