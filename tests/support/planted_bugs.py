"""Mistakes of other bridges, put into our dispatcher on purpose: the schedules must notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from dispatcher_harness import ACCEPTED
from invariants import Broken
from joblauncher.shared.files import atomic_write
from pywps_hpc.dispatch import reconciler
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.action import Action, Do
from pywps_hpc.dispatch.decide.evidence import Evidence, Left
from pywps_hpc.dispatch.decide.reconcile import decide
from pywps_hpc.dispatch.pending import PendingChanges
from pywps_hpc.dispatch.resolve import Resolver
from pywps_hpc.dispatch.schedulers.base import BatchJob, JobStatus
from pywps_hpc.dispatch.submission import Submission
from pywps_hpc.jobs import Job, State


@contextmanager
def accepted_is_written_after_the_submission() -> Iterator[None]:
    """PyWPS 4.8.1, processing/scheduler.py: a fast job's success turns back."""
    hand_over = Submission._hand_over

    def late(self: Submission, jobs: Sequence[Job], batch: BatchJob) -> int:
        changed = hand_over(self, jobs, batch)
        for job in jobs:
            atomic_write(self._context.spool.open(job.id).status, ACCEPTED)
        return changed

    with mock.patch.object(Submission, "_hand_over", late):
        yield


@contextmanager
def absent_counts_as_over() -> Iterator[None]:
    """A job that is missing from an answer has ended."""

    def hasty(job: Job, status: JobStatus | None, *rest: Any, **more: Any) -> Action:
        action = decide(job, status, *rest, **more)
        if status is None and action.do is Do.WAIT:
            return Action(Do.END, State.FAILED, messages.LOST, rewrite=True)
        return action

    with mock.patch.object(reconciler, "decide", hasty):
        yield


@contextmanager
def submitted_again_without_a_look() -> Iterator[None]:
    """After an unclear answer the same job goes once more."""

    def blind(self: Resolver, job: Job, *_: Any) -> bool:
        return self._context.store.move(job, State.ACCEPTED) is not None

    with mock.patch.object(Resolver, "_resolve", blind):
        yield


@contextmanager
def a_document_ends_a_job() -> Iterator[None]:
    """A success in the job's folder counts, whatever the batch system says."""

    def gullible(job: Job, status: JobStatus | None, seen: Evidence, **more: Any) -> Action:
        if seen.left is Left.SUCCESS and seen.closed:
            return Action(Do.END, State.SUCCEEDED)
        return decide(job, status, seen, **more)

    with mock.patch.object(reconciler, "decide", gullible):
        yield


@contextmanager
def a_dismissal_is_told_when_it_is_done() -> Iterator[None]:
    """Until then clients read whatever the job tells."""
    with mock.patch.object(Job, "is_dismissed", False):
        yield


@contextmanager
def an_end_is_logged_before_it_is_recorded() -> Iterator[None]:
    """Whoever leads next logs it once more."""
    add = PendingChanges.add

    def hasty(
        self: PendingChanges,
        job: Job,
        to: State | None = None,
        *,
        then: Callable[[], None] | None = None,
        **more: Any,
    ) -> None:
        if then is not None:
            then()
        add(self, job, to, **more)

    with mock.patch.object(PendingChanges, "add", hasty):
        yield


@dataclass(frozen=True)
class Mistake:
    """One of them.

    Attributes:
        make: puts it in.
        breaks: the promises that it breaks: one of them is noticed first.
        faults: of the batch system, with which it shows soon.
    """

    make: Callable[[], AbstractContextManager[None]]
    breaks: frozenset[Broken]
    faults: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.make.__name__


MISTAKES = (
    Mistake(accepted_is_written_after_the_submission, frozenset({Broken.TURNED_BACK})),
    Mistake(
        a_document_ends_a_job,
        frozenset({Broken.ENDED_EARLY, Broken.FORGED}),
        frozenset({"states outdated"}),
    ),
    Mistake(an_end_is_logged_before_it_is_recorded, frozenset({Broken.DISAGREE})),
    Mistake(a_dismissal_is_told_when_it_is_done, frozenset({Broken.UNDISMISSED})),
    Mistake(
        absent_counts_as_over,
        # A job that is being dismissed must be gone, too.
        frozenset({Broken.ENDED_EARLY, Broken.IN_QUEUE}),
        frozenset({"jobs not listed"}),
    ),
    Mistake(
        submitted_again_without_a_look,
        frozenset({Broken.SUBMITTED_AGAIN, Broken.IN_QUEUE}),
        frozenset({"reply lost, job taken"}),
    ),
)
