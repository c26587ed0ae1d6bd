"""A job with the inputs that another one was sent: for its client, and for the administrator."""

from __future__ import annotations

from typing import Any

from pywps.exceptions import InvalidParameterValue
from pywps.inout.basic import BasicComplex
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from pywps_hpc import jobs
from pywps_hpc.jobs import Job, results
from pywps_hpc.web import accept, execution, lookup, sent_inputs
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotNow
from pywps_hpc.web.requests import limits
from pywps_hpc.web.requests.content import output
from pywps_hpc.web.sent_inputs import Given

#: What a job is counted for where nobody logs in, see :func:`.admission.client_of`.
_ADDRESS = "address "


def execute(
    service: Context,
    request: Request,
    process: Any,
    inputs: Given,
    form: results.Form | None = None,
    retry_of: str = "",
) -> Job:
    """Accept a job with these inputs and all outputs of its process.

    Args:
        form: how its results are wanted; ``None``: as its process has them.
        retry_of: the id of the job that it repeats.

    Raises:
        NoApplicableCode: it is not accepted; nothing of it is left.
    """
    outputs = {item.identifier: _output(item) for item in process.outputs}
    found = execution.request_of(
        service, request, process.identifier, inputs, outputs, language=None
    )
    execution.admit(service, found)
    prepared = execution.process_for(service, process.identifier)
    row, _, _ = accept.accept(service, prepared, found, jobs.new_id(), form=form, retry_of=retry_of)
    return row


def retry(service: Context, row: Job) -> Job:
    """Accept a job that repeats another one, for the same client.

    Args:
        row: of the other job.

    Raises:
        NotNow: its inputs were not kept.
        NoApplicableCode: the new one is not accepted; nothing of it is left.
    """
    folder = lookup.folder_of(service, row)
    sent = sent_inputs.of(folder)
    if sent is None:
        raise NotNow("The inputs of this job were not kept.")
    if row.process not in service.processes:
        raise InvalidParameterValue(f"Unknown process '{row.process}'", "Identifier")
    request = _request(service, row)
    with limits.turn(request, service.settings.retry_after):
        if sent.held is not None:
            limits.put_back(sent.held)
        process, form = service.processes[row.process], results.form_of(folder)
        return execute(service, request, process, sent.inputs, form, retry_of=row.id)


def _request(service: Context, row: Job) -> Request:
    """A request of the client that a job is counted for."""
    environ = EnvironBuilder(base_url=service.settings.url or None).get_environ()
    if row.client.startswith(_ADDRESS):
        environ["REMOTE_ADDR"] = row.client.removeprefix(_ADDRESS).partition("/")[0]
    if row.owner:
        environ["REMOTE_USER"] = row.owner.encode().decode("latin-1")
    return Request(environ)


def _output(item: Any) -> dict[str, str]:
    """An output; what is no small value is kept as a file."""
    told = {"asReference": str(isinstance(item, BasicComplex)).lower()}
    return output(item.identifier, told, raw=False)
