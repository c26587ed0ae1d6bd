"""Bring row, batch system and report of one job together: decide what follows, and do it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
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
)
from pywps_hpc.jobs import Cause, ControlRequest, Job, State
from pywps_hpc.metrics import meters
from pywps_hpc.settings import needs

log = logging.getLogger(__name__)


class Reconciler:
    """Decides on jobs that the batch system was asked about.

    Args:
        context: the dispatcher's surroundings.

    Attributes:
        answering: since when the batch system has answered each question, in seconds since the
            epoch; 0: it does not.
        unsettled: whether some job's end is to be judged soon.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.answering = 0.0
        self.unsettled = False
        self._followed: Sequence[Job] = ()
        #: This turn's look-ups, by name and array index.
        self._found: dict[tuple[str, int], list[str]] = {}
        self._exhausted: dict[str, set[str]] = defaultdict(set)  # native ids that led nowhere

    def begin(self, followed: Sequence[Job]) -> None:
        """Begin a turn.

        Args:
            followed: the jobs that the batch system is asked about.
        """
        self.unsettled = False
        self._followed, self._found = followed, {}

    def attend(
        self,
        job: Job,
        status: JobStatus | None,
        *,
        fresh: bool,
        known: bool,
        gone: bool,
        now: float,
    ) -> bool:
        """Decide on one job and do it.

        Args:
            job: as last read.
            status: what the batch system says.
            fresh: whether that is news.
            known: whether accounting answered.
            gone: whether the batch system said that it does not have the job.
            now: when the question was asked. Whoever is held up on the way to the decision has
                not seen the job missing for so much longer.

        Returns:
            Whether nothing was to be done, nor will be while row and status stay as they are.
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
            answering=self.answering,
            timing=context.timing,
        )
        if trouble is not None and action.do is Do.END and action.state is State.FAILED:
            node = folders.node(context.spool.open(job.id)) or "its node"
            log.warning("%s: on %s: %s", job.id, node, trouble.line)
            action = replace(action, message=trouble.message, cause=Cause.NODE)
        if job.end_seen and status is not None and status.phase is Phase.RUNNING:
            self.unsettled = True  # somebody waits for this end to be confirmed
            if seen.left is Left.OPEN and action == KEEP:  # it was that of an earlier start
                context.changes.add(job, end_seen=0)
        self._act(job, status, seen, action, now)
        is_open = bool(job.end_seen or job.missing_since)
        return action == KEEP and status is not None and not is_open

    def give_up(self, job: Job) -> None:
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


def _moved() -> None:
    failpoint.reach("follow.2")


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
