"""The jobs in a database: one row a job, one for the dispatcher in charge, some for the service.

Each subject has a part of its own: questions (:mod:`~pywps_hpc.jobs.queries`), whether a job
may be taken (:mod:`~pywps_hpc.jobs.intake`), pages of the list
(:mod:`~pywps_hpc.jobs.listing`), changes (:mod:`~pywps_hpc.jobs.changes`), callbacks
(:mod:`~pywps_hpc.jobs.callbacks`), leadership (:mod:`~pywps_hpc.jobs.leadership`) and facts of the
installation (:mod:`~pywps_hpc.jobs.facts`), over one database (:mod:`~pywps_hpc.jobs.table`).
"""

from __future__ import annotations

from pywps_hpc.jobs.callbacks import Callbacks
from pywps_hpc.jobs.changes import Changes
from pywps_hpc.jobs.facts import Facts
from pywps_hpc.jobs.intake import Intakes
from pywps_hpc.jobs.listing import Listing
from pywps_hpc.jobs.queries import Queries


class JobStore(Queries, Intakes, Listing, Changes, Callbacks, Facts):
    """The job table in a database. Safe to use from several threads, processes and hosts.

    Every method raises :class:`~pywps_hpc.errors.TableUnavailable` when the database cannot
    be asked, or is locked for too long.

    Args:
        url: SQLAlchemy database URL. SQLite is put into WAL mode and must lie on a local disk.
        timeout: seconds to wait for a server, and for a lock that somebody else holds.
        read_only: whether nothing is to be made or changed, not even a file.
    """
