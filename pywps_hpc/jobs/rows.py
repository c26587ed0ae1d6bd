"""Rows of the job table, and the jobs that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from pywps_hpc.jobs.job import ACTIVE, TERMINAL, Cause, ControlRequest, Job, State
from pywps_hpc.jobs.schema import jobs

#: Conditions of a row: the job is over, or is not.
IS_ENDED = jobs.c.state.in_([state.value for state in TERMINAL])
IS_ACTIVE = jobs.c.state.in_([state.value for state in ACTIVE])
#: It is to be looked at by the dispatcher: few of very many rows, found along an index, which is
#: used only if its own words are (SQLite: Partial Indexes).
IS_REQUESTED = sa.and_(
    jobs.c.control != sa.literal_column("''"),
    jobs.c.control.in_([request.value for request in ControlRequest if request.value]),
    IS_ACTIVE,
)
#: Rows that one question reads by their ids: SQLite before 3.32 takes 999 parameters.
AT_ONCE = 500
#: The attributes of a job, each a column.
_NAMES = tuple(field.name for field in fields(Job))
COLUMNS = tuple(jobs.c[name] for name in _NAMES)
_STATES = {state.value: state for state in State}
_REQUESTS = {request.value: request for request in ControlRequest}
_CAUSES = {cause.value: cause for cause in Cause}


def to_row(job: Job) -> dict[str, Any]:
    """The values of a job's columns, as the database takes them."""
    row = {name: getattr(job, name) for name in _NAMES}
    own = {"state": job.state.value, "control": job.control.value, "cause": job.cause.value}
    return row | storable(row) | own | {"access": job.access or job.id}


def to_job(row: Any) -> Job:
    """The job of a row, which has its columns by their names."""
    found = {name: row[name] for name in _NAMES}
    found["state"], found["control"] = State(row["state"]), ControlRequest(row["control"])
    found["cause"] = Cause(row["cause"])
    found["access"] = row["access"] or row["id"]
    return Job(**found)


def of_values(row: Sequence[Any]) -> Job:
    """The job of a row with :data:`COLUMNS`, as the driver gives it: there may be very many."""
    found = dict(zip(_NAMES, row, strict=True))
    found["sync"] = bool(found["sync"])  # SQLite has numbers
    found["state"], found["control"] = _STATES[found["state"]], _REQUESTS[found["control"]]
    found["cause"] = _CAUSES[found["cause"]]
    found["access"] = found["access"] or found["id"]
    job = object.__new__(Job)
    job.__dict__.update(found)  # a frozen dataclass sets each attribute by a call
    return job


def storable(columns: Mapping[str, Any]) -> dict[str, str]:
    """The text among them as a database takes it: a batch system's message may hold anything.
    PostgreSQL has no NUL, and neither database half of a surrogate pair."""
    return {k: _text(v) for k, v in columns.items() if isinstance(v, str)}


def _text(value: str) -> str:
    whole = value if value.isascii() else value.encode(errors="replace").decode()
    return whole.replace("\0", "\ufffd")
