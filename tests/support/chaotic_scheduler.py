"""A batch system that does to a dispatcher what real ones were seen to do, driven by a seed.

The truth is in :mod:`nodes`; what is answered here need not be the truth. What a fault may do is
bounded, or nobody could be right: a job that is there is missing from all answers to one dispatcher
for less than its grace; accounting does not lie.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from fake_scheduler import FakeScheduler
from invariants import Broken, Place, Violation
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from simulated_cluster import Entry, Nodes

#: What can be the matter with it while it is switched on; each then happens now and then.
FAULTS = (
    "unavailable",  # no question is answered
    "postponed",  # no further job is taken for now
    "refused",  # a job is refused for good
    "arrays refused",
    "reply lost, job taken",
    "reply lost, job not taken",
    "job shows late",  # one whose reply was lost, maybe only after the dispatcher's patience
    "submission doubled",
    "jobs not listed",  # for a while, though they are there
    "states outdated",
    "order changed",
    "accounting does not answer",
    "accounting off",
    "accounting late",
    "queue forgets at once",
    "orders lost",  # cancel, pause and resume succeed and do nothing
    "orders late",
    "hold does nothing",  # to a running job
    "not permitted",
)


@dataclass
class ChaoticScheduler(Nodes, FakeScheduler):
    """See the module.

    Attributes:
        patience: seconds for which a job that is there may be missing from the answers.
        asker: which dispatcher asks.
        found: promises that the dispatcher broke.
        taken_back: whether who asks now was held up while another dispatcher led.
    """

    patience: float = field(kw_only=True)
    asker: str = ""
    found: list[Violation] = field(default_factory=list)
    taken_back: bool = False
    _unsure: set[Place] = field(default_factory=set)  # given to us, and not looked for since

    # What the dispatcher asks

    def submit(self, job: BatchJob) -> list[str]:
        places = [(job.name, place) for place in job.array_indices or (0,)]
        self._has_looked(job, places)
        if self._happens("unavailable"):
            raise SubmissionPostponed("cannot connect to server")
        if self._happens("postponed"):
            raise SubmissionPostponed("too many jobs for now")
        if self._happens("refused", 0.3) or (
            job.array_indices and self._happens("arrays refused", 1)
        ):
            raise SubmissionRefused("Invalid specification")
        if self._happens("reply lost, job not taken"):
            raise SubmissionUncertain("Socket timed out")
        appears = self.clock()
        lost = self._happens("reply lost, job taken")
        if lost and self._happens("job shows late"):
            appears += self.chance.uniform(1, 2 * self.patience)
        taken = self._accept(job, appears)
        if not self.taken_back:  # whoever leads now cannot know of it: the launcher's lease decides
            self._unsure.update(places)
        if self._happens("submission doubled", 0.3):
            taken = self.chance.choice((taken, self._accept(job, self.clock())))
        if lost:
            raise SubmissionUncertain("Socket timed out")
        return taken

    def find(self, name: str, array_index: int = 0) -> list[str]:
        self._ask()
        now = self.clock()
        found = [
            entry.number
            for entry in self.entries.values()
            if entry.place == (name, array_index)
            and entry.appears <= now
            and (entry.listed or entry.known_from <= now)
        ]
        self._unsure.discard((name, array_index))
        if self._happens("order changed"):
            self.chance.shuffle(found)
        return found

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        self._ask()
        known = [self.entries[number] for number in ids]
        if self._happens("order changed"):
            self.chance.shuffle(known)
        answer = {entry.number: self._answer(entry) for entry in known}
        return {number: status for number, status in answer.items() if status is not None}

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        self._ask()
        if self._happens("accounting does not answer"):
            raise SchedulerUnavailable("accounting does not answer")
        if self._happens("accounting off", 1):
            return {}
        now = self.clock()
        return {
            number: self.entries[number].status
            for number in ids
            if self.entries[number].over and self.entries[number].known_from <= now
        }

    def cancel(self, ids: Collection[str]) -> None:
        self._order(ids, self._end_by_order)

    def pause(self, ids: Collection[str]) -> None:
        self._permission()
        self._order(ids, self._stand_still)

    def resume(self, ids: Collection[str]) -> None:
        self._permission()
        self._order(ids, self._go_on)

    # Orders

    def _order(self, ids: Collection[str], carry_out: Callable[[Entry], None]) -> None:
        self._ask()
        for number in ids:
            entry = self.entries[number]
            if entry.over or not entry.listed or self._happens("orders lost"):
                continue
            if self._happens("orders late"):
                entry.due.append(carry_out)
            else:
                carry_out(entry)

    # Answers

    def _ask(self) -> None:
        if self._happens("unavailable"):
            raise SchedulerUnavailable("cannot connect to server")

    def _permission(self) -> None:
        if self._happens("not permitted"):
            raise NotPermitted("an operator of the cluster may do this")

    def _answer(self, entry: Entry) -> JobStatus | None:
        now = self.clock()
        if not entry.listed or entry.appears > now:
            return None
        missed = entry.missed.setdefault(self.asker, now)
        may_be_missed = now - missed < 0.9 * self.patience
        if may_be_missed and self._happens("jobs not listed"):
            return None
        del entry.missed[self.asker]
        if self._happens("states outdated"):
            then = now - self.chance.uniform(0, 30)
            return next((old for at, old in reversed(entry.past) if at <= then), entry.past[0][1])
        return entry.status

    def _has_looked(self, job: BatchJob, places: Collection[Place]) -> None:
        """Nobody gives us a job a second time without having asked whether we have it."""
        if self.taken_back:
            return
        for place in self._unsure.intersection(places):
            words = f"{place} was submitted again without a look for it"
            self.found.append(Violation(Broken.SUBMITTED_AGAIN, job.comment, words))
