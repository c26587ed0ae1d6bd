"""The cause of a failure, by what is known of it: pure."""

from __future__ import annotations

from pywps_hpc.dispatch.decide.evidence import Evidence
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome
from pywps_hpc.jobs.job import Cause

_BY_OUTCOME = {
    Outcome.TIME_LIMIT: Cause.TIME,
    Outcome.MEMORY_LIMIT: Cause.MEMORY,
    Outcome.NODE_FAILURE: Cause.NODE,
}
#: Exit codes of a job whose launcher left nothing, that tell of a node which cannot run jobs (see
#: :data:`~pywps_hpc.dispatch.decide.messages.EXIT_CODES`).
_OF_THE_NODE = frozenset({72, 126, 127, 255})


def of_document(evidence: Evidence) -> Cause:
    """Of a failure that the process's own document tells."""
    return Cause.INPUT if evidence.cause is Cause.INPUT else Cause.PROCESS


def of_launcher(evidence: Evidence) -> Cause:
    """Of a failure of which the launcher's report is all that is known."""
    if evidence.out_of_memory:
        return Cause.MEMORY
    return Cause.SYSTEM if evidence.cause is Cause.UNKNOWN else evidence.cause


def of_end(status: JobStatus | None) -> Cause:
    """Of a failure of which the batch system tells.

    Args:
        status: of a job that has ended; ``None`` if it was lost.
    """
    if status is None:
        return Cause.SYSTEM
    if status.outcome is Outcome.EXITED and status.exit_code in _OF_THE_NODE:
        return Cause.NODE
    return _BY_OUTCOME.get(status.outcome, Cause.SYSTEM) if status.outcome else Cause.SYSTEM
