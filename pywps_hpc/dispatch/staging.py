"""Fetch the inputs of jobs that were given by reference, before the jobs are submitted.

Each job has a thread of its own, a few at once; the loop of the dispatcher never waits for them.
What has arrived stands in the job's folder under its number. Whoever is killed in between leaves
the row at STAGING, and the next dispatcher fetches what is not there yet.
"""

from __future__ import annotations

import json
import logging
import threading
from queue import SimpleQueue

from joblauncher import failpoint, fetch
from joblauncher.bounds import Bounds, Reference, Refused
from joblauncher.jobdir import JobDir
from pywps_hpc.dispatch.context import Context
from pywps_hpc.jobs import Job, State

log = logging.getLogger(__name__)

FAILED = "its inputs could not be fetched"


class Stager:
    """Brings jobs from STAGING to ACCEPTED."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._at_work: dict[str, threading.Event] = {}
        self._ended: SimpleQueue[tuple[Job, str]] = SimpleQueue()

    def is_due(self) -> bool:
        """Whether a thread has come to its end."""
        return not self._ended.empty()

    def run(self) -> int:
        """One turn; how many jobs changed."""
        changed = 0
        while self.is_due():
            job, problem = self._ended.get()
            del self._at_work[job.id]
            with self._context.guard(job):
                changed += self._conclude(job, problem)
        waiting = self._context.store.in_state({State.STAGING})
        wanted = {job.id for job in waiting}
        for job_id, stop in self._at_work.items():
            if job_id not in wanted:
                stop.set()
        for job in waiting:
            if len(self._at_work) >= self._context.settings.inputs.downloads:
                break
            if job.id not in self._at_work:
                self._at_work[job.id] = threading.Event()
                threading.Thread(target=self._work, args=(job,), daemon=True).start()
        return changed

    def _conclude(self, job: Job, problem: str) -> bool:
        context = self._context
        if problem:
            return context.end(job, State.FAILED, problem, rewrite=True)
        log.info("%s: its inputs are here", job.id)
        return context.store.move(job, State.ACCEPTED) is not None

    def _work(self, job: Job) -> None:
        problem = FAILED
        try:
            problem = stage(self._context.spool.open(job.id), self._at_work[job.id])
        except Exception:
            log.exception("%s: %s", job.id, FAILED)
        finally:
            self._ended.put((job, problem))


def stage(job: JobDir, stop: threading.Event) -> str:
    """Fetch what a job's note names.

    Args:
        job: its folder.
        stop: to give up.

    Returns:
        Why that cannot be done, in words for the user; empty once everything is there.
    """
    try:
        note = json.loads(job.references.read_bytes())
    except FileNotFoundError:
        return ""  # done before, by a dispatcher that did not live to say so
    bounds = Bounds.of(note["bounds"])
    job.fetched.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, entry in enumerate(note["references"]):
        target = job.fetched / str(number)
        if target.exists():
            continue
        reference = Reference(
            entry["url"],
            tuple((name, value) for name, value in entry["headers"]),
            entry["body"],
            entry["body_url"],
        )
        try:
            fetch.fetch(reference, bounds, target, stop.is_set)
        except Refused as error:
            return f"input {entry['input']}: {error}"
        failpoint.reach("stage.1")
    job.references.unlink(missing_ok=True)
    failpoint.reach("stage.2")
    return ""
