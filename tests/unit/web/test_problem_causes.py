"""The type of a failed job's problem document follows from whatever ended it."""

from __future__ import annotations

import pytest

from pywps_hpc.dispatch import stage
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, Resources
from pywps_hpc.jobs import Job, State
from pywps_hpc.jobs.view import job_view
from pywps_hpc.web.ogcapi.problems import cause_of

ASKED = Resources(memory=300, walltime=60)
OUTCOMES = {
    Outcome.TIME_LIMIT: "time",
    Outcome.MEMORY_LIMIT: "memory",
    Outcome.NODE_FAILURE: "node",
    Outcome.PREEMPTED: "system",
    Outcome.CANCELLED: "system",
    Outcome.COULD_NOT_START: "system",
}
REASONS = {
    **{messages.why(JobStatus(Phase.FINISHED, end), ASKED): kind for end, kind in OUTCOMES.items()},
    messages.why(JobStatus(Phase.FINISHED, Outcome.MEMORY_LIMIT), ASKED, 159): "memory",
    messages.why(JobStatus(Phase.FINISHED, Outcome.MEMORY_LIMIT), ASKED, 400): "memory",
    messages.out_of_memory(ASKED): "memory",
    messages.exit_code(72): "node",
    messages.exit_code(126): "node",
    messages.exit_code(127): "system",
    f"{stage.FAILED}: input a: its host is unknown or not allowed": "input",
    messages.LOST: "system",
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_failure_is_of_the_kind_that_its_reason_tells(reason: str) -> None:
    row = Job("i", "w", "p", "0", state=State.FAILED, message=reason)
    assert cause_of(job_view(row, None, scheduler="slurm")) == REASONS[reason]
