"""One database with the job table: its transactions, and who may change something in it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pywps_hpc.errors import LeadershipLost
from pywps_hpc.jobs import versions
from pywps_hpc.jobs.database import Lock, begin, connect
from pywps_hpc.jobs.schema import dispatcher
from pywps_hpc.jobs.single import Asked, first, writing

_T = TypeVar("_T", bound="Table")
_HOLDER = sa.select(dispatcher.c.holder).with_for_update(read=True)


class Table:
    """The database, for the parts of :class:`~pywps_hpc.jobs.store.JobStore`.

    Args:
        url: SQLAlchemy database URL. SQLite is put into WAL mode and must lie on a local disk.
        timeout: seconds to wait for a server, and for a lock that somebody else holds.
        read_only: whether nothing is to be made or changed, not even a file.
    """

    def __init__(self, url: str, timeout: float = 15.0, *, read_only: bool = False) -> None:
        self.url, self.timeout, self.read_only = url, timeout, read_only
        self._engine: tuple[int, Engine] | None = None
        self._is_prepared = False
        self._holder: str | None = None
        self._leader_known = "", float("-inf")  # and when it was asked for

    @property
    def engine(self) -> Engine:
        """This process's engine: connections must not be shared across a fork (gunicorn)."""
        if self._engine is None or self._engine[0] != os.getpid():
            self._engine = os.getpid(), connect(self.url, self.timeout, read_only=self.read_only)
        return self._engine[1]

    def create(self) -> None:
        """Make the tables, or bring those of an earlier version to the present one.

        Raises:
            SchemaTooNew: they are of a later version.
            TableMissing, SchemaTooOld: that would have to be done, and this one only reads.
        """
        if self.read_only:
            versions.require(self.engine)
        else:
            versions.prepare(self.engine)
        self._is_prepared = True

    @contextmanager
    def _begin(
        self, *, write: bool = False, single: bool = False, lock: Lock | None = None
    ) -> Iterator[Connection]:
        """One transaction, see :func:`~pywps_hpc.jobs.database.begin`."""
        if not self._is_prepared:  # the database did not answer when this program started
            self.create()
        with begin(self.engine, write=write, single=single, lock=lock) as connection:
            if write:
                self._require_leadership(connection)
            yield connection

    @contextmanager
    def _writing(self, lock: Lock | None = None, patience: float | None = None) -> Iterator[Asked]:
        """One transaction that changes something, see :func:`~pywps_hpc.jobs.single.writing`."""
        if not self._is_prepared:
            self.create()
        with writing(self.engine, lock, patience) as asked:
            if self._holder is not None:
                found = asked.first(_HOLDER, {})
                if found is None or found["holder"] != self._holder:
                    raise LeadershipLost
            yield asked

    def _first(self, query: sa.Select[Any], given: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The first row that a statement finds, see :func:`~pywps_hpc.jobs.single.first`."""
        if not self._is_prepared:
            self.create()
        return first(self.engine, query, given)

    def _require_leadership(self, connection: Connection) -> None:
        """Until the transaction ends nobody can take the leadership over (see :meth:`led_by`)."""
        if self._holder is None:
            return
        if connection.execute(_HOLDER).scalar() != self._holder:
            raise LeadershipLost

    def led_by(self: _T, holder: str) -> _T:
        """The same table for a dispatcher: it changes jobs only while it leads.

        Whoever was stopped for long and goes on without knowing that it was replaced has each
        change refused by the same transaction that would make it.

        Args:
            holder: its name, as in :meth:`~pywps_hpc.jobs.leadership.Leadership.lead`.

        Returns:
            A job table of which every method that writes may raise :class:`LeadershipLost`.
        """
        led = copy.copy(self)
        led._engine, led._holder = (os.getpid(), self.engine), holder  # both share the connections
        return led
