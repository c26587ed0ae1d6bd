"""The leadership in the database: who takes it, keeps it by a heartbeat, and gives it up."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import sqlalchemy as sa

from pywps_hpc.errors import TableUnavailable
from pywps_hpc.jobs.database import clock
from pywps_hpc.jobs.leader import Leader, Reach, leader_of
from pywps_hpc.jobs.rows import storable
from pywps_hpc.jobs.schema import dispatcher
from pywps_hpc.jobs.table import Table
from pywps_hpc.jobs.wakeup import wake
from pywps_hpc.timing import TIMING

_ROLE = "dispatcher"
_DISPATCHER = sa.select(dispatcher)


class Leadership(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` keeps of the dispatcher in charge."""

    def lead(
        self,
        holder: str,
        lease: float,
        message: str = "",
        reach: Reach | None = None,
        service: str = "",
    ) -> bool:
        """Take or keep the leadership, and send a heartbeat.

        Silence is told by the database's clock, never by those of two hosts. A heartbeat from the
        future, left before that clock was set back, is none.

        Args:
            holder: who asks; unique to a process.
            lease: seconds of silence after which somebody else may take over.
            message: what the dispatcher has to say ("cannot reach slurmctld").
            reach: whether it reaches the batch system.
            service: what tells its service from others.

        Returns:
            Whether ``holder`` is the dispatcher now.
        """
        with self._begin(write=True) as connection:
            now, heartbeat = clock(connection), dispatcher.c.heartbeat
            own = _row(holder, now, message, reach or Reach(), service)
            mine = sa.or_(
                dispatcher.c.holder == holder, heartbeat < now - lease, heartbeat > now + lease
            )
            took = sa.case((dispatcher.c.holder == holder, dispatcher.c.since), else_=time.time())
            take = dispatcher.update().where(dispatcher.c.role == _ROLE, mine)
            take = take.values(own | {"since": took})
            if connection.execute(take).rowcount == 1:
                return True
        try:
            with self._begin(write=True) as connection:
                first = own | {"role": _ROLE, "since": time.time()}
                connection.execute(dispatcher.insert().values(first))
        except sa.exc.IntegrityError:  # somebody holds it
            return False
        return True

    def keep_leading(
        self, holder: str, message: str = "", reach: Reach | None = None, service: str = ""
    ) -> bool:
        """Send the heartbeat of whoever leads; never take the leadership from another one, however
        long it has been silent: in the middle of its work a dispatcher knows the jobs as they were
        before the other one led.

        Args:
            holder, message, reach, service: as of :meth:`lead`.

        Returns:
            Whether ``holder`` still leads.
        """
        with self._begin(write=True) as connection:
            own = _row(holder, clock(connection), message, reach or Reach(), service)
            mine = dispatcher.c.role == _ROLE, dispatcher.c.holder == holder
            return connection.execute(dispatcher.update().where(*mine).values(own)).rowcount == 1

    def resign(self, holder: str) -> None:
        """Give the leadership up, so that a standby need not wait for the lease to run out."""
        with self._begin(write=True) as connection:
            connection.execute(dispatcher.delete().where(dispatcher.c.holder == holder))

    def leader(self) -> str:
        """Who leads; empty if nobody does."""
        with self._begin() as connection:
            return connection.execute(sa.select(dispatcher.c.holder)).scalar() or ""

    def _wake_leader(self) -> None:
        """Let the dispatcher look at the table now, if it runs on this host; otherwise it does so
        before long. Raises nothing: what there is to see has been recorded."""
        holder, asked = self._leader_known
        age = time.monotonic() - asked
        if age < TIMING.leader_known and wake(holder):
            return
        if holder and age < TIMING.leader_unheard:
            return
        with contextlib.suppress(TableUnavailable):
            self._leader_known = self.leader(), time.monotonic()
            wake(self._leader_known[0])

    def dispatcher(self) -> Leader | None:
        """The dispatcher in charge, alive or not; ``None`` if there is none."""
        with self._begin(single=True) as connection:
            row = connection.execute(_DISPATCHER).mappings().first()
            return None if row is None else leader_of(row, clock(connection))


def _row(holder: str, now: float, message: str, reach: Reach, service: str) -> dict[str, Any]:
    """What a heartbeat leaves in the row."""
    own = {
        **{"holder": holder, "heartbeat": now, "message": message, "system": reach.system},
        "reachable": None if reach.reachable is None else int(reach.reachable),
        "reach_since": reach.since,
        "service": service,
    }
    return own | storable(own)
