"""The leadership in the database: who takes it, keeps it by a heartbeat, and gives it up."""

from __future__ import annotations

import contextlib
import time

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
        reach, heartbeat = reach or Reach(), dispatcher.c.heartbeat
        with self._begin(write=True) as connection:
            now = clock(connection)
            mine = sa.or_(
                dispatcher.c.holder == holder, heartbeat < now - lease, heartbeat > now + lease
            )
            own = {
                **{"holder": holder, "heartbeat": now, "message": message, "system": reach.system},
                "reachable": None if reach.reachable is None else int(reach.reachable),
                "reach_since": reach.since,
                "service": service,
            }
            own |= storable(own)
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

    def heartbeat(self) -> tuple[float, str]:
        """Seconds since the dispatcher's last heartbeat (infinite if none), and its message."""
        leader = self.dispatcher()
        return (leader.silence, leader.message) if leader else (float("inf"), "")

    def dispatcher(self) -> Leader | None:
        """The dispatcher in charge, alive or not; ``None`` if there is none."""
        with self._begin(single=True) as connection:
            row = connection.execute(_DISPATCHER).mappings().first()
            return None if row is None else leader_of(row, clock(connection))
