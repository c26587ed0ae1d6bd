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
from pywps_hpc.web import health, principal
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Gone, NotFound


def find(service: Context, request: Request, access: str) -> tuple[jobs.Job, JobDir]:
    """The job at this address, and its folder, for its owner and for administrators; a job without
    an owner for whoever knows its address.

    Raises:
        NotFound: there is none, or it is somebody else's: a stranger is told the same, and the same
            questions are asked for him.
        Gone: the one who asks had a job there, which has been removed.
    """
    who = principal.of(service.settings, request)
    # When a job's time is over, the dispatcher removes its row: one clock decides.
    row = service.store.at(access, None if who.is_administrator else who.name)
    if row is not None:
        return row, folder_of(service, row)
    if who.name and service.store.was_removed(access, who.name):
        raise Gone("The job has been removed.")
    raise NotFound("There is no such job.")


def folder_of(service: Context, row: jobs.Job) -> JobDir:
    """The folder of a job."""
    return replace(service.spool.open(row.id), access=row.access)


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
