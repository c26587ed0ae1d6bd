"""Find out whether the batch system has jobs that it may have been given: after an unclear answer,
or after a dispatcher was killed while it submitted them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from joblauncher.shared import failpoint
from pywps_hpc.dispatch import finish
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.action import Do
from pywps_hpc.dispatch.decide.reconcile import decide_submission
from pywps_hpc.jobs import Job, State

log = logging.getLogger(__name__)


class Resolver:
    """Looks up the jobs that are being submitted, all of them together."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unclear: dict[str, float] = {}  # job id -> seconds lost to unclear answers

    def forget(self, jobs: Iterable[Job]) -> None:
        """Of these the answer was clear."""
        for job in jobs:
            self._unclear.pop(job.id, None)

    def run(self) -> None:
        """Find out, for all of them at once, whether the batch system has the jobs that it may have
        been given.

        Raises:
            SchedulerUnavailable: some of them nobody could be asked about.
        """
        context = self._context
        jobs = context.store.in_state({State.SUBMITTING})
        if not jobs:
            return
        asked = context.clock()
        found, unasked = context.scheduler.find_all({(job.name, job.array_index) for job in jobs})
        failpoint.reach("resolve.1")
        for job in jobs:
            context.heartbeat()
            if (job.name, job.array_index) in found:
                with context.guard(job):
                    self._resolve(job, found[job.name, job.array_index], asked)
        if unasked is not None:
            raise unasked

    def _resolve(self, job: Job, found: Sequence[str], asked: float) -> None:
        """What to do with a job that was found under these ids."""
        context = self._context
        patience = max(context.settings.grace, context.settings.command_timeout)
        action = decide_submission(job, found, now=asked, patience=patience)
        if action.do is Do.ADOPT:
            log.info("%s: the batch system has it as %s", job.id, action.native_id)
            self._unclear.pop(job.id, None)
            context.has_submitted(job, action.native_id)
        elif action.do is Do.RETRY:
            # Under the same name and index: should the first submission show after all, the job
            # is found under both ids.
            log.info("%s: the batch system did not accept it", job.id)
            lost = self._unclear[job.id] = self._unclear.get(job.id, 0.0) + patience
            if lost >= context.settings.submit_timeout:
                del self._unclear[job.id]
                finish.end(context, job, State.FAILED, messages.UNCLEAR, rewrite=True)
            else:
                context.changes.add(job, State.ACCEPTED, missing_since=0.0)
        elif not job.missing_since:
            context.changes.add(job, missing_since=asked)
