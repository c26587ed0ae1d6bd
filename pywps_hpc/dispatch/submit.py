"""Which accepted jobs are handed to the batch system, when, and which of them as a job array.

One that the batch system does not take is offered again (see
:mod:`~pywps_hpc.dispatch.decide.deferral`); only a refusal that is known to be final ends it at
once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.deferral import ENOUGH, Deferral
from pywps_hpc.dispatch.resolve import Resolver
from pywps_hpc.dispatch.submission import NoScript, NotTaken, Submission
from pywps_hpc.jobs import ControlRequest, InLine, Job, State
from pywps_hpc.settings import needs

#: Jobs handed over before the dispatcher looks after the others again, where each goes by itself.
BATCH = 50


class Submitter:
    """Submits what is accepted.

    Args:
        context: the dispatcher's surroundings.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._together = context.scheduler.arrays and context.settings.array_size > 1
        self._last = float("-inf")
        self._waits = False
        #: All that are accepted, if none may be offered.
        self._resting: tuple[float, ...] | None = None
        self._deferral = Deferral(
            context.settings.array_size if self._together else 1,
            context.settings.submit_timeout,
            context.timing,
        )
        self._resolver = Resolver(context)
        self._submission = Submission(context, self._deferral, self._resolver)

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
        return sorted(chosen, key=lambda job: job.id in self._submission.alone)

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
                changed += self._submission.run(batch)
            except NoScript:
                self._last = float("-inf")  # the next turn tries again and says the same
                raise
            except NotTaken as refusal:
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
            apart = job.id in self._submission.alone or self._deferral.is_over(job)
            if job.array_index or apart or not together:
                alone.setdefault(job.name, []).append(job)
            else:
                free.append(job)
        return deque(alone.values()), free

    def _early(self) -> float:
        """Seconds for which jobs are still collected that go together."""
        pace, passed = self._context.timing.array_pace, self._context.clock() - self._last
        return pace - passed if self._together and 0 <= passed < pace else 0.0
