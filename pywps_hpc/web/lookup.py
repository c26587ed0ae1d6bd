"""A job that a client asks for: its row and folder, and the view of it that every face shows."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from werkzeug.wrappers import Request

from pywps_hpc import jobs
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.retention import expires
from pywps_hpc.jobs.view import JobView
from pywps_hpc.spool import JobDir
from pywps_hpc.web import health
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotFound


def find(service: Context, request: Request, access: str) -> tuple[jobs.Job, JobDir]:
    """The job at this address, and its folder.

    Raises:
        NotFound: there is none (any more), or it is somebody else's: a stranger is told the same.
    """
    row = service.store.at(access)
    # When a job's time is over, the dispatcher removes its row: one clock decides.
    if row is None or not row.is_shown_to(request.remote_user or ""):
        raise NotFound("There is no such job.")
    return row, replace(service.spool.open(row.id), access=row.access)


def view_of(service: Context, row: jobs.Job, job: JobDir) -> JobView:
    """What is true of a job; the dispatcher is told where that has to be confirmed.

    Raises:
        OSError: the storage is in trouble.
    """
    view = look(
        row,
        job,
        scheduler=service.settings.scheduler,
        reachable=row.state not in jobs.WAITING or health.is_batch_system_reachable(service),
        expires=expires(row, service.settings.retention),
    )
    if view.is_ending and not row.end_seen:
        with contextlib.suppress(jobs.TableUnavailable):  # the next reader sees it, too
            service.store.saw_end(row.id)
    return view
