"""Ask the batch system where the jobs stand, once for all of them, and act on the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from joblauncher.shared import failpoint
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.reconciler import Reconciler
from pywps_hpc.dispatch.schedulers.base import (
    JobStatus,
    Phase,
    SchedulerUnavailable,
    merge,
)
from pywps_hpc.jobs import Job, State
from pywps_hpc.metrics import meters

#: Waiting jobs, the oldest, that are the next to begin: where the batch system is asked rarely,
#: they may have ended since.
NEXT_TO_BEGIN = 200
_FOLLOWED = frozenset({State.QUEUED, State.RUNNING, State.PAUSED})


class Follower:
    """Keeps the job table in step with the batch system.

    Args:
        context: the dispatcher's surroundings.

    Attributes:
        took: seconds for which the batch system was asked, last.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reconciler = Reconciler(context)
        self._running: list[Job] = []  # by the latest poll
        self._waiting: list[Job] = []  # the same, the oldest first
        self.took = 0.0
        self._asked = float("-inf")  # when the batch system answered last
        self._last: dict[str, tuple[object, ...]] = {}  # what it said of each, by job id
        self._rows: dict[tuple[Any, ...], Job] = {}
        #: What it said and what the row said when nothing was to be done, by job id.
        self._settled: dict[str, tuple[JobStatus, Job]] = {}
        self._missing: dict[str, float] = {}  # job id -> since when it was in no answer
        self._unlisted: dict[str, float] = {}  # the same of the queue alone
        self._reported: dict[str, JobStatus] = {}  # ends that no poll told, by native id

    @property
    def unsettled(self) -> bool:
        """Whether some job's end is to be judged soon."""
        return self._reconciler.unsettled

    def collect_ends(self) -> bool:
        """Whether ends of jobs were reported without a poll; :meth:`end_reported` acts on it."""
        self._reported |= self._context.scheduler.reported_ends()
        return bool(self._reported)

    def end_reported(self) -> None:
        """Act on the ends that were reported without a poll.

        Raises:
            SchedulerUnavailable: some have to wait.
        """
        context = self._context
        self.collect_ends()
        told, self._reported = self._reported, {}
        if not told:
            return
        rows = context.store.in_state(_FOLLOWED, known=self._rows)
        owners = {job.native_id: job for job in rows if job.native_id in told}
        now = context.clock()
        for native_id, status in _own({job: told[job] for job in owners}, owners).items():
            job = owners[native_id]
            with context.guard(job):
                if self._reconciler.attend(
                    job, status, fresh=True, known=True, gone=False, now=now
                ):
                    self._settled[job.id] = status, job
        self._running = [job for job in self._running if job.native_id not in told]
        self._waiting = [job for job in self._waiting if job.native_id not in told]
        context.submitted[:] = [job for job in context.submitted if job.native_id not in told]

    def may_have_ended(self) -> tuple[list[Job], list[Job]]:
        """The jobs that may have ended since the latest poll: those that run or are the next to
        begin, and the others, of which some may have begun all the same."""
        waiting = self._waiting + self._context.submitted
        return self._running + waiting[:NEXT_TO_BEGIN], waiting[NEXT_TO_BEGIN:]

    def run(self) -> None:
        """One turn.

        Raises:
            SchedulerUnavailable: the queue or accounting could not be asked.
        """
        context, reconciler = self._context, self._reconciler
        followed = context.store.in_state(_FOLLOWED, known=self._rows)
        jobs = [job for job in followed if job.native_id]
        reconciler.begin(jobs)
        if not jobs:
            self._running, self._waiting = [], []
            return
        # A batch system that lost its memory gives the same ids to other jobs.
        owners = {job.native_id: job for job in sorted(jobs, key=lambda job: job.submitted)}
        asked = context.clock()
        answer = self._poll(owners, asked)
        failpoint.reach("follow.1")
        if asked - self._asked > context.settings.grace:
            # Missing now and missing then: who knows what was in between?
            self._missing.clear()
            self._unlisted.clear()
        self._asked = asked
        context.heartbeat()
        answer, unasked = self._complete(answer, owners)
        context.heartbeat()
        last, self._last = self._last, {}
        settled, self._settled = self._settled, {}
        self._running, self._waiting = [], []
        context.submitted.clear()
        missing, self._missing = self._missing, {}
        unlisted, self._unlisted = self._unlisted, {}
        silent, left_out = context.scheduler.unasked, context.scheduler.unpolled
        for job in jobs:
            status = answer.get(job.native_id)
            if status is not None and status.phase is Phase.RUNNING:
                self._running.append(job)
            elif status is None or status.phase is not Phase.FINISHED:
                self._waiting.append(job)
            if status is not None and settled.get(job.id) == (status, job):
                self._last[job.id], self._settled[job.id] = last[job.id], settled[job.id]
                continue
            known = unasked is None and job.native_id not in silent
            unpolled = status is None and job.native_id in left_out
            if status is None and not unpolled:
                self._unlisted[job.id] = unlisted.get(job.id, asked)
                # The row may have it from another dispatcher, which asked at other times.
                since = (missing if known else unlisted).get(job.id, 0.0)
                job = replace(job, missing_since=since)
                if known:  # nobody can miss what only the accounting would know
                    self._missing[job.id] = since or asked
            with context.guard(job):
                if owners[job.native_id].id != job.id:
                    reconciler.give_up(job)
                    continue
                if unpolled:
                    continue
                fresh = status is not None and last.get(job.id) != _core(status)
                gone = status is None and job.native_id in context.scheduler.forgotten
                is_settled = reconciler.attend(
                    job, status, fresh=fresh, known=known, gone=gone, now=asked
                )
                if status is not None:
                    self._last[job.id] = _core(status)
                    if is_settled:
                        self._settled[job.id] = status, job
        self._waiting.sort(key=lambda job: job.submitted)
        if unasked is not None:
            raise unasked

    def _poll(self, owners: Mapping[str, Job], asked: float) -> dict[str, JobStatus]:
        """Ask the queue, and note how long that took and since when it answers.

        Raises:
            SchedulerUnavailable: it does not.
        """
        answering, self._reconciler.answering = self._reconciler.answering, 0.0
        before = time.monotonic()
        try:
            with meters.timed(meters.POLL):
                answer = _own(self._context.scheduler.poll(owners), owners)
        except SchedulerUnavailable:
            meters.count(meters.POLL_ERRORS)
            raise
        finally:
            self.took = time.monotonic() - before
        self._reconciler.answering = answering or asked
        return answer

    def _complete(
        self, answer: dict[str, JobStatus], owners: Mapping[str, Job]
    ) -> tuple[dict[str, JobStatus], SchedulerUnavailable | None]:
        """Ask accounting about jobs that left the queue; what it said, or why it could not."""
        gone = owners.keys() - answer.keys()
        if not gone:
            return answer, None
        try:
            return merge(answer, _own(self._context.scheduler.history(gone), owners)), None
        except SchedulerUnavailable as error:
            return answer, error


def _core(status: JobStatus) -> tuple[object, ...]:
    """What of an answer can be news of the job's process: why it waits is none."""
    detail = "" if status.phase is Phase.QUEUED else status.detail
    return status.phase, status.outcome, status.exit_code, status.signal, status.restarts, detail


def _own(answer: Mapping[str, JobStatus], owners: Mapping[str, Job]) -> dict[str, JobStatus]:
    """Without what is said of other jobs that once had these ids: accounting may still lack ours.
    Measured: Grid Engine's lags by up to 15 s."""
    names = {native_id: job.name for native_id, job in owners.items()}
    return {job: status for job, status in answer.items() if status.name in ("", names[job])}
