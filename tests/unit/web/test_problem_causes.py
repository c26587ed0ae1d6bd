"""The problem document of a failed job follows from the cause that its row has, not from a text."""

from __future__ import annotations

import pytest

from pywps_hpc.jobs import Cause, Job, State
from pywps_hpc.jobs.view import job_view
from pywps_hpc.web.ogcapi.problems import OWN, of_job

TYPES = {
    Cause.UNKNOWN: (500, "failed"),
    Cause.PROCESS: (500, "process"),
    Cause.INPUT: (400, "input"),
    Cause.MEMORY: (500, "memory"),
    Cause.TIME: (500, "time"),
    Cause.NODE: (500, "node"),
    Cause.SYSTEM: (500, "system"),
}


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("message", ["killed: time limit 00:10:00 reached", "input a: none", ""])
def test_a_failed_job_is_told_by_its_cause_whatever_its_message(cause: Cause, message: str) -> None:
    row = Job("i", "w", "p", "0", state=State.FAILED, message=message, cause=cause)
    problem = of_job(job_view(row, None, scheduler="slurm"))
    code, name = TYPES[cause]
    assert (problem.status, problem.kind) == (code, f"{OWN}{name}")
    assert problem.detail == (message or "The job failed.")
    assert problem.title
