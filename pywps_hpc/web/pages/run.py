"""Run a process: the list of processes, the form of one, and what is sent with it."""

from __future__ import annotations

from typing import Any

from pywps.exceptions import InvalidParameterValue, MissingParameterValue, NoApplicableCode
from werkzeug.wrappers import Request, Response

from pywps_hpc import jobs
from pywps_hpc.web import lookup, principal, requested, rerun, sent_inputs
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotFound, NotNow
from pywps_hpc.web.pages import posted, recent_jobs, tokens, urls
from pywps_hpc.web.pages.answers import page, seen
from pywps_hpc.web.pages.fields import Field, fields_of
from pywps_hpc.web.requests import limits
from pywps_hpc.web.sent_inputs import Given, Sent


def show_list(service: Context, request: Request) -> Response:
    """All processes."""
    known = sorted(service.processes.values(), key=lambda one: str(one.title or one.identifier))
    return page(service, request, "processes.html", processes=known)


def show_form(service: Context, request: Request, process: str) -> Response:
    """The form of a process; with ``from`` filled in with the inputs of a job."""
    described = _find(service, process)
    inputs: Given = {}
    notice = ""
    if access := request.args.get("from", ""):
        row, job = lookup.find(service, request, access)
        told = sent_inputs.of(job) if row.process == process else None
        inputs = told.inputs if told else {}
        notice = _notice(told)
    counts = {name: len(values) for name, values in inputs.items()}
    fields = fields_of(described, counts)
    if access:
        values = posted.shown(fields, inputs)
    else:
        values = {one.named(0, "value"): one.default for one in fields if one.kind == "literal"}
    return _form(service, request, described, fields, values, {}, notice=notice)


def send(service: Context, request: Request, process: str) -> Response:
    """What was filled in becomes a job; or the form again, with what is wrong with it."""
    with limits.turn(request, service.settings.retry_after):
        posted.read(request)
        tokens.check(service, request)
        described = _find(service, process)
        identifiers = [item.identifier for item in described.inputs]
        fields = fields_of(described, posted.counts(request, identifiers))
        found = posted.filled(request, fields)
        if "add" in request.form:
            return _form(service, request, described, fields, found.values, {})
        if found.problems:
            return _form(service, request, described, fields, found.values, found.problems, 400)
        try:
            row = _execute(service, request, described, found.inputs)
        except (InvalidParameterValue, MissingParameterValue) as error:
            named = str(error.locator or "")
            known = named if named in identifiers else ""
            problems = {known: str(error.description)}
            return _form(service, request, described, fields, found.values, problems, 400)
    return _begun(service, request, row)


def again(service: Context, request: Request, access: str) -> Response:
    """A job with the same inputs."""
    posted.read(request)
    tokens.check(service, request)
    row, job = lookup.find(service, request, access)
    sent = sent_inputs.of(job)
    if sent is None:
        raise NotNow("The inputs of this job were not kept: fill in the form of its process.")
    with limits.turn(request, service.settings.retry_after):
        if sent.held is not None:
            limits.put_back(sent.held)
        new = _execute(service, request, _find(service, row.process), sent.inputs)
    return _begun(service, request, new)


def _begun(service: Context, request: Request, row: jobs.Job) -> Response:
    response = seen(urls.job(service.addresses, row.access))
    if not principal.of(service.settings, request).name:
        recent_jobs.keep(service, request, response, row.access)
    return response


def _find(service: Context, identifier: str) -> Any:
    if identifier not in service.processes:
        raise NotFound("There is no such process.")
    return requested.described(service.settings, service.processes[identifier])


def _execute(service: Context, request: Request, process: Any, inputs: Given) -> jobs.Job:
    """Accept a job.

    Raises:
        NoApplicableCode: it is not accepted; nothing of it is left.
    """
    modes = service.settings.for_process(process.identifier).modes
    if modes and "async" not in modes:
        raise NoApplicableCode("This process is not offered to be executed in a job.", code=403)
    return rerun.execute(service, request, process, inputs)


def _notice(sent: Sent | None) -> str:
    if sent is None:
        return "The inputs of that job were not kept; the form is empty."
    for values in sent.inputs.values():
        if sent.held or any(value.get("encoding") and not value.get("href") for value in values):
            return "The form has the inputs of that job, but for its files: choose them again."
    return "The form has the inputs of that job."


def _form(
    service: Context,
    request: Request,
    process: Any,
    fields: tuple[Field, ...],
    values: dict[str, str],
    problems: dict[str, str],
    code: int = 200,
    notice: str = "",
) -> Response:
    return page(
        service,
        request,
        "form.html",
        code,
        process=process,
        fields=fields,
        values=values,
        problems=problems,
        notice=notice,
    )
