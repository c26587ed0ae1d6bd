"""The face of WPS 2.0 (OGC 14-065): its operations, at the URL of WPS 1.0.0."""

from __future__ import annotations

import re
import time

from werkzeug.wrappers import Request, Response

from joblauncher.shared import storage
from pywps_hpc import jobs
from pywps_hpc.jobs.job import TERMINAL, State
from pywps_hpc.jobs.view import JobView
from pywps_hpc.spool import JOB_ID, JobDir
from pywps_hpc.web import control, errors, lookup, waiting
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy, NotFound
from pywps_hpc.web.requests import guard, languages, limits
from pywps_hpc.web.wps2 import descriptions, documents, exceptions, execute, reading, result, status
from pywps_hpc.web.wps2.exceptions import Refused
from pywps_hpc.web.wps2.reading import Asked


def operate(service: Context, request: Request) -> Response:
    """Carry out the operation that a request names, which has been taken in.

    Raises:
        NoApplicableCode: it is not one of WPS 2.0, or cannot be carried out; whoever answers it
            uses the form of this version.
    """
    errors.answer_by(request, exceptions.report)
    with guard.reading():
        asked = reading.read(request)
    language = reading.supported(asked.languages, languages.offered())
    match asked.operation:
        case "getcapabilities":
            return descriptions.capabilities(service, request, language)
        case "describeprocess":
            return descriptions.offerings(service, request, asked.identifiers, language)
        case "execute":
            return _execute(service, request, asked, language)
        case "getresult":
            return _get_result(service, request, asked.job)
        case "getstatus":
            row, job = _settled(service, request, asked.job)
            return _status(service, _view(service, row, job))
    return _status(service, _controlled(service, request, asked))


def _execute(service: Context, request: Request, asked: Asked, language: str) -> Response:
    assert asked.execute is not None
    row, job, answer = execute.execute(service, request, asked.execute, language)
    return answer or _status(service, lookup.view_of(service, row, job))


def _get_result(service: Context, request: Request, access: str) -> Response:
    row, job = _settled(service, request, access)
    view = _view(service, row, job)
    if not view.is_over:
        raise Refused("ResultNotReady", "The job has not ended yet.", "JobID")
    return result.answer(service, view, job, request)


def _controlled(service: Context, request: Request, asked: Asked) -> JobView:
    """Dismiss, pause or resume a job; the view of it."""
    _check_id(asked.job)
    if asked.operation == "dismiss":
        return control.dismiss(service, request, asked.job).view
    act = control.pause if asked.operation == "pause" else control.resume
    return act(service, request, asked.job)


def _check_id(access: str) -> None:
    if not re.fullmatch(JOB_ID, access):
        raise NotFound("There is no such job.")


def _settled(service: Context, request: Request, access: str) -> tuple[jobs.Job, JobDir]:
    """A job; a young one is waited for a little, so that a client that asks at once finds the
    results of a short one."""
    _check_id(access)
    row, job = lookup.find(service, request, access)
    left = min(row.created + service.settings.young - time.time(), service.settings.young)
    if left <= 0 or row.state in (*TERMINAL, State.PAUSED) or row.is_dismissed:
        return row, job
    with service.waiters.place() as place:
        if place:
            limits.end_turn()
            listens = waiting.listens(request.environ)
            row = waiting.wait(service.store, job, row, left, listens)
    return row, job


def _view(service: Context, row: jobs.Job, job: JobDir) -> JobView:
    try:
        return lookup.view_of(service, row, job)
    except OSError as error:
        message = f"The job cannot be looked at now: {storage.trouble(error)}."
        raise Busy(message, service.settings.retry_after, "storage") from None


def _status(service: Context, view: JobView) -> Response:
    made = status.document(view, time.time(), service.settings.poll_interval)
    return documents.response(made, view.expires)
