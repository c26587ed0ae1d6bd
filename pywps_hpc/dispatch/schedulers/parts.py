"""Questions about many ids, asked a few at a time.

One id can break the question for all others: a server that stumbles over a damaged record, a
command that crashes on it. Such a question fails again and again while others are answered; then it
is asked in halves, until the ids that break it stand alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable

#: Failures in a row after which a question is asked in halves.
PATIENCE = 3
#: Most commands for that at once; what is left then has its turn the next time.
BUDGET = 32

Ask = Callable[[Sequence[str]], None]
#: Native id -> why it could not be asked about.
Unasked = dict[str, SchedulerUnavailable]


class NotStarted(SchedulerUnavailable):
    """The command certainly did not start: no question would be answered."""


class NotInstalled(NotStarted):
    """There is no such command: a site without accounting, for one."""


class Parts:
    """One kind of question. It remembers which ids break it, and which failed of late."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()  # by id, in a row
        self._broken: list[str] = []  # the one that was asked about longest ago comes first

    def ask(self, ids: Collection[str], size: int, ask: Ask) -> Unasked:
        """Ask about all of these.

        Args:
            ids: whom the question is about.
            size: most of them in one question.
            ask: asks about some, and keeps the answer.

        Returns:
            Those about whom nothing could be learned, while others were answered; with the error.

        Raises:
            SchedulerUnavailable: nobody was answered. In an outage this takes two commands, and
                now and then two more, to see whether it is one.
        """
        wanted = set(ids)
        broken = [job for job in self._broken if job in wanted]
        self._broken = []
        self._failures = Counter({job: self._failures[job] for job in wanted})
        failed: list[tuple[Sequence[str], SchedulerUnavailable]] = []
        answered = False
        for chunk in chunks(sorted(wanted.difference(broken)), size):
            error = self._try(chunk, ask)
            if error is not None:
                failed.append((chunk, error))
            answered = answered or error is None
            if not answered and len(failed) > 1:
                answered = self._is_answered(failed[0][0], ask)
                if not answered:
                    raise failed[0][1]
        if failed and not answered and not self._is_answered(failed[0][0], ask):
            raise failed[0][1]
        unasked: Unasked = {}
        budget = BUDGET
        for chunk, error in failed:
            if min(self._failures[job] for job in chunk) < PATIENCE:
                unasked.update(dict.fromkeys(chunk, error))
            else:
                budget = self._split(chunk, error, ask, budget, unasked)
        if broken:  # one of them each time: it may have been mended
            error = self._try(broken[:1], ask)
            still = broken[1:] if error is None else broken[1:] + broken[:1]
            known = error or SchedulerUnavailable("queries for it keep failing")
            unasked.update(dict.fromkeys(still, known))
            self._broken = still + self._broken
        return unasked

    def _try(self, chunk: Sequence[str], ask: Ask) -> SchedulerUnavailable | None:
        """Why these could not be asked about."""
        try:
            ask(chunk)
        except NotStarted:
            raise
        except SchedulerUnavailable as error:
            self._failures.update(chunk)
            return error
        for job in chunk:
            del self._failures[job]
        return None

    def _is_answered(self, chunk: Sequence[str], ask: Ask) -> bool:
        """Whether single ids of a question that fails again and again are answered: others each
        time, since they may be those that break it."""
        count = min(self._failures[job] for job in chunk)
        if len(chunk) < 2 or count % PATIENCE:
            return False
        turn = count // PATIENCE - 1
        for job in {chunk[turn % len(chunk)], chunk[-1 - turn % len(chunk)]}:
            try:
                ask([job])
            except SchedulerUnavailable:
                continue
            return True
        return False

    def _split(
        self,
        chunk: Sequence[str],
        error: SchedulerUnavailable,
        ask: Ask,
        budget: int,
        unasked: Unasked,
    ) -> int:
        """Find those that break this question; what is left of the budget."""
        parts = [(chunk, error)]
        while parts:
            part, error = parts.pop()
            if len(part) == 1:
                self._broken.append(part[0])
                unasked[part[0]] = error
                continue
            middle = len(part) // 2
            for half in (part[middle:], part[:middle]):
                budget -= 1
                if budget < 0:
                    unasked.update(dict.fromkeys(half, error))
                elif (trouble := self._try(half, ask)) is not None:
                    parts.append((half, trouble))
        return budget


def chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The ids in portions of at most this size."""
    for start in range(0, len(ids), max(size, 1)):
        yield ids[start : start + size]
