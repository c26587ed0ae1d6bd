"""What a batch system says and understands: the part that a new batch system has to supply.

A :class:`Dialect` is facts and pure methods. Each method gives a :class:`Question`: a command, and
the function that reads its answer (return code, standard output and standard error together). All
input and output is :class:`~pywps_hpc.dispatch.schedulers.command.CommandScheduler`'s.

How a reader of answers reports what it finds:

* what it can read as a result, it returns;
* no answer, half an answer, or one that makes no sense: :class:`~.base.SchedulerUnavailable`
  (a row that is cut off must never count as a job that is gone);
* a clear no: :class:`~.base.SubmissionRefused` or :class:`~.base.NotPermitted`;
* any other answer to a submission: :class:`~.base.SubmissionPostponed` (see :func:`turned_down`).
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from pywps_hpc.dispatch.schedulers.accounting import Accounted
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Remedies,
    Resources,
    SchedulerError,
    SubmissionPostponed,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.messages import Messages

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Action(Enum):
    """What can be done to jobs."""

    CANCEL = "cancel"
    HOLD = "hold"  # a waiting job
    RELEASE = "release"  # a held job
    SUSPEND = "suspend"  # a running job
    RESUME = "resume"  # a suspended job


@dataclass(frozen=True)
class Question(Generic[Answer]):
    """A command and how to read its answer.

    Attributes:
        argv: program and arguments.
        read: ``read(returncode, stdout, stderr)``; raises as the module's docstring says.
        stdin: what the command reads.
    """

    argv: Sequence[str]
    read: Callable[[int, str, str], Answer]
    stdin: str = ""


@dataclass(frozen=True)
class Drmaa:
    """What is special about a batch system's DRMAA library.

    Attributes:
        signs: parts, in lower case, by which its messages are distinguished from another system's.
        remedies: what an administrator can do when the library does not open its session.
        remote_command: from the path of the job's script to ``drmaa_remote_command``.
        output_path: from the path of the log to ``drmaa_output_path``.
        whole_array: what the library does to a whole array when told to do it to one element.
        arrays: whether ``drmaa_run_bulk_jobs`` makes an array.
    """

    signs: tuple[str, ...]
    remedies: Remedies = ()
    remote_command: Callable[[str], str] = str
    output_path: Callable[[str], str] = str
    whole_array: frozenset[Action] = frozenset()
    arrays: bool = True


class Dialect(ABC):
    """One batch system's commands, without any input or output."""

    #: Name of the batch system, as in the configuration (``slurm``).
    system: str = ""
    #: What its commands print when they fail.
    messages: Messages
    #: What an administrator can do when it does not answer.
    remedies: Remedies = ()
    #: Its DRMAA library; ``None``: it is not used through one.
    drmaa: Drmaa | None = None
    #: Exit codes of a query that are answers, whatever else stands on standard error.
    answers: frozenset[int] = frozenset({0})
    #: Most ids in one command; ``poll_chunk`` 0 means that the question needs no ids at all.
    poll_chunk: int = 0
    #: In the id of an array's element: its index.
    index: re.Pattern[str]
    #: Most names in one look-up.
    find_chunk: int = 50
    recent_chunk: int = 1
    history_chunk: int = 100
    control_chunk: int = 100
    accounted_chunk: int = 500  # far below what a command line holds
    #: Whether a suspended job is to be resumed before it is cancelled.
    cancels_running: bool = False
    #: What :meth:`why` tells of jobs that can never start as they stand.
    hopeless_waits: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._unknown: set[str] = set()

    @abstractmethod
    def header(self, job: BatchJob) -> list[str]:
        """The lines at the top of the job's script that tell the batch system what it needs.

        Raises:
            ValueError: a value would leave its line or its option.
        """

    def probe(self) -> Question[dict[str, JobStatus]]:
        """A cheap question that proves the commands, their configuration and the server; one that
        is asked anyway, so that whatever restricts commands (a forced command) lets it pass."""
        return self.find("probe")[0]

    def version(self) -> Question[str] | None:
        """The version of the commands; a site need not allow the question."""
        return None

    @abstractmethod
    def submit(self, job: BatchJob) -> Question[str]:
        """Hand over a job or an array; the answer is its id. The script is its standard
        input."""

    def takes_arrays(self, need: Resources) -> bool:
        """Whether jobs with these resources may go as an array."""
        return True

    @abstractmethod
    def element(self, array: str, array_index: int) -> str:
        """The id of an array's element, from the array's own and the index."""

    @abstractmethod
    def find(self, *names: str) -> Sequence[Question[dict[str, JobStatus]]]:
        """Where to look for jobs of these names, in order: the queue, then accounting. Elements of
        arrays are answered one by one, each with the name of its array."""

    @abstractmethod
    def poll(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        """The queue; the answer may hold other jobs of the same user, too."""

    def why(self, ids: Sequence[str]) -> Question[Mapping[str, str]] | None:
        """Why jobs wait, by id, as clauses for clients; ``None`` where :meth:`poll` tells it."""
        return None

    def accounted(self, ids: Sequence[str]) -> Question[Mapping[str, Accounted]] | None:
        """What jobs that have ended used, by id; ``None`` where that is not known."""
        return None

    def recent(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]] | None:
        """Everything the server itself still knows of jobs that have just ended, without delay."""
        return None

    def history(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]] | None:
        """Accounting, which may lag; a site without it answers with nothing."""
        return None

    @abstractmethod
    def control(
        self, action: Action, ids: Sequence[str], detail: str = ""
    ) -> Sequence[Question[None]]:
        """Ways to do this, best first; the next one is for those who may not use the former.

        A job that is unknown, over, or already in that state is no error. ``detail`` is what the
        last poll said of all these jobs (:attr:`~.base.JobStatus.detail`), where one was made.
        """

    def native_specification(self, job: BatchJob) -> str:
        """The same as the header, in the syntax of this system's DRMAA library."""
        raise NotImplementedError(f"{self.system} is not used through DRMAA")

    def explain(self, log_tail: str) -> Outcome | None:
        """What the batch system's own lines at the end of a job's log say about its end."""
        return None

    def unknown_state(self, text: str) -> JobStatus:
        """A state that is not known: logged once, and the job counts as alive."""
        if text not in self._unknown:
            self._unknown.add(text)
            log.warning("%s: unknown job state %r, treated as running", self.system, text)
        return JobStatus(Phase.RUNNING, detail=text)


def turned_down(system: str, reason: str, output: str, messages: Messages) -> SchedulerError:
    """The error for a submission that the batch system answered by a no.

    Only what is known to be final ends a job: the messages for trouble that passes are more than
    anybody has measured, and differ between releases and sites.

    Args:
        system: the batch system's name, for the message.
        reason: why, in one sentence.
        output: all that the command printed.
        messages: the batch system's.
    """
    if messages.passing.search(output):
        message = f"{system} does not accept the job for now: {reason}"
        return SubmissionPostponed(message, answered=True)
    if messages.final.search(output):
        return SubmissionRefused(f"{system} refused the job: {reason}")
    return SubmissionPostponed(f"{system} refused the job: {reason}", answered=True, passing=False)
