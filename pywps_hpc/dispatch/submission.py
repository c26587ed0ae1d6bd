"""One submission: from rows that are accepted to the batch system's answer.

A row is set to SUBMITTING, with its array index, before the batch system is called: whoever finds
it in that state looks the job up by its name (:mod:`~pywps_hpc.dispatch.resolve`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from joblauncher.shared import failpoint, storage
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch import finish, folders
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.deferral import Deferral
from pywps_hpc.dispatch.resolve import Resolver
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.jobs import ControlRequest, Job, State, job_name, new_id
from pywps_hpc.settings import needs

log = logging.getLogger(__name__)


class NoScript(SchedulerUnavailable):
    """No script can be written now."""


class NotTaken(SchedulerUnavailable):
    """The batch system does not take these jobs for now; they are accepted only, as before.

    Attributes:
        jobs: as they are now.
        error: its answer.
    """

    def __init__(self, jobs: Sequence[Job], error: SubmissionPostponed) -> None:
        super().__init__(str(error))
        self.jobs = jobs
        self.error = error


class Submission:
    """Hands jobs over.

    Args:
        context: the dispatcher's surroundings.
        deferral: which jobs were not taken, and since when.
        resolver: of doubtful submissions.

    Attributes:
        alone: ids of jobs whose array was refused.
    """

    def __init__(self, context: Context, deferral: Deferral, resolver: Resolver) -> None:
        self._context, self._deferral, self._resolver = context, deferral, resolver
        self.alone: set[str] = set()

    def run(self, jobs: Sequence[Job]) -> int:
        """One submission: of a job, or of several as an array.

        Returns:
            How many jobs changed.

        Raises:
            NotTaken: the batch system does not take them for now.
            NoScript: the spool cannot be written to.
            SchedulerUnavailable: it could not be asked, or did not answer.
        """
        changed, ready = 0, []
        for job in jobs:
            with self._context.guard(job):
                if folders.exists(self._context.spool.open(job.id)):
                    ready.append(job)
                else:
                    self._fail([job], messages.FOLDER_GONE, rewrite=False)
                    changed += 1
        taken = self._take(ready)
        failpoint.reach("submit.1")
        with self._context.guard(jobs[0]):
            for job in taken:
                if job.control is ControlRequest.DISMISS:
                    finish.end(
                        self._context, job, State.DISMISSED, messages.DISMISSED, rewrite=True
                    )
                    changed += 1
            taken = [job for job in taken if job.control is not ControlRequest.DISMISS]
            if taken and (batch := self._prepare(taken)) is not None:
                return changed + self._hand_over(taken, batch)
        return changed + len(taken)

    def _take(self, jobs: Sequence[Job]) -> list[Job]:
        """Record that these are about to be submitted, and where in which array."""
        store = self._context.store
        changes: dict[str, Any] = {"submitted": self._context.clock()}
        if len(jobs) > 1 and not jobs[0].array_index:
            array = job_name(self._context.settings.job_prefix, new_id())
            own = [
                changes | self._asked(job) | {"name": array, "array_index": n}
                for n, job in enumerate(jobs, 1)
            ]
            moves = [(job, State.SUBMITTING, each) for job, each in zip(jobs, own, strict=True)]
            return sorted(store.move_all(moves), key=lambda job: job.array_index)
        taken = store.move_all((job, State.SUBMITTING, changes | self._asked(job)) for job in jobs)
        # While this dispatcher was held up another one may have given them other names.
        expected = {(job.id, job.name, job.array_index) for job in jobs}
        strange = [job for job in taken if (job.id, job.name, job.array_index) not in expected]
        if strange:
            store.move_all((job, State.ACCEPTED, {}) for job in strange)
        return sorted((job for job in taken if job not in strange), key=lambda job: job.array_index)

    def _asked(self, job: Job) -> dict[str, Any]:
        """What the batch system is asked for, as it is recorded."""
        need = needs.of_job(self._context.settings, job).resources
        cpus = need.cpus * need.ranks
        return {"cpus": cpus, "memory": need.memory, "account": need.account}

    def _prepare(self, jobs: Sequence[Job]) -> BatchJob | None:
        """Their script, a copy of which goes into the spool; ``None`` if there can be none."""
        context, first = self._context, jobs[0]
        try:
            batch = context.scripts.batch_job(jobs)
        except (ValueError, TypeError, TemplateError) as error:
            log.error("%s: its script cannot be written: %s", first.id, error)
            self._fail(jobs, messages.SETTINGS, rewrite=True)
            return None
        folder = context.spool.open(first.id)
        try:
            if batch.array_indices:
                elements = {job.array_index: job.id for job in jobs}
                folder = JobDir(context.spool.create_array(batch.name, elements))
            # DRMAA runs this copy; the other ways take the text.
            atomic_write(folder.script, batch.script.encode(), mode=0o700)
        except OSError as error:
            self._put_back(jobs)
            why = storage.trouble(error) or error.strerror
            raise NoScript(f"no script can be written: {why}") from error
        failpoint.reach("submit.2")
        return batch

    def _hand_over(self, jobs: Sequence[Job], batch: BatchJob) -> int:
        context = self._context
        # One that was stopped for long may have been replaced; one that is stopped from here on has
        # its job refused by the launcher, which finds the lease taken.
        context.heartbeat()
        failpoint.reach("submit.3")
        try:
            ids = context.scheduler.submit(batch)
            failpoint.reach("submit.4")
        except SubmissionRefused as error:
            return self._refuse(jobs, error)
        except SubmissionPostponed as error:
            if not error.passing and len(jobs) == 1 and self._deferral.is_over(jobs[0]):
                return self._refuse(jobs, error)
            back = self._put_back(jobs)
            if not error.answered:
                raise
            log.info("%s: not accepted for now: %s (%s)", _these(jobs), error, error.output)
            raise NotTaken(back, error) from error
        except SubmissionUncertain as error:
            log.warning("%s: unclear whether the batch system accepted it: %s", _these(jobs), error)
            raise
        except SchedulerUnavailable:
            self._put_back(jobs)
            raise
        self.alone.difference_update(job.id for job in jobs)
        self._resolver.forget(jobs)
        for job, native_id in zip(jobs, ids, strict=True):
            log.info("%s: submitted as %s (%s)", job.id, native_id, job.name)
            context.has_submitted(job, native_id)
        context.changes.flush()
        failpoint.reach("submit.5")
        return len(jobs)

    def _refuse(self, jobs: Sequence[Job], error: SchedulerError) -> int:
        log.warning("%s: refused: %s (%s: %s)", _these(jobs), error, error.command, error.output)
        if len(jobs) == 1:
            self._deferral.forget([jobs[0].id])
            self._fail(jobs, messages.refused(str(error)), rewrite=True)
            return len(jobs)
        # Each is to hear its own verdict, and the limit may be on arrays.
        self.alone.update(job.id for job in jobs)
        return len(self._put_back(jobs))

    def _put_back(self, jobs: Sequence[Job]) -> list[Job]:
        """They certainly were not taken: each is a job of its own again."""
        prefix = self._context.settings.job_prefix
        moves = [
            (job, State.ACCEPTED, {"name": job_name(prefix, job.id), "array_index": 0})
            for job in jobs
        ]
        return self._context.store.move_all(moves)

    def _fail(self, jobs: Sequence[Job], reason: str, *, rewrite: bool) -> None:
        for job in jobs:
            finish.end(self._context, job, State.FAILED, reason, rewrite=rewrite)


def _these(jobs: Sequence[Job]) -> str:
    """Jobs in a line of the log, an id first."""
    first = jobs[0]
    return first.id if len(jobs) == 1 else f"{first.id} and {len(jobs) - 1} more ({first.name})"
