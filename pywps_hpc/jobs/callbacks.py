"""Who is to be told of a job at an address of its own, and how often that was tried.

Kept in the database: whoever leads next goes on with it. A callback is *due* from the moment at
which the job's row tells its event, by the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pywps_hpc.jobs.job import State
from pywps_hpc.jobs.schema import callbacks
from pywps_hpc.jobs.single import Asked
from pywps_hpc.jobs.table import Table

#: Of one that is due at once, whatever the clocks of those who write and read it.
AT_ONCE = 1.0
_INSERT = callbacks.insert()


class Event(Enum):
    """What is told."""

    IN_PROGRESS = "inProgress"  # the state of the job has changed, and it is not over
    SUCCESS = "success"
    FAILED = "failed"  # or dismissed


#: What the new state of a job is the event of.
_EVENTS = {
    State.QUEUED: Event.IN_PROGRESS,
    State.RUNNING: Event.IN_PROGRESS,
    State.PAUSED: Event.IN_PROGRESS,
    State.SUCCEEDED: Event.SUCCESS,
    State.FAILED: Event.FAILED,
    State.DISMISSED: Event.FAILED,
}
_LAST = frozenset({Event.SUCCESS, Event.FAILED})


@dataclass(frozen=True)
class Callback:
    """An address that is told of one event of a job.

    Attributes:
        job: the job's id.
        event: of which it is told.
        url: the address.
        tries: how often that was tried since the event.
        due: when it is to be tried next, in seconds since the epoch; 0: the event has yet to come.
    """

    job: str
    event: Event
    url: str
    tries: int = 0
    due: float = 0.0

    @property
    def host(self) -> str:
        """The name or address of its receiver."""
        return host_of(self.url)


def host_of(url: str) -> str:
    """The host that an address names."""
    return (urlsplit(url).hostname or "")[:255]


class Callbacks(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` keeps of callbacks."""

    def due_callbacks(
        self, now: float, longest: float, *, besides: Collection[str] = (), limit: int
    ) -> list[Callback]:
        """Callbacks to be sent now, those that were tried least first.

        Args:
            now: seconds since the epoch.
            longest: seconds that lie between two tries at most: who is due later than that became
                so by a clock that was wrong.
            besides: hosts that are left out.
            limit: how many at most.
        """
        query = (
            sa.select(callbacks)
            .where(callbacks.c.due > 0)
            .where(sa.or_(callbacks.c.due <= now, callbacks.c.due > now + longest))
            .where(callbacks.c.host.not_in(besides))
            .order_by(callbacks.c.tries, callbacks.c.due, callbacks.c.job)
            .limit(limit)
        )
        with self._begin() as connection:
            return [_of_row(row) for row in connection.execute(query).mappings()]

    def callbacks_of(self, job_id: str) -> list[Callback]:
        """Those of a job that are still to be sent, or whose event has yet to come."""
        query = sa.select(callbacks).where(callbacks.c.job == job_id).order_by(callbacks.c.event)
        with self._begin() as connection:
            return [_of_row(row) for row in connection.execute(query).mappings()]

    def try_callback(self, callback: Callback, due: float) -> bool:
        """Count a try, before it is made: whoever is killed meanwhile tries again later.

        Args:
            callback: as last read.
            due: when the next try is due, should this one fail.

        Returns:
            Whether it is still as it was read.
        """
        values = {"tries": callback.tries + 1, "due": due}
        with self._begin(write=True) as connection:
            statement = callbacks.update().where(*_same(callback)).values(**values)
            return connection.execute(statement).rowcount == 1

    def close_callback(self, callback: Callback) -> bool:
        """It was sent, or is given up; false if its event has come again meanwhile.

        Args:
            callback: with the number of tries and the time of the next one that it has now.
        """
        if callback.event in _LAST:
            statement: sa.Delete | sa.Update = callbacks.delete().where(*_same(callback))
        else:
            statement = callbacks.update().where(*_same(callback)).values(tries=0, due=0.0)
        with self._begin(write=True) as connection:
            return connection.execute(statement).rowcount == 1


def add(asked: Asked, job_id: str, urls: Mapping[Event, str]) -> None:
    """Record the addresses of a job."""
    for event, url in urls.items():
        row = {"job": job_id, "event": event.value, "url": url, "host": host_of(url)}
        asked.insert(_INSERT, row | {"tries": 0, "due": 0.0})


def came(connection: Connection, job_id: str, state: State) -> None:
    """A job has this new state: let those be told that want to know."""
    event = _EVENTS.get(state)
    if event is None:
        return
    own = callbacks.c.job == job_id
    if event in _LAST:  # nothing else will ever be true of it
        connection.execute(callbacks.delete().where(own, callbacks.c.event != event.value))
    statement = callbacks.update().where(own, callbacks.c.event == event.value)
    connection.execute(statement.values(tries=0, due=AT_ONCE))


def forget(connection: Connection, job_id: str) -> None:
    """The job is removed: nobody is told of it any more."""
    connection.execute(callbacks.delete().where(callbacks.c.job == job_id))


def _same(callback: Callback) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        callbacks.c.job == callback.job,
        callbacks.c.event == callback.event.value,
        callbacks.c.tries == callback.tries,
        callbacks.c.due == callback.due,
    )


def _of_row(row: sa.RowMapping) -> Callback:
    return Callback(row["job"], Event(row["event"]), row["url"], row["tries"], row["due"])
