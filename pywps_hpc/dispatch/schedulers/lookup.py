"""Where jobs are of which only the names are known: in the queue, or else in accounting."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.dialect import Dialect, Question
from pywps_hpc.dispatch.schedulers.parts import NotInstalled, chunks

#: Name and array index of a job -> its native ids.
Found = dict[tuple[str, int], list[str]]


class LookUp:
    """One look-up of many jobs.

    Args:
        dialect: the batch system's.
        ask: asks a question.
        lacks: called if this site has no accounting.
    """

    def __init__(
        self,
        dialect: Dialect,
        ask: Callable[[Question[Any]], Any],
        lacks: Callable[[NotInstalled], None],
    ) -> None:
        self._dialect = dialect
        self._ask = ask
        self._lacks = lacks
        self._found: Found = {}

    def find(
        self, wanted: Collection[tuple[str, int]]
    ) -> tuple[Found, SchedulerUnavailable | None]:
        """As :meth:`~.base.Scheduler.find_all`."""
        for names in chunks(sorted({name for name, _ in wanted}), self._dialect.find_chunk):
            these = {(name, index) for name, index in wanted if name in names}
            unasked = self._look_up(these)
            if unasked is not None:
                return self._found, unasked
            # "Not found" is an answer only if queue and accounting were asked.
            self._found |= {pair: [] for pair in these - self._found.keys()}
        return self._found, None

    def _look_up(self, wanted: set[tuple[str, int]]) -> SchedulerUnavailable | None:
        """Look into the queue, and for those that are not there into accounting; why some of them
        are neither found nor known to be nowhere."""
        unasked: SchedulerUnavailable | None = None
        for in_queue in (True, False):
            missing = sorted({name for name, _ in wanted - self._found.keys()})
            if not missing:
                return None
            queue, *accounting = self._dialect.find(*missing)
            for question in [queue] if in_queue else accounting:
                try:
                    self._look(question, wanted)
                except NotInstalled as error:
                    if in_queue:  # a site may lack accounting, but not the queue
                        raise
                    self._lacks(error)
                except SchedulerUnavailable as error:
                    unasked = error
        return unasked if wanted - self._found.keys() else None

    def _look(self, question: Question[Any], wanted: set[tuple[str, int]]) -> None:
        found: Found = {}
        for job, status in self._ask(question).items():
            match = self._dialect.index.search(job)
            index = int(match.group(1)) if match else 0
            found.setdefault((status.name, index), []).append(job)
        self._found |= {pair: found[pair] for pair in found.keys() & wanted - self._found.keys()}
