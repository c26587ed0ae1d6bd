"""Notice that running jobs have told their ends, between two polls of the batch system.

A report is no end, since its process could have written it: it only lets the batch system be asked
soon. Each job can bring that about once, and a look takes a bounded time: where there are very many
jobs, or the file system is slow, the next one goes on with the others.
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
    """Looks at the reports of running jobs.

    Args:
        context: the dispatcher's surroundings.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs: Sequence[Job] = ()
        self._next = 0
        self._last = float("-inf")
        self._files: dict[str, tuple[int, int]] = {}  # what was looked at, by job id
        self._told: dict[str, float] = {}  # since when its report tells an end, by job id

    def follow(self, jobs: Sequence[Job]) -> None:
        """These run, as of the latest poll."""
        self._jobs, self._next = jobs, self._next if self._next < len(jobs) else 0
        running = {job.id for job in jobs}
        self._files = {job: file for job, file in self._files.items() if job in running}
        self._told = {job: since for job, since in self._told.items() if job in running}

    def are_expected(self) -> bool:
        """Whether the batch system will confirm an end in a moment."""
        soon = time.monotonic() - self._context.timing.end_expected
        return any(since > soon for since in self._told.values())

    def look(self) -> bool:
        """Look at some, if it is time for that; whether another one tells its end."""
        timing, begun = self._context.timing, time.monotonic()
        if begun - self._last < timing.end_look:
            return False
        self._last, before = begun, len(self._told)
        for _ in range(len(self._jobs)):
            if time.monotonic() - begun > timing.end_look_cost:
                break
            job, self._next = self._jobs[self._next], (self._next + 1) % len(self._jobs)
            if job.id not in self._told and self._tells_end(job.id):
                self._told[job.id] = begun
        return len(self._told) > before

    def _tells_end(self, job_id: str) -> bool:
        folder = self._context.spool.open(job_id)
        with contextlib.suppress(OSError):
            facts = os.lstat(folder.report)  # each write makes a new file
            file = facts.st_ino, facts.st_mtime_ns
            if self._files.get(job_id) != file:
                self._files[job_id] = file
                report = outcome.read(folder)
                return report is not None and report.is_final()
        return False
