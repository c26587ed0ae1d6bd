"""What is kept of the installation as a whole, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from pywps_hpc.jobs.database import Lock, clock
from pywps_hpc.jobs.schema import facts as facts_table
from pywps_hpc.jobs.table import Table

_FACT = sa.select(facts_table.c.value).where(facts_table.c.name == sa.bindparam("wanted"))


class Facts(Table):
    """What :class:`~pywps_hpc.jobs.store.JobStore` keeps of the installation."""

    def fact(self, name: str) -> str:
        """One of :meth:`facts`; empty if it is not known."""
        found = self._first(_FACT, {"wanted": name})
        return str(found["value"]) if found else ""

    def clock(self) -> float:
        """Seconds by the database's clock: since the epoch, but for SQLite (see
        :func:`~pywps_hpc.jobs.database.clock`)."""
        with self._begin() as connection:
            return clock(connection)

    @contextmanager
    def facts(self) -> Iterator[dict[str, str]]:
        """What is kept of the installation as a whole, by name.

        What the caller changes in the mapping is recorded at the end, unless an exception ends it;
        nobody else looks at the facts meanwhile.
        """
        with self._begin(write=True, lock=Lock.FACTS) as connection:
            query = sa.select(facts_table.c.name, facts_table.c.value)
            known = {str(name): str(value) for name, value in connection.execute(query)}
            facts = dict(known)
            yield facts
            for name, value in facts.items() - known.items():
                connection.execute(facts_table.delete().where(facts_table.c.name == name))
                connection.execute(facts_table.insert().values(name=name, value=value))
