"""Changes of jobs that wait to be made together: a synced transaction each would take too long.

Only what may wait does. A change on which something else depends that cannot be taken back, such as
that a job is about to be submitted, is made by itself, before. After a kill in between no change
that waits is made, and the next dispatcher decides the same again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pywps_hpc.errors import LeadershipLost, TableUnavailable
from pywps_hpc.jobs import Change, ControlRequest, Job, JobStore, State
from pywps_hpc.timing import TIMING, Timing

#: Changes in one transaction: other writers wait for it.
MOST = 500


@dataclass(frozen=True)
class _Waiting:
    """A change that waits.

    Attributes:
        then: called once it is made.
    """

    change: Change
    then: Callable[[], None] | None


class PendingChanges:
    """Changes of jobs that are made together.

    Args:
        store: the job table.
        complain: told of a change that the table cannot take, with the job and the error.
        timing: how long one may wait.

    Attributes:
        made: how many were made.
    """

    def __init__(
        self,
        store: JobStore,
        complain: Callable[[Job, Exception], None],
        timing: Timing = TIMING,
    ) -> None:
        self._store, self._complain = store, complain
        self._longest = timing.change_delay
        self._waiting: list[_Waiting] = []
        self._since = 0.0
        self.made = 0

    def add(
        self,
        job: Job,
        to: State | None = None,
        *,
        request: ControlRequest | None = None,
        then: Callable[[], None] | None = None,
        **columns: Any,
    ) -> None:
        """Have a change made soon, see :class:`~pywps_hpc.jobs.Change`.

        Args:
            then: called once it is made; not at all if its job had changed meanwhile.

        Raises:
            LeadershipLost, TableUnavailable: those that wait could not be made.
        """
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(_Waiting(Change(job, to, columns, request), then))
        if len(self._waiting) >= MOST or time.monotonic() - self._since >= self._longest:
            self.flush()

    def flush(self) -> None:
        """Make those that wait now.

        Raises:
            LeadershipLost, TableUnavailable: they could not be made.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._apply(waiting)

    def forget(self) -> None:
        """Those that wait belong to a turn that failed: whether they are right is decided anew."""
        self._waiting.clear()

    def _apply(self, waiting: Sequence[_Waiting]) -> None:
        """In one transaction; where that fails because of one of them, in halves."""
        try:
            made = self._store.apply([one.change for one in waiting])
        except (LeadershipLost, TableUnavailable):
            raise
        except Exception as error:
            if len(waiting) == 1:
                self._complain(waiting[0].change.job, error)
                return
            half = len(waiting) // 2
            self._apply(waiting[:half])
            self._apply(waiting[half:])
            return
        self.made += sum(made)
        for one, is_made in zip(waiting, made, strict=True):
            if is_made and one.then is not None:
                one.then()
