"""Hand accepted jobs to the batch system: one by one, or many at once as a job array.

A row is set to SUBMITTING, with its array index, before the batch system is called. Whoever
finds a row in that state (after an unclear answer, or after a dispatcher was killed) looks for the
job's name in the queue first, and tries again only when a submission that may still be under way
would have shown by then.

One that the batch system does not take is offered again (see
:mod:`~pywps_hpc.dispatch.decide.deferral`); only a refusal that is known to be final ends it at
once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from joblauncher.shared import failpoint, storage
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch import finish, folders
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.deferral import ENOUGH, Deferral
from pywps_hpc.dispatch.resolve import Resolver
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.jobs import ControlRequest, InLine, Job, State, job_name, new_id
from pywps_hpc.settings import needs

log = logging.getLogger(__name__)

#: Jobs handed over before the dispatcher looks after the others again, where each goes by itself.
BATCH = 50


class _NotNow(SchedulerUnavailable):
    """The batch system does not take these jobs for now; they are accepted only, as before.

    Attributes:
        jobs: as they are now.
        error: its answer.
    """

    def __init__(self, jobs: Sequence[Job], error: SubmissionPostponed) -> None:
        super().__init__(str(error))
        self.jobs = jobs
        self.error = error


class Submitter:
    """Submits what is accepted."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._together = context.scheduler.arrays and context.settings.array_size > 1
        self._last = float("-inf")
        self._waits = False
        self._resting: tuple[float, ...] | None = (
            None  # all that are accepted, if none may be offered
        )
        self._alone: set[str] = set()  # ids of jobs whose array was refused
        self._deferral = Deferral(
            context.settings.array_size if self._together else 1,
            context.settings.submit_timeout,
            context.timing,
        )
        self._resolver = Resolver(context)

    def due_in(self) -> float:
        """In how many seconds jobs are to be handed over that the last round left; infinite if
        there are none."""
        return self._early() if self._waits else float("inf")

    def run(self) -> None:
        """One turn.

        Raises:
            SchedulerUnavailable: the rest has to wait.
        """
        context = self._context
        self._resolver.run()
        context.changes.flush()
        most = context.settings.array_size if self._together else BATCH
        line = *context.store.line(State.ACCEPTED), context.changes.made
        if line == self._resting and not self._deferral.is_due(context.clock()):
            return  # they are those of which none was to be offered
        accepted = context.store.in_line(State.ACCEPTED)
        self._deferral.keep({job.id for job in accepted})
        candidates = self._candidates(accepted)
        if 0 < len(candidates) < most and self._early() > 0:
            # A full array waits for nobody who could go with it, and what goes by itself neither.
            rest = [job for job in candidates if context.scripts.is_for_pilots(job)]
            self._waits = not rest
            candidates, left_out = rest or candidates, len(candidates) > len(rest) > 0
        else:
            self._waits = left_out = False
        chosen = [job.id for job in candidates[:most]]
        self._resting = None if chosen else line
        if self._waits or not chosen:
            return
        waiting = [
            job
            for job in context.store.those(chosen)
            if job.state is State.ACCEPTED and job.control is ControlRequest.NONE
        ]
        self._last = context.clock()
        changed, more = 0, len(chosen) == most or left_out
        groups: dict[str, list[Job]] = {}
        for job in waiting:
            groups.setdefault(self._key(job), []).append(job)
        for key, jobs in groups.items():
            bound = most if self._go_together(jobs[0]) else BATCH
            more = more or len(jobs) > bound
            changed += self._offer(key, jobs[:bound])
        self._waits = more and changed > 0
        if self._waits:
            self._last = float("-inf")  # what is left need not wait for company

    def _go_together(self, job: Job) -> bool:
        """Whether jobs that ask for the same may be elements of an array."""
        context = self._context
        need = needs.of_job(context.settings, job).resources
        alone = not self._together or context.scripts.is_for_pilots(job)
        return not alone and context.scheduler.takes_arrays(need)

    def _key(self, job: Job | InLine) -> str:
        """Those can go together that have the same settings and so the same script."""
        return needs.key(self._context.settings, job)

    def _candidates(self, accepted: Sequence[InLine]) -> list[InLine]:
        """Those to offer now, oldest first. Those with a control request are left to control.py."""
        now = self._context.clock()
        groups: dict[str, list[InLine]] = {}
        for job in accepted:
            if not job.control:
                groups.setdefault(self._key(job), []).append(job)
        chosen = [
            job
            for key, jobs in groups.items()
            for job in self._deferral.group(key).candidates(jobs, now)
        ]
        return sorted(chosen, key=lambda job: job.id in self._alone)

    def _offer(self, key: str, jobs: Sequence[Job]) -> int:
        """Hand over jobs with the same settings; how many changed.

        An array that is not taken is offered in halves, down to single jobs: the limit may be on
        arrays or their size, and one job among them may be the cause.
        """
        context, group = self._context, self._deferral.group(key)
        alone, free = self._apart(jobs, together=self._go_together(jobs[0]))
        left: list[Job] = []
        reason, changed, failures = "", 0, 0
        while alone or free:
            if alone:
                batch = alone.popleft()
            else:
                batch = [free.popleft() for _ in range(min(group.size, len(free)))]
            if failures >= ENOUGH and not (len(batch) == 1 and self._deferral.is_over(batch[0])):
                left += batch
                continue
            context.heartbeat()
            try:
                changed += self._submit(batch)
            except _NotNow as refusal:
                if len(refusal.jobs) > 1:
                    group.size = len(refusal.jobs) // 2
                    free.extendleft(reversed(refusal.jobs))
                    continue
                left += refusal.jobs
                reason = messages.postponed(str(refusal))
                failures = ENOUGH if refusal.error.passing else failures + 1
                for job in refusal.jobs:
                    group.tries[job.id] = group.tries.get(job.id, 0) + 1
            else:
                failures = 0
                self._deferral.taken(key, len(batch))
                group.forget(job.id for job in batch)
        if left:
            group.postpone(left, context.clock())
            for job in left:
                if job.message != reason:
                    context.changes.add(job, message=reason)
        return changed

    def _apart(self, jobs: Sequence[Job], *, together: bool) -> tuple[deque[list[Job]], deque[Job]]:
        """Those that go by themselves, or again as the element that they were; and those that may
        go together, if there are arrays of them."""
        alone: dict[str, list[Job]] = {}
        free: deque[Job] = deque()
        for job in jobs:
            apart = job.id in self._alone or self._deferral.is_over(job)
            if job.array_index or apart or not together:
                alone.setdefault(job.name, []).append(job)
            else:
                free.append(job)
        return deque(alone.values()), free

    def _early(self) -> float:
        """Seconds for which jobs are still collected that go together."""
        pace, passed = self._context.timing.array_pace, self._context.clock() - self._last
        return pace - passed if self._together and 0 <= passed < pace else 0.0

    def _submit(self, jobs: Sequence[Job]) -> int:
        """One submission; how many jobs changed."""
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
            self._last = float("-inf")  # the next turn tries again and says the same
            why = storage.trouble(error) or error.strerror
            raise SchedulerUnavailable(f"no script can be written: {why}") from error
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
            raise _NotNow(back, error) from error
        except SubmissionUncertain as error:
            log.warning("%s: unclear whether the batch system accepted it: %s", _these(jobs), error)
            raise
        except SchedulerUnavailable:
            self._put_back(jobs)
            raise
        self._alone.difference_update(job.id for job in jobs)
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
        self._alone.update(job.id for job in jobs)
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
