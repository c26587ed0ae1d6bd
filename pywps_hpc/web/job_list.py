"""The list of jobs, as one client sees it: his own, or all of them for an administrator."""

from __future__ import annotations

from dataclasses import dataclass, replace

from werkzeug.wrappers import Request

from pywps_hpc.jobs.listing import Filter, read_cursor
from pywps_hpc.jobs.retention import expires
from pywps_hpc.jobs.view import JobView, job_view
from pywps_hpc.web import health, principal
from pywps_hpc.web.context import Context


@dataclass(frozen=True)
class Listed:
    """A page of the list.

    Attributes:
        views: newest first, made from the rows alone: a job that has just begun is shown as queued
            until the next poll.
        after: where the next page begins, for :func:`page`; empty if this is the last one.
    """

    views: tuple[JobView, ...] = ()
    after: str = ""


def page(service: Context, request: Request, wanted: Filter, limit: int, after: str = "") -> Listed:
    """A page of the jobs that this client may see. Whoever has not logged in sees none: a job
    without an owner is known by its address alone.

    Args:
        wanted: which jobs; an owner in it counts for administrators only.
        limit: jobs at most.
        after: of the page before; empty for the first one.

    Raises:
        ValueError: ``after`` is of no page.
    """
    if after:
        read_cursor(after)  # also where the list is empty whatever it says
    who = principal.of(service.settings, request)
    if not who.name:
        return Listed()
    if not who.is_administrator:
        wanted = replace(wanted, owner=who.name)
    found = service.store.page(wanted, limit, after)
    settings, reachable = service.settings, health.is_batch_system_reachable(service)
    views = (
        job_view(
            row,
            None,
            scheduler=settings.scheduler,
            reachable=reachable,
            expires=expires(row, settings.retention),
        )
        for row in found.jobs
    )
    return Listed(tuple(views), found.after)
