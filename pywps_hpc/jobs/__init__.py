"""The job table: who accepted what, where it stands, and the control request that it has.

:mod:`~pywps_hpc.jobs.job` says what a job is, :mod:`~pywps_hpc.jobs.store` keeps the jobs in a
database, which :mod:`~pywps_hpc.jobs.database` connects to. :mod:`~pywps_hpc.jobs.schema` has its
tables, and says which columns have an older name there; :mod:`~pywps_hpc.jobs.versions` keeps them
in the form that this program needs.
"""

from pywps_hpc.errors import LeadershipLost, TableMissing, TableUnavailable
from pywps_hpc.jobs.changes import Change
from pywps_hpc.jobs.job import (
    ACTIVE,
    TERMINAL,
    TRANSITIONS,
    WAITING,
    Cause,
    ControlRequest,
    InLine,
    Job,
    Limit,
    LimitReached,
    State,
    job_name,
    new_id,
)
from pywps_hpc.jobs.leader import Leader, Reach
from pywps_hpc.jobs.queries import Waiting
from pywps_hpc.jobs.store import JobStore
from pywps_hpc.jobs.versions import SchemaTooNew, SchemaTooOld

__all__ = [
    "ACTIVE",
    "TERMINAL",
    "TRANSITIONS",
    "WAITING",
    "Cause",
    "Change",
    "ControlRequest",
    "InLine",
    "Job",
    "JobStore",
    "Leader",
    "LeadershipLost",
    "Limit",
    "LimitReached",
    "Reach",
    "SchemaTooNew",
    "SchemaTooOld",
    "State",
    "TableMissing",
    "TableUnavailable",
    "Waiting",
    "job_name",
    "new_id",
]
