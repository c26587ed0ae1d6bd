"""Hand accepted jobs to the batch system, each of them once.

The row says SUBMITTING before the batch system is asked. Whoever finds a row in that state (after
an unclear answer, or after a dispatcher was killed) looks for the job's name in the queue first,
and tries again only when a submission that may still be under way would have shown by then.
"""

from __future__ import annotations

import logging

from jinja2 import TemplateError

from joblauncher.jobdir import JobDir, atomic_write
from pywps_hpc.dispatch import evidence, words
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.reconcile import Do, decide_submission
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    SchedulerUnavailable,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.jobs import Job, State, Wish

log = logging.getLogger(__name__)

#: Jobs handed over before the dispatcher looks after the others again.
BATCH = 50


class Submitter:
    """Submits what is accepted.

    Attributes:
        more: whether there was more to submit than one turn allows.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.more = False

    def run(self) -> int:
        """One turn; how many jobs changed.

        Raises:
            SchedulerUnavailable: the rest has to wait.
        """
        context, changed = self._context, 0
        self.more = False
        for job in context.store.in_state({State.SUBMITTING}):
            context.beat()
            with context.guard(job):
                changed += self._resolve(job)
        waiting = context.store.in_state({State.ACCEPTED}, limit=BATCH)
        for job in waiting:
            context.beat()
            with context.guard(job):
                changed += self._submit(job)
        self.more = len(waiting) == BATCH and changed > 0
        return changed

    def _resolve(self, job: Job) -> bool:
        """Find out whether the batch system has a job that it may have been given."""
        context = self._context
        found = context.scheduler.find(job.name)
        patience = max(context.settings.grace, context.settings.command_timeout)
        action = decide_submission(job, found, now=context.clock(), patience=patience)
        if action.do is Do.ADOPT:
            log.info("%s: the batch system has it as %s", job.id, action.native_id)
            return self._record(job, action.native_id)
        if action.do is Do.RETRY:
            log.info("%s: the batch system did not take it", job.id)
            return context.store.move(job, State.ACCEPTED, missing_since=0.0) is not None
        if not job.missing_since:
            context.store.note(job, missing_since=context.clock())
        return False

    def _submit(self, job: Job) -> bool:
        context = self._context
        if job.wish is not Wish.NONE:
            return False  # that comes first, see wishes.py
        folder = context.spool.open(job.id)
        if not evidence.exists(folder):
            return context.end(job, State.FAILED, words.FOLDER_GONE, rewrite=False)
        batch = self._prepare(job, folder)
        if batch is None:
            return context.end(job, State.FAILED, words.SETTINGS, rewrite=True)
        taken = context.store.move(job, State.SUBMITTING, submitted=context.clock())
        if taken is None:
            return False
        if taken.wish is Wish.DISMISS:
            return context.end(taken, State.DISMISSED, words.DISMISSED, rewrite=True)
        return self._hand_over(taken, batch)

    def _prepare(self, job: Job, folder: JobDir) -> BatchJob | None:
        """The job's script, a copy of which goes into its folder; ``None`` if there can be none."""
        try:
            batch = self._context.scripts.batch_job(job, folder)
        except (ValueError, TypeError, TemplateError) as error:
            log.error("%s: its script cannot be written: %s", job.id, error)
            return None
        # DRMAA runs this copy; the other ways take the text.
        atomic_write(folder.script, batch.script.encode(), mode=0o700)
        return batch

    def _hand_over(self, job: Job, batch: BatchJob) -> bool:
        context = self._context
        try:
            [native_id] = context.scheduler.submit([batch])
        except SubmissionRefused as error:
            log.warning("%s: refused: %s (%s: %s)", job.id, error, error.command, error.output)
            reason = words.refused(str(error))
            return context.end(job, State.FAILED, reason, rewrite=True)
        except SubmissionUncertain as error:
            log.warning("%s: it is not clear whether the batch system took it: %s", job.id, error)
            raise
        except SchedulerUnavailable:
            context.store.move(job, State.ACCEPTED)  # it certainly was not taken
            raise
        log.info("%s: submitted as %s", job.id, native_id)
        return self._record(job, native_id)

    def _record(self, job: Job, native_id: str) -> bool:
        context = self._context
        changes = {"native_id": native_id, "missing_since": 0.0}
        return context.store.move(job, State.QUEUED, **changes) is not None
