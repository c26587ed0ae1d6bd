"""Rows of the job table, and the jobs that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pywps_hpc.jobs.job import ACTIVE, TERMINAL, ControlRequest, Job, State
from pywps_hpc.jobs.schema import jobs

#: Conditions of a row: the job is over, or is not.
IS_ENDED = jobs.c.state.in_([state.value for state in TERMINAL])
IS_ACTIVE = jobs.c.state.in_([state.value for state in ACTIVE])


def to_row(job: Job) -> dict[str, Any]:
    row = {f.name: getattr(job, f.name) for f in fields(Job)}
    own = {"state": job.state.value, "control": job.control.value, "access": job.access or job.id}
    return row | storable(row) | own


def to_job(row: Any) -> Job:
    found = {f.name: row[f.name] for f in fields(Job)}
    own = {"state": State(row["state"]), "control": ControlRequest(row["control"])}
    return Job(**found | own | {"access": row["access"] or row["id"]})


def storable(columns: Mapping[str, Any]) -> dict[str, str]:
    """The text among them as PostgreSQL takes it: a batch system's message may hold anything."""
    return {k: v.replace("\0", "\ufffd") for k, v in columns.items() if isinstance(v, str)}
