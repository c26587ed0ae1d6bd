"""Ask the batch system where the jobs stand, once for all of them, and act on the answer."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from joblauncher.shared import failpoint
from pywps_hpc.dispatch import finish, folders
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import container
from pywps_hpc.dispatch.decide.action import KEEP, Action, Do
from pywps_hpc.dispatch.decide.evidence import Evidence, Left
from pywps_hpc.dispatch.decide.reconcile import (
    decide,
    may_succeed,
    needs_evidence,
    needs_log,
)
from pywps_hpc.dispatch.schedulers.base import (
    JobStatus,
    Outcome,
    Phase,
    SchedulerError,
    SchedulerUnavailable,
    merge,
)
from pywps_hpc.jobs import Cause, ControlRequest, Job, State
from pywps_hpc.metrics import meters
from pywps_hpc.settings import needs

log = logging.getLogger(__name__)

#: Waiting jobs, the oldest, that are the next to begin: where the batch system is asked rarely,
#: they may have ended since.
NEXT_TO_BEGIN = 200
_FOLLOWED = frozenset({State.QUEUED, State.RUNNING, State.PAUSED})


class Follower:
    """Keeps the job table in step with the batch system.

    Args:
        context: the dispatcher's surroundings.

    Attributes:
        unsettled: whether some job's end is to be judged soon.
        took: seconds for which the batch system was asked, last.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.unsettled = False
        self._running: list[Job] = []  # by the latest poll
        self._waiting: list[Job] = []  # the same, the oldest first
        self.took = 0.0
        self._asked = float("-inf")  # when the batch system answered last
        self._last: dict[str, tuple[object, ...]] = {}  # what it said of each, by job id
        self._rows: dict[tuple[Any, ...], Job] = {}
        #: What it said and what the row said when nothing was to be done, by job id.
        self._settled: dict[str, tuple[JobStatus, Job]] = {}
        self._answering = 0.0  # since when it has answered each question; 0: it does not
        self._missing: dict[str, float] = {}  # job id -> since when it was in no answer
        self._unlisted: dict[str, float] = {}  # the same of the queue alone
        self._followed: list[Job] = []
        self._found: dict[
            tuple[str, int], list[str]
        ] = {}  # this turn's look-ups, by name and index
        self._exhausted: dict[str, set[str]] = defaultdict(set)  # native ids that led nowhere
        self._reported: dict[str, JobStatus] = {}  # ends that no poll told, by native id

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
                self._attend(job, status, fresh=True, known=True, gone=False, now=now)
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
        context = self._context
        self.unsettled = False
        followed = context.store.in_state(_FOLLOWED, known=self._rows)
        self._followed = jobs = [job for job in followed if job.native_id]
        self._found = {}
        if not jobs:
            self._running, self._waiting = [], []
            return
        # A batch system that lost its memory gives the same ids to other jobs.
        owners = {job.native_id: job for job in sorted(jobs, key=lambda job: job.submitted)}
        asked, before = context.clock(), time.monotonic()
        answering, self._answering = self._answering, 0.0
        try:
            with meters.timed(meters.POLL):
                answer = _own(context.scheduler.poll(owners), owners)
        except SchedulerUnavailable:
            meters.count(meters.POLL_ERRORS)
            raise
        finally:
            self.took = time.monotonic() - before
        failpoint.reach("follow.1")
        if asked - self._asked > context.settings.grace:
            # Missing now and missing then: who knows what was in between?
            self._missing.clear()
            self._unlisted.clear()
        self._asked = asked
        self._answering = answering or asked
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
                    self._missing[job.id] = job.missing_since or asked
            with context.guard(job):
                if owners[job.native_id].id != job.id:
                    self._give_up(job)
                    continue
                if unpolled:
                    continue
                fresh = status is not None and last.get(job.id) != _core(status)
                gone = status is None and job.native_id in context.scheduler.forgotten
                self._attend(job, status, fresh=fresh, known=known, gone=gone, now=asked)
                if status is not None:
                    self._last[job.id] = _core(status)
        self._waiting.sort(key=lambda job: job.submitted)
        if unasked is not None:
            raise unasked

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

    def _attend(
        self,
        job: Job,
        status: JobStatus | None,
        *,
        fresh: bool,
        known: bool,
        gone: bool,
        now: float,
    ) -> None:
        """Decide on one job and do it.

        Args:
            job: as last read.
            status: what the batch system says.
            fresh: whether that is news.
            known: whether accounting answered.
            gone: whether the batch system said that it does not have the job.
            now: when the question was asked. Whoever is held up on the way to the decision has
                not seen the job missing for so much longer.
        """
        context = self._context
        seen, logged, trouble = Evidence(), None, None
        if needs_evidence(status, changed=fresh or job.end_seen > 0):
            folder = context.spool.open(job.id)
            seen = folders.look(folder)
            if needs_log(status, seen):  # never without evidence
                tail = folders.log_tail(folder)
                logged = context.scheduler.explain(tail)
                if status is not None and _did_not_begin(status, seen):
                    trouble = container.explain(tail, status.exit_code)
        action = decide(
            job,
            status,
            seen,
            resources=needs.of_job(context.settings, job).resources,
            now=now,
            grace=context.settings.grace,
            asked=known,
            forgotten=gone,
            logged=logged,
            answering=self._answering,
            timing=context.timing,
        )
        if trouble is not None and action.do is Do.END and action.state is State.FAILED:
            node = folders.node(context.spool.open(job.id)) or "its node"
            log.warning("%s: on %s: %s", job.id, node, trouble.line)
            action = replace(action, message=trouble.message, cause=Cause.NODE)
        if action == KEEP and status is not None and not (job.end_seen or job.missing_since):
            self._settled[job.id] = status, job
        if job.end_seen and status is not None and status.phase is Phase.RUNNING:
            self.unsettled = True  # somebody waits for this end to be confirmed
            if seen.left is Left.OPEN and action == KEEP:  # it was that of an earlier start
                context.changes.add(job, end_seen=0)
        self._act(job, status, seen, action, now)

    def _give_up(self, job: Job) -> None:
        """End a job of which the batch system certainly knows nothing any more."""
        context = self._context
        seen, now = folders.look(context.spool.open(job.id)), context.clock()
        action = decide(
            replace(job, missing_since=now),
            None,
            seen,
            resources=needs.of_job(context.settings, job).resources,
            now=now,
            grace=0.0,
        )
        self._act(job, None, seen, action, now)

    def _act(
        self, job: Job, status: JobStatus | None, seen: Evidence, action: Action, now: float
    ) -> None:
        context, changes = self._context, self._context.changes
        if action.do is Do.MOVE and action.state is not None:
            columns: dict[str, Any] = {"message": action.message, "missing_since": 0.0}
            columns["waits"] = action.waits
            if action.state is State.RUNNING and not job.started:
                columns["started"] = seen.started or context.clock()
                queued = columns["started"] - job.submitted
                meters.observe(meters.QUEUE, queued, job.process)
            if action.state is State.QUEUED and job.started:  # it will be started again
                columns["attempt"] = max(job.attempt, seen.attempt + 1)
            changes.add(job, action.state, then=_moved, **columns)
        elif action.do is Do.NOTE:
            changes.add(job, message=action.message, waits=action.waits, missing_since=0.0)
        elif action.do is Do.WAIT:
            self.unsettled = True
            if not job.missing_since:
                changes.add(job, missing_since=now)
        elif action.do is Do.LOOK_UP and (other := self._other_id(job)):
            log.info("%s: the batch system has it as %s, too", job.id, other)
            changes.add(job, native_id=other, missing_since=0.0)
        elif action.do is Do.STOP:
            log.warning("%s: %s", job.id, action.message)
            self._clear_away(job)
            changes.add(job, message=action.message, end_seen=int(now))
        elif action.do in (Do.END, Do.LOOK_UP) and action.state is not None:
            if _stays(status):
                self._clear_away(job)
            self._exhausted.pop(job.id, None)
            finish.end(
                context,
                job,
                action.state,
                action.message,
                rewrite=action.rewrite,
                overrule=not may_succeed(status, seen),
                exited=_has_exited(status),
                seen=_with_usage(seen, status),
                elapsed=status.elapsed if status is not None and not status.restarts else None,
                cause=action.cause,
            )

    def _other_id(self, job: Job) -> str:
        """Another id under which the batch system has this job; empty if there is none."""
        exhausted = self._exhausted[job.id]
        exhausted.add(job.native_id)
        wanted = job.name, job.array_index
        if wanted not in self._found:  # one look-up for its whole array, and for all that are to go
            others = {
                (other.name, other.array_index)
                for other in self._followed
                if other.name == job.name or other.control is ControlRequest.DISMISS
            }
            found, unasked = self._context.scheduler.find_all(others | {wanted})
            self._found |= found
            if unasked is not None and wanted not in found:
                raise unasked
        return next((other for other in self._found[wanted] if other not in exhausted), "")

    def _clear_away(self, job: Job) -> None:
        """Nobody but us would ever take this job from the queue.

        Raises:
            SchedulerUnavailable: that has to wait, and the job's end with it.
        """
        self._context.heartbeat()
        try:
            self._context.scheduler.cancel([job.native_id])
        except SchedulerUnavailable:
            raise
        except SchedulerError as error:
            log.info("%s: cannot be removed from the queue: %s", job.id, error)


def _core(status: JobStatus) -> tuple[object, ...]:
    """What of an answer can be news of the job's process: why it waits is none."""
    detail = "" if status.phase is Phase.QUEUED else status.detail
    return status.phase, status.outcome, status.exit_code, status.signal, status.restarts, detail


def _moved() -> None:
    failpoint.reach("follow.2")


def _own(answer: Mapping[str, JobStatus], owners: Mapping[str, Job]) -> dict[str, JobStatus]:
    """Without what is said of other jobs that once had these ids: accounting may still lack ours.
    Measured: Grid Engine's lags by up to 15 s."""
    names = {native_id: job.name for native_id, job in owners.items()}
    return {job: status for job, status in answer.items() if status.name in ("", names[job])}


def _did_not_begin(status: JobStatus, seen: Evidence) -> bool:
    """Whether a job has ended whose launcher left no sign, by an exit code of its own."""
    ended = status.phase is Phase.FINISHED and status.outcome is Outcome.EXITED
    return ended and seen.left is Left.OPEN and not seen.started


def _has_exited(status: JobStatus | None) -> bool:
    """Whether the launcher of the end that is told is known to be gone. One that was lost with its
    node, or before the job was started again, may live on."""
    return status is not None and status.outcome is Outcome.EXITED and status.exit_code == 0


def _with_usage(seen: Evidence, status: JobStatus | None) -> Evidence:
    """With what the job used as its supervisor measured it, whole and beyond its process's reach,
    where there was one."""
    if status is None or status.cpu_seconds is None:
        return seen
    return replace(seen, cpu_seconds=status.cpu_seconds)


def _stays(status: JobStatus | None) -> bool:
    """Whether a job that is over for us may stay in the queue: some batch systems keep one that
    could not start (Grid Engine, Eqw), one may wait there for another start, and one that is not
    listed may be there all the same."""
    finished = status is not None and status.phase is Phase.FINISHED
    return not finished or (status is not None and status.outcome is Outcome.COULD_NOT_START)
