"""The list of jobs, and what is asked of one of them (OGC 18-062r2, clauses 7.12, 10 and 11)."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs import results as kept
from pywps_hpc.jobs.listing import Filter
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.ogc_json import status
from pywps_hpc.ogc_json.links import link
from pywps_hpc.spool import JobDir
from pywps_hpc.web import control, job_list, log, lookup
from pywps_hpc.web import outputs as files
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import execute_document, html, query, results
from pywps_hpc.web.ogcapi.answers import answer
from pywps_hpc.web.ogcapi.problems import Problem, invalid

#: The states that each of the standard's stands for.
_STATES = {
    "accepted": {PublicState.ACCEPTED, PublicState.QUEUED, PublicState.PAUSED},
    "running": {PublicState.RUNNING, PublicState.PAUSED},
    "successful": {PublicState.SUCCEEDED},
    "failed": {PublicState.FAILED},
    "dismissed": {PublicState.DISMISSED},
}
#: What a client may put as the status of its job: an extension of ours. Bytes of that at most.
_LARGEST_STATUS = 4096
_ACTIONS = {"paused": control.pause, "running": control.resume}


def show_list(service: Context, request: Request) -> Response:
    """The jobs of whoever asks, newest first, in pages (clause 11)."""
    query.chosen(request, "type", ("process",))
    names = query.chosen(request, "status", status.STATUSES)
    text = query.one(request, "datetime")
    since, until = query.interval(text) if text is not None else (None, None)
    wanted = Filter(
        states=frozenset(state for name in names for state in _STATES[name]),
        processes=frozenset(query.many(request, "processID")),
        since=since,
        until=until,
        min_duration=_duration(request, "minDuration"),
        max_duration=_duration(request, "maxDuration"),
    )
    after = query.one(request, "after") or ""
    try:
        page = job_list.page(service, request, wanted, query.limit(request), after)
    except ValueError:
        raise invalid("after: it is of no page of this list.") from None
    url = f"{service.addresses.root}jobs"
    links = html.links(url, request)
    if page.after:
        links.append(link(query.url(url, request, after=page.after), "next", "Next page"))
    shown = [view for view in page.views if not names or status.status_of(view) in names]
    found = [status.info(service.addresses.root, view) for view in shown]
    return answer({"jobs": found, "links": links})


def show(service: Context, request: Request, access: str) -> Response:
    """The status of a job."""
    view, _ = _find(service, request, access)
    return answer(status.info(service.addresses.root, view), headers=files.sunset(view.expires))


def dismiss(service: Context, request: Request, access: str) -> Response:
    """Dismiss a job, or remove one that has ended (clause 10)."""
    done = control.dismiss(service, request, access)
    return answer(status.info(service.addresses.root, done.view, is_removed=done.is_removed))


def put_status(service: Context, request: Request, access: str) -> Response:
    """Pause a job, or let it go on: ``{"status": "paused"}`` or ``{"status": "running"}``."""
    if "json" not in (request.mimetype or ""):
        raise Problem(415, "A status is a document of the type application/json.")
    request.max_content_length = _LARGEST_STATUS
    told = execute_document.load(request.get_data(cache=False))
    if not isinstance(told, dict) or set(told) != {"status"} or str(told["status"]) not in _ACTIONS:
        raise invalid('An object is wanted: {"status": "paused"} or {"status": "running"}.')
    view = _ACTIONS[str(told["status"])](service, request, access)
    return answer(status.info(service.addresses.root, view))


def show_results(service: Context, request: Request, access: str) -> Response:
    """The results of a job, in the form in which its request wanted them."""
    view, job = _find(service, request, access)
    return results.respond(service, request, view, job, kept.form_of(job))


def show_result(service: Context, request: Request, access: str, output: str) -> Response:
    """One output of a job."""
    view, job = _find(service, request, access)
    return results.one_output(service, request, view, job, output)


def show_log(service: Context, request: Request, access: str) -> Response:
    """What a job wrote, or the part of it that is asked for by ``Range``."""
    return log.response(service, request, access)


def show_usage(service: Context, request: Request, access: str) -> Response:
    """What a job used."""
    view, _ = _find(service, request, access)
    used = view.usage
    known: dict[str, Any] = {
        "cpuSeconds": used.cpu_seconds,
        "peakMemoryMiB": used.peak_memory_mib,
        "elapsedSeconds": used.elapsed_seconds,
        "attempts": view.attempts,
        "exitCode": view.exit_code,
        "signal": view.signal,
    }
    return answer({name: value for name, value in known.items() if value is not None})


def _find(service: Context, request: Request, access: str) -> tuple[JobView, JobDir]:
    row, job = lookup.find(service, request, access)
    return lookup.view_of(service, row, job), job


def _duration(request: Request, name: str) -> float | None:
    return None if query.one(request, name) is None else float(query.number(request, name, 0))
