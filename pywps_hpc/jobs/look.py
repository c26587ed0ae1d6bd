"""Look at a job: read its report, and make the view of it that every face shows."""

from __future__ import annotations

from joblauncher.shared import outcome, storage
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.jobs.job import Job
from pywps_hpc.jobs.view import JobView, job_view


def look(
    row: Job,
    folder: JobDir,
    *,
    scheduler: str,
    reachable: bool = True,
    expires: float | None = None,
) -> JobView:
    """The view of a job.

    Args:
        row: of the job table.
        folder: of the job.
        scheduler, reachable, expires: as of :func:`~pywps_hpc.jobs.view.job_view`.

    Raises:
        OSError: the storage is in trouble, so that nothing is known of the process. A report that
            is missing, or that the process made unreadable, is none.
    """
    try:
        report = outcome.load(folder)
    except OSError as error:
        if storage.trouble(error):
            raise
        report = None
    return job_view(row, report, scheduler=scheduler, reachable=reachable, expires=expires)
