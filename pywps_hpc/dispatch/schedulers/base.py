"""What every batch system can be asked, in the same terms for all.

The rest of the dispatcher knows only this module. A scheduler answers with :class:`JobStatus`,
which says where a job stands (:class:`Phase`) and, once it is over, why (:class:`Outcome`). Two
things are deliberately *not* states: "the scheduler does not list this job" (the id is missing from
the answer) and "the scheduler could not be asked" (:class:`SchedulerUnavailable`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from pywps_hpc.dispatch.schedulers.batch_job import BatchJob, Warm, WarmContainer
from pywps_hpc.dispatch.schedulers.errors import (
    NotPermitted,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.status import JobStatus, Outcome, Phase, merge
from pywps_hpc.settings.resources import Resources

__all__ = [
    "BatchJob",
    "JobStatus",
    "NotPermitted",
    "Outcome",
    "Phase",
    "Remedies",
    "Resources",
    "Scheduler",
    "SchedulerError",
    "SchedulerUnavailable",
    "SubmissionPostponed",
    "SubmissionRefused",
    "SubmissionUncertain",
    "Warm",
    "WarmContainer",
    "merge",
]

#: Parts, in lower case, of a message that says why a batch system does not answer -> what an
#: administrator can do about it. The first that occur count.
Remedies = Sequence[tuple[str, str]]


class Scheduler(ABC):
    """One batch system. Never guesses: an id missing from :meth:`poll` is unknown to the scheduler,
    and a question that could not be asked raises :class:`SchedulerUnavailable`.

    Ids are the scheduler's own, as text. Every method may raise :class:`SchedulerUnavailable`.
    """

    #: Name of the batch system, as in the configuration (``slurm``).
    system: str = ""
    #: Whether it takes job arrays.
    arrays: bool = False
    #: What an administrator can do when it does not answer.
    remedies: Remedies = ()
    #: Ids that break the question about them, so that the latest :meth:`poll` and :meth:`history`
    #: could tell of the others only: they are missing from the answer, but not unknown.
    unasked: Collection[str] = frozenset()
    #: Of these, whom already the queue could not be asked about: they may be alive.
    unpolled: Collection[str] = frozenset()
    #: Ids of which the batch system itself said, in answer to the latest :meth:`poll` and
    #: :meth:`history`, that it does not have them, while nobody keeps a record that may yet come.
    #: Ids that are merely missing from a list of all jobs are not among them.
    forgotten: Collection[str] = frozenset()

    def header(self, job: BatchJob) -> Sequence[str]:
        """The lines of the job's script that tell the batch system what it needs."""
        return ()

    def takes_arrays(self, need: Resources) -> bool:
        """Whether jobs with these resources may go as an array."""
        return self.arrays

    def probe(self) -> str:
        """Ask one cheap question that only a batch system that can be used answers.

        Returns:
            What answered, with its version where that is known: ``slurm 22.05.8``.

        Raises:
            SchedulerUnavailable: none can be used now.
        """
        return self.system

    @abstractmethod
    def submit(self, job: BatchJob) -> list[str]:
        """Hand over a job or an array: all of it is accepted, or nothing.

        Returns:
            Its native id, or those of the array's elements in the order of ``array_indices``.

        Raises:
            SubmissionRefused: the batch system said no, and would say so again.
            SubmissionPostponed: not now (a limit on waiting jobs, no such command, any message that
                is not known to be final).
            SubmissionUncertain: no clear answer; :meth:`find` tells what happened.
        """

    @abstractmethod
    def find(self, name: str, array_index: int = 0) -> list[str]:
        """Native ids of all jobs that carry this name, waiting, running or remembered.

        Args:
            name: of the job or the array.
            array_index: the element's index in the array; 0: it is no array.
        """

    def find_all(
        self, wanted: Collection[tuple[str, int]]
    ) -> tuple[dict[tuple[str, int], list[str]], SchedulerUnavailable | None]:
        """:meth:`find` for many jobs, by as few questions as there can be.

        Args:
            wanted: name and array index of each.

        Returns:
            The ids of each about which everybody could be asked, and why not of the others.
        """
        found = {}
        for name, index in wanted:
            try:
                found[name, index] = self.find(name, index)
            except SchedulerUnavailable as error:
                return found, error
        return found, None

    @abstractmethod
    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """The status of these jobs by one question; jobs it does not know are missing."""

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """How jobs that left the queue ended, by accounting; jobs it does not know are missing."""
        return {}

    @property
    def reports_ends(self) -> bool:
        """Whether :meth:`reported_ends` may have something to say soon."""
        return False

    def reported_ends(self) -> dict[str, JobStatus]:
        """Jobs that have ended since the latest :meth:`poll`, or since this was asked last, as far
        as that is known without a question to the batch system. Raises nothing."""
        return {}

    @abstractmethod
    def cancel(self, ids: Collection[str]) -> None:
        """End these jobs. Idempotent: one that is over or unknown counts as cancelled."""

    @abstractmethod
    def pause(self, ids: Collection[str]) -> None:
        """Hold what waits, suspend what runs.

        A job that starts at this very moment may miss it (Slurm drops a signal to a step that is
        not up yet, and reports success): only :meth:`poll` tells, and asking again does no harm.

        Raises:
            NotPermitted: the message says who could.
        """

    @abstractmethod
    def resume(self, ids: Collection[str]) -> None:
        """Release what is held, continue what is suspended (as :meth:`pause`)."""

    def explain(self, log_tail: str) -> Outcome | None:
        """What the batch system's own lines at the end of a job's log say about its end, for the
        cases in which its answers do not (``Exceeded job memory limit``); ``None``: nothing."""
        return None

    def close(self) -> None:  # noqa: B027  (most schedulers hold nothing open)
        """Give back connections and sessions; running jobs are not touched."""
