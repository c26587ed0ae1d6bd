"""What every batch system can be asked, in the same terms for all.

The rest of the dispatcher knows only this module. A scheduler answers with :class:`JobStatus`,
which says where a job stands (:class:`Phase`) and, once it is over, why (:class:`Outcome`). Two
things are deliberately *not* states: "the scheduler does not list this job" (the id is missing from
the answer) and "the scheduler could not be asked" (:class:`SchedulerUnavailable`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pywps_hpc.errors import HpcError
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


class Phase(Enum):
    """Where a job stands in the batch system."""

    QUEUED = "queued"  # waits for resources or its turn
    HELD = "held"  # waits until somebody releases it
    RUNNING = "running"
    SUSPENDED = "suspended"  # started, then stopped; goes on when resumed
    FINISHED = "finished"  # over; the outcome says how


class Outcome(Enum):
    """Why a finished job ended, as far as the batch system knows."""

    EXITED = "exited"  # by itself, see exit_code (0 is the only good one)
    SIGNALLED = "signalled"  # killed by a signal of its own, see signal
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    NODE_FAILURE = "node failure"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    COULD_NOT_START = "could not start"
    UNKNOWN = "unknown"  # over, but the batch system does not say how


@dataclass(frozen=True)
class JobStatus:
    """One answer about one job.

    Attributes:
        phase: where the job stands.
        outcome: why it ended; ``None`` unless ``phase`` is ``FINISHED``.
        exit_code: the job script's exit code, 0 to 255; ``None`` where not known.
        signal: number of the signal that ended it; ``None`` where none did.
        detail: the scheduler's own text (state, reason), for the user and the log.
        waits: why a waiting job waits, for its client: plain words that go on "it waits: …"; empty
            where the batch system does not say.
        hopeless: a waiting job that can never start as it stands (e.g. ``PartitionTimeLimit``).
        maintenance: a waiting job whose queue the administrators have closed for now.
        by_signal: suspended only as far as somebody sent the job a stop signal: the batch system
            does not know whether it reached all processes, or any.
        restarts: how often the batch system itself started the job anew.
        elapsed: seconds from its latest start to its end, without those for which it was suspended;
            ``None`` where not told.
        cpu_seconds: of processor time, where whoever supervised the job measured it; ``None`` where
            not.
        name: the job's name, for an element that of its array; empty where the answer lacks it.
            Ids are used again: the name distinguishes a job from an earlier one of the same id.
    """

    phase: Phase
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    waits: str = ""
    hopeless: bool = False
    maintenance: bool = False
    by_signal: bool = False
    restarts: int = 0
    elapsed: int | None = None
    cpu_seconds: float | None = None
    name: str = ""

    @classmethod
    def ended(cls, end: Mapping[str, Any], **more: Any) -> JobStatus:
        """Of a job that has ended, as the program that supervised it wrote that down.

        Args:
            end: ``outcome`` and ``detail``, and ``exit_code``, ``signal`` and ``cpu_seconds`` where
                there are any.
            more: further fields.
        """
        return cls(
            Phase.FINISHED,
            Outcome(end["outcome"]),
            exit_code=end.get("exit_code"),
            signal=end.get("signal"),
            detail=end["detail"],
            cpu_seconds=end.get("cpu_seconds"),
            **more,
        )


@dataclass(frozen=True)
class WarmContainer:
    """The container in which such a process runs, with its own folder at the spool's place.

    Attributes:
        program, arguments: of its command, before and after the bind of that folder.
        exports: variables for the command.
        image: what it runs; another file there is another container.
        spool: where the jobs' folders are.
        network: whether jobs use the network.
        shown: folders of this host that are bound, by their paths inside.
        writable: those of them to write to.
        prefix: under which the command looks for variables of the container.
    """

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    exports: Mapping[str, str]
    image: str
    spool: str
    network: bool
    shown: tuple[str, ...]
    writable: tuple[str, ...]
    prefix: str


@dataclass(frozen=True)
class Warm:
    """What a process that has imported everything already needs to become a job's launcher, as the
    batch script would start it.

    Attributes:
        python: the interpreter.
        paths: folders with modules of the service.
        options, arguments: of the launcher: the same for jobs with these settings, and this job's.
        environment: the job's, as far as it is declared.
        home: its ``HOME`` unless that is.
        folder: where it starts.
        container: in which it starts; ``None``: in none.
    """

    python: str
    paths: tuple[str, ...]
    options: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    home: str
    folder: str
    container: WarmContainer | None = None


@dataclass(frozen=True)
class BatchJob:
    """One job, or one array of jobs, to hand to a batch system.

    Attributes:
        name: the name it carries in the queue: a letter and at most 14 more of ``[a-z0-9]``, which
            all batch systems accept. It is the job's identity: :meth:`Scheduler.find` looks for it.
        comment: the full job id, shown where the batch system has a field for it.
        script: the complete shell script, header lines included.
        path: absolute path, on the execution host, of the script's copy in the job's folder, for
            the ways of submission that take no text (DRMAA).
        log: absolute path, on the execution host, that receives standard output and error; for an
            array the folder in which ``log-7`` belongs to the element of index 7.
        array_indices: the indices of an array's elements, ascending, from 1 on; empty: one job. The
            batch system may be given all indices between the first and the last.
        resources: the same resources that the script's header states, for paths that cannot use
            the header (DRMAA's native specification).
        warm: how it is started without the script; ``None``: by the script only.
        process: whose section has its settings; empty: the defaults.
    """

    name: str
    script: str
    log: str
    path: str = ""
    comment: str = ""
    array_indices: tuple[int, ...] = ()
    resources: Resources = field(default_factory=Resources)
    warm: Warm | None = None
    process: str = ""


class SchedulerError(HpcError):
    """The batch system refused, or its answer makes no sense.

    Attributes:
        command: what was asked (a command line, or the name of a DRMAA call).
        returncode: its exit status, if it had one.
        output: what it printed, for the administrator's log; never for clients.
    """

    def __init__(
        self,
        message: str,
        *,
        command: str = "",
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message)
        self.command = command
        self.returncode = returncode
        self.output = output


class SchedulerUnavailable(SchedulerError):
    """The question could not be asked or was not answered; it says nothing about any job."""

    transient = True


class SubmissionUncertain(SchedulerUnavailable):
    """The job may or may not have been accepted: look it up by name before trying again."""


class SubmissionPostponed(SchedulerUnavailable):
    """The job was certainly not accepted now; the same request may be later.

    Attributes:
        answered: whether the batch system itself said so, which concerns jobs like this one;
            otherwise nobody could be asked, which concerns all.
        passing: whether its reason is known to pass (a full queue, a partition under maintenance).
            One that is not known is given time to pass, but not for ever.
    """

    def __init__(
        self,
        message: str,
        *,
        answered: bool = False,
        passing: bool = True,
        command: str = "",
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message, command=command, returncode=returncode, output=output)
        self.answered = answered
        self.passing = passing


class SubmissionRefused(SchedulerError):
    """The batch system said no for a reason that is known to stay: an unknown partition, a limit
    that this job can never keep."""


class NotPermitted(SchedulerError):
    """This account may not do that; the message says who could."""


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
    def is_telling(self) -> bool:
        """Whether :meth:`told` may have something to say soon."""
        return False

    def told(self) -> dict[str, JobStatus]:
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


def merge(*answers: Mapping[str, JobStatus]) -> dict[str, JobStatus]:
    """Later answers win: ``merge(poll, history)`` keeps what only one of them knows."""
    merged: dict[str, JobStatus] = {}
    for answer in answers:
        merged.update(answer)
    return merged
