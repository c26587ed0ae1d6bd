"""A batch system in memory, with switches for what can go wrong between it and the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Scheduler,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)

QUEUED = JobStatus(Phase.QUEUED)
RUNNING = JobStatus(Phase.RUNNING)
DONE = JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=0)


@dataclass
class FakeScheduler(Scheduler):
    """Ids are ``1``, ``2``, …; the test itself moves jobs on by :meth:`say`.

    Attributes:
        unavailable: no question is answered.
        accounting_unavailable: nothing is known of jobs that left the queue, for now.
        drop_reply: a submission has its effect, but is answered by a timeout.
        late: such a job shows only when the test calls :meth:`arrive`.
        refuse: words with which every submission is refused.
        postpone: asked for each job or array: what keeps it out for now, ``None`` if nothing.
        refuse_arrays: words with which every array is refused.
        not_permitted: words with which every pause and resume is refused.
        on_submit: called with the job before a submission is answered.
    """

    system = "local"
    unavailable: bool = False
    accounting_unavailable: bool = False
    drop_reply: bool = False
    late: bool = False
    refuse: str = ""
    postpone: Callable[[BatchJob], SubmissionPostponed | None] = lambda job: None
    refuse_arrays: str = ""
    not_permitted: str = ""
    on_submit: Callable[[BatchJob], None] = lambda job: None
    jobs: dict[str, BatchJob] = field(default_factory=dict)
    queue: dict[str, JobStatus] = field(default_factory=dict)
    accounting: dict[str, JobStatus] = field(default_factory=dict)
    indices: dict[str, int] = field(default_factory=dict)
    under_way: list[BatchJob] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def probe(self) -> str:
        if self.unavailable:
            raise SchedulerUnavailable("cannot connect to server")
        return "fake 1.0"

    def submit(self, job: BatchJob) -> list[str]:
        self._asked("submit")
        self.on_submit(job)
        if words := self.refuse or (job.array_indices and self.refuse_arrays):
            raise SubmissionRefused(words)
        if (trouble := self.postpone(job)) is not None:
            raise trouble
        if self.drop_reply:
            self.under_way.append(job)
            if not self.late:
                self.arrive()
            raise SubmissionUncertain("Socket timed out")
        return self._take(job)

    def find(self, name: str, array_index: int = 0) -> list[str]:
        self._asked("find")
        return [
            number
            for number, job in self.jobs.items()
            if job.name == name and self.indices.get(number, 0) == array_index
        ]

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        self._asked("poll")
        return {number: self.queue[number] for number in ids if number in self.queue}

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        self._asked("history")
        if self.accounting_unavailable:
            raise SchedulerUnavailable("accounting does not answer")
        return {number: self.accounting[number] for number in ids if number in self.accounting}

    def cancel(self, ids: Collection[str]) -> None:
        self._asked("cancel")
        self.cancelled += ids

    def pause(self, ids: Collection[str]) -> None:
        self._asked("pause")
        self._permit()
        held = {Phase.QUEUED: Phase.HELD, Phase.RUNNING: Phase.SUSPENDED}
        for number in ids:
            phase = self.queue[number].phase
            self.queue[number] = JobStatus(held.get(phase, phase))

    def resume(self, ids: Collection[str]) -> None:
        self._asked("resume")
        self._permit()
        released = {Phase.HELD: Phase.QUEUED, Phase.SUSPENDED: Phase.RUNNING}
        for number in ids:
            phase = self.queue[number].phase
            self.queue[number] = JobStatus(released.get(phase, phase))

    def explain(self, log_tail: str) -> Outcome | None:
        return Outcome.MEMORY_LIMIT if "Exceeded job memory limit" in log_tail else None

    def say(self, number: str, status: JobStatus) -> None:
        """What the queue answers about this job from now on."""
        self.queue[number] = status

    def forget(self, number: str, last: JobStatus | None = None) -> None:
        """The job leaves the queue; accounting knows ``last`` of it."""
        self.queue.pop(number, None)
        if last is not None:
            self.accounting[number] = last

    def arrive(self) -> None:
        """Submissions that were under way show in the queue."""
        for job in self.under_way:
            self._take(job)
        self.under_way.clear()

    def _take(self, job: BatchJob) -> list[str]:
        taken = []
        for index in job.array_indices or (0,):
            number = str(len(self.jobs) + 1)
            self.jobs[number] = job
            self.indices[number] = index
            self.queue[number] = replace(QUEUED)
            taken.append(number)
        return taken

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.unavailable:
            raise SchedulerUnavailable("cannot connect to server")

    def _permit(self) -> None:
        if self.not_permitted:
            raise NotPermitted(self.not_permitted)
