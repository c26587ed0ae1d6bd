"""Rows of the job table, and the jobs that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pywps_hpc.jobs.job import ACTIVE, TERMINAL, Cause, ControlRequest, Job, State
from pywps_hpc.jobs.schema import jobs

#: Conditions of a row: the job is over, or is not.
IS_ENDED = jobs.c.state.in_([state.value for state in TERMINAL])
IS_ACTIVE = jobs.c.state.in_([state.value for state in ACTIVE])
#: The attributes of a job, each a column.
_NAMES = tuple(field.name for field in fields(Job))


def to_row(job: Job) -> dict[str, Any]:
    row = {name: getattr(job, name) for name in _NAMES}
    own = {"state": job.state.value, "control": job.control.value, "cause": job.cause.value}
    return row | storable(row) | own | {"access": job.access or job.id}


def to_job(row: Any) -> Job:
    found = {name: row[name] for name in _NAMES}
    found["state"], found["control"] = State(row["state"]), ControlRequest(row["control"])
    found["cause"] = Cause(row["cause"])
    found["access"] = row["access"] or row["id"]
    return Job(**found)


def storable(columns: Mapping[str, Any]) -> dict[str, str]:
    """The text among them as a database takes it: a batch system's message may hold anything.
    PostgreSQL has no NUL, and neither database half of a surrogate pair."""
    return {k: _text(v) for k, v in columns.items() if isinstance(v, str)}


def _text(value: str) -> str:
    whole = value if value.isascii() else value.encode(errors="replace").decode()
    return whole.replace("\0", "\ufffd")
