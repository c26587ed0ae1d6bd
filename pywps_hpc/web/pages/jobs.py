"""The pages of jobs: their list, one of them, and what may be done with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pywps.exceptions import InvalidParameterValue
from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs.listing import Filter
from pywps_hpc.jobs.view import Action, JobView, PublicState
from pywps_hpc.spool import JOB_ID, JobDir
from pywps_hpc.web import control, job_list, log, lookup, principal, sent_inputs
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotFound
from pywps_hpc.web.pages import posted, previews, recent_jobs, text, tokens, urls
from pywps_hpc.web.pages.answers import page, seen

#: Jobs on one page of the list; bytes of a log on the page of a job.
_JOBS, _LOG = 25, 16 << 10


@dataclass(frozen=True)
class _Row:
    """A job in the list, with the title of its process."""

    view: JobView
    title: str


def show_list(service: Context, request: Request) -> Response:
    """The jobs that whoever asks may see."""
    who = principal.of(service.settings, request)
    state = request.args.get("state", "")
    if state not in ("", *(one.value for one in PublicState)):
        raise InvalidParameterValue("There is no such state of a job.", "state")
    after = ""
    if who.name:
        wanted = Filter(states=frozenset({PublicState(state)} if state else ()))
        try:
            found = job_list.page(service, request, wanted, _JOBS, request.args.get("after", ""))
        except ValueError:
            raise InvalidParameterValue("This is no place in the list of jobs.", "after") from None
        views, after = list(found.views), found.after
    else:
        views = [view for view in _kept(service, request) if state in ("", view.state.value)]
    return page(
        service,
        request,
        "jobs.html",
        rows=[_Row(view, _title(service, view.process)) for view in views],
        after=after,
        state=state,
        states=text.STATES,
        is_first="after" not in request.args,
        live=any(not view.is_closed for view in views),
    )


def _kept(service: Context, request: Request) -> list[JobView]:
    found = []
    for access in recent_jobs.known(request):
        try:
            row, job = lookup.find(service, request, access)
        except NotFound:
            continue
        found.append(lookup.view_of(service, row, job))
    return found


def find(service: Context, request: Request) -> Response:
    """The job whose address or number somebody pasted."""
    posted.read(request)
    tokens.check(service, request)
    told = re.findall(JOB_ID, request.form.get("address", "").strip().lower())
    if not told:
        raise InvalidParameterValue(
            "This is no address of a job: it holds a number such as "
            "0f6c1b52-5a52-4c3e-9d5b-0d4a3c1f7e11.",
            "address",
        )
    row, _ = lookup.find(service, request, told[-1])
    response = seen(urls.job(service.addresses, row.access))
    if not principal.of(service.settings, request).name:
        recent_jobs.keep(service, request, response, row.access)
    return response


def forget(service: Context, request: Request, access: str) -> Response:
    """Take a job out of what the browser knows."""
    posted.read(request)
    tokens.check(service, request)
    response = seen(urls.root(service.addresses))
    recent_jobs.forget(service, request, response, access)
    return response


def show(service: Context, request: Request, access: str) -> Response:
    """One job."""
    row, job = lookup.find(service, request, access)
    view = lookup.view_of(service, row, job)
    return page(
        service,
        request,
        "job.html",
        view=view,
        title=_title(service, view.process),
        actions={action.value for action in view.actions},
        outputs=previews.all_shown(job, view.outputs),
        log=_tail(job, view),
        can_rerun=view.process in service.processes and sent_inputs.are_kept(job),
        has_process=view.process in service.processes,
        is_kept=access in recent_jobs.known(request),
        live=not view.is_closed,
    )


def show_log(service: Context, request: Request, access: str) -> Response:
    """The whole log of a job."""
    return log.response(service, request, access)


def dismiss(service: Context, request: Request, access: str) -> Response:
    """Dismiss a job that has not ended: one that ends meanwhile keeps its results."""
    return _act(service, request, access, partial(control.dismiss, removes=False))


def remove(service: Context, request: Request, access: str) -> Response:
    """Remove a job that has ended."""
    _checked(service, request)
    control.remove(service, request, access)
    response = seen(urls.root(service.addresses))
    if access in recent_jobs.known(request):
        recent_jobs.forget(service, request, response, access)
    return response


def pause(service: Context, request: Request, access: str) -> Response:
    """Pause a job."""
    return _act(service, request, access, control.pause)


def resume(service: Context, request: Request, access: str) -> Response:
    """Let a job go on."""
    return _act(service, request, access, control.resume)


def _act(
    service: Context, request: Request, access: str, act: Callable[[Context, Request, str], Any]
) -> Response:
    _checked(service, request)
    act(service, request, access)
    return seen(urls.job(service.addresses, access))


def _checked(service: Context, request: Request) -> None:
    posted.read(request)
    tokens.check(service, request)


def _title(service: Context, identifier: str) -> str:
    process = service.processes.get(identifier)
    return str(process.title or identifier) if process else identifier


def _tail(job: JobDir, view: JobView) -> str:
    return log.tail(job, _LOG) if Action.LOG in view.actions else ""
