"""Jobs that were just accepted are recorded: those that come at the same time in one transaction.

Each has limits of its own, and its own outcome. A row that the database refuses, whatever it is,
undoes the whole transaction; then each job is recorded in one of its own.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Engine

from pywps_hpc.errors import HpcError, TableUnavailable
from pywps_hpc.jobs import callbacks
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.jobs.database import TOO_MANY, Lock
from pywps_hpc.jobs.drain import Drained
from pywps_hpc.jobs.intake import Room
from pywps_hpc.jobs.job import Job, Limit, LimitReached
from pywps_hpc.jobs.leadership import Leadership
from pywps_hpc.jobs.rows import to_job, to_row
from pywps_hpc.jobs.schema import jobs
from pywps_hpc.jobs.single import Asked
from pywps_hpc.jobs.together import Entry, Late, Together

#: Jobs that one transaction records at most: it holds the lock for some milliseconds with so many.
MOST = 64
#: Any column may be given: a row has all of them.
_INSERT = jobs.insert()


@dataclass(frozen=True)
class _New:
    """A job that is to be recorded.

    Attributes:
        job: the job.
        row: its row.
        limits, urls, unless_drained: as of :meth:`Adding.add`.
    """

    job: Job
    row: Mapping[str, Any]
    limits: Sequence[Limit]
    urls: Mapping[Event, str]
    unless_drained: bool

    def record(self, asked: Asked, room: Room) -> None:
        """Record it in a transaction.

        Raises:
            Drained, LimitReached: nothing of it is recorded.
        """
        if self.limits or self.unless_drained:
            found = room.look(self.limits)
            if self.unless_drained and found.drain is not None:
                raise Drained(found.drain)
            if found.reached is not None:
                raise LimitReached(found.reached)
        asked.insert(_INSERT, self.row)
        callbacks.add(asked, self.job.id, self.urls)
        room.take(self.job)


_Take = Callable[[int], list[Entry[_New]]]
#: By whether the number of active jobs matters to them: of an engine, and so of one process.
_GROUPS: weakref.WeakKeyDictionary[Engine, dict[bool, Together[_New]]] = weakref.WeakKeyDictionary()


class Adding(Leadership):
    """How :class:`~pywps_hpc.jobs.store.JobStore` records new jobs."""

    def add(
        self,
        job: Job,
        limits: Sequence[Limit] = (),
        urls: Mapping[Event, str] | None = None,
        unless_drained: bool = False,
    ) -> Job:
        """Record a job that was just accepted, if no limit forbids it.

        Active jobs are counted in the transaction that records this one, and only one such
        transaction goes on at a time: however many come at once, no limit is exceeded.

        Args:
            urls: the addresses that are told of it, by the event.
            unless_drained: whether a service that is drained takes it no more.

        Returns:
            The job as recorded.

        Raises:
            Drained: the service is drained; it is not recorded.
            LimitReached: it would be one too many; it is not recorded.
        """
        now = time.time()
        row = to_row(job) | {"created": job.created or now, "changed": now}
        row["callbacks"] = len(urls or ())
        new = _New(job, row, limits, urls or {}, unless_drained)
        if self._holder is not None or not self._add_together(new):
            self._add_alone(new)
        return to_job(row)

    def _add_together(self, new: _New) -> bool:
        """Record it along with others; false if that has failed, and each is to be tried alone.

        Raises:
            Drained, LimitReached, TableUnavailable: as of :meth:`add`.
        """
        groups = _GROUPS.setdefault(self.engine, {True: Together(), False: Together()})
        latest = time.monotonic() + self.timeout
        try:
            entry = groups[bool(new.limits)].do(
                new,
                lambda own, take: self._add_all(own, take, latest - time.monotonic()),
                self.timeout,
            )
        except Late:
            raise TableUnavailable(TOO_MANY) from None
        if entry.error is not None:
            raise entry.error
        return entry.is_done

    def _add_all(self, own: Entry[_New], take: _Take, patience: float) -> None:
        """Record this one and all that have come when it is its turn to write."""
        entries, outcomes, is_whole = [own], [], False
        try:
            with self._writing(_lock(own.what), max(0.0, patience)) as asked:
                entries += take(MOST - 1)
                room = Room(asked)
                outcomes = [_recorded(each.what, asked, room) for each in entries]
                is_whole = True
        except BaseException as error:
            if is_whole:  # whether they are recorded is not known: nobody may try again
                for each in entries[1:]:
                    each.done(TableUnavailable(str(error).partition("\n")[0]))
            if is_whole or len(entries) == 1 or not isinstance(error, Exception):
                raise
            return
        for each, outcome in zip(entries, outcomes, strict=True):
            each.done(outcome)
        self._wake_leader()

    def _add_alone(self, new: _New) -> None:
        with self._writing(_lock(new)) as asked:
            new.record(asked, Room(asked))
        self._wake_leader()


def _recorded(new: _New, asked: Asked, room: Room) -> HpcError | None:
    """Why one is not recorded along with others; ``None`` if it is."""
    try:
        new.record(asked, room)
    except (Drained, LimitReached) as error:
        return error
    return None


def _lock(new: _New) -> Lock | None:
    return Lock.ADMISSION if new.limits else None
