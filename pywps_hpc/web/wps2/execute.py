"""Execute (OGC 14-065, clause 9.6): by the same code that accepts a job of WPS 1.0.0."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from pywps.exceptions import InvalidParameterValue, NoApplicableCode
from pywps.inout.basic import BasicComplex, BasicLiteral
from werkzeug.wrappers import Request, Response

from joblauncher.inputs import policy
from pywps_hpc import jobs
from pywps_hpc.jobs import results
from pywps_hpc.settings import Settings
from pywps_hpc.spool import JobDir
from pywps_hpc.web import accept, control, execution, input_references, lookup, requested
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy
from pywps_hpc.web.requests import guard, limits
from pywps_hpc.web.requests.content import PLAIN, output
from pywps_hpc.web.requests.formats import media_type
from pywps_hpc.web.requests.inputs import Fetched
from pywps_hpc.web.wps2 import offers, result
from pywps_hpc.web.wps2.exceptions import Refused
from pywps_hpc.web.wps2.execute_document import Execute


def execute(
    service: Context, request: Request, asked: Execute, language: str
) -> tuple[jobs.Job, JobDir, Response | None]:
    """Accept a job, and wait for its end if the client does.

    Returns:
        The job, its folder, and its results if the client has waited for them.

    Raises:
        NoApplicableCode: it is not accepted, and nothing of it is left; or there are no results.
    """
    settings = service.settings
    if asked.identifier not in service.processes:
        raise Refused(
            "NoSuchProcess", f"There is no process '{asked.identifier}'.", asked.identifier
        )
    waits = _mode(offers.modes(settings, asked.identifier), asked) == "sync"
    offered = requested.described(settings, service.processes[asked.identifier])
    _check(offered, asked, settings.inputs.max_inputs)
    asked = replace(asked, outputs=_transmitted(offered, asked))
    process = execution.process_for(service, asked.identifier)
    with guard.reading():
        wps_request = _request(service, request, process, asked, language, asynchronous=not waits)
    execution.admit(service, wps_request)
    with service.waiters.place(waits) as place:
        if waits and not place:  # nothing but the results is an answer
            raise Busy("Too many clients wait for a result now.", settings.retry_after)
        form = results.Form(asked.raw, asked.outputs)
        row, job, _ = accept.accept(service, process, wps_request, jobs.new_id(), form)
        if not waits:
            return row, job, None
        limits.end_turn()
        row = control.await_end(service, request, row)
        view = lookup.view_of(service, row, job)
        if not view.is_over:
            raise NoApplicableCode(
                f"The job did not end within {settings.sync_timeout:g} seconds. It goes on; its "
                f"JobID is {view.access}",
                locator="",
                code=504,
            )
        return row, job, result.answer(service, view, job, request)


def _mode(offered: tuple[str, ...], asked: Execute) -> str:
    """The mode in which a process is executed; of its own choice a server does not let wait."""
    if asked.mode == "auto":
        return "async" if "async" in offered else offered[0]
    if asked.mode not in offered:
        raise Refused(
            "NoSuchMode",
            f"Process '{asked.identifier}' is not offered in mode {asked.mode}.",
            asked.mode,
        )
    return asked.mode


def _check(process: Any, asked: Execute, most: int) -> None:
    """Make sure that a process has the inputs and outputs that are named."""
    inputs = {item.identifier: item for item in process.inputs}
    outputs = {item.identifier for item in process.outputs}
    number = sum(map(len, asked.inputs.values()))
    if number > most:
        raise Refused("TooManyInputs", f"The request has {number} inputs; at most {most} may be.")
    for name, given in asked.inputs.items():
        if name not in inputs:
            raise Refused(
                "NoSuchInput", f"Process '{process.identifier}' has no input '{name}'.", name
            )
        allowed = inputs[name].max_occurs
        if allowed is not None and len(given) > allowed:
            raise Refused(
                "TooManyInputs",
                f"input {name}: it is given {len(given)} times; at most {allowed} are allowed.",
                name,
            )
    offered = offers.transmission(process)
    for wanted in asked.outputs:
        name = wanted.identifier
        if name not in outputs:
            raise Refused(
                "NoSuchOutput", f"Process '{process.identifier}' has no output '{name}'.", name
            )
        if wanted.transmission and wanted.transmission not in offered:
            raise InvalidParameterValue(
                f"Process '{process.identifier}' does not transmit outputs by reference.",
                "transmission",
            )


def _transmitted(process: Any, asked: Execute) -> tuple[results.Asked, ...]:
    """The outputs that are asked for; the process says how one is transmitted if the request does
    not, and raw data is a value always."""
    stored = {item.identifier for item in process.outputs if getattr(item, "as_reference", False)}
    own = stored if "reference" in offers.transmission(process) else set()
    return tuple(
        replace(
            output,
            transmission="value"
            if asked.raw
            else output.transmission or ("reference" if output.identifier in own else "value"),
        )
        for output in asked.outputs
    )


def _request(
    service: Context,
    request: Request,
    process: Any,
    asked: Execute,
    language: str,
    *,
    asynchronous: bool,
) -> Any:
    """The request as PyWPS has it.

    Complex outputs are left in files, whatever way they are wanted: so each of them keeps its
    bytes, and a document of any size can be made of them later.
    """
    described = requested.described(service.settings, process)
    known = {item.identifier: item for item in described.inputs}
    inputs = {
        name: [_fitted(known[name], value, service.settings) for value in given]
        for name, given in asked.inputs.items()
    }
    found: dict[str, Any] = {}
    kinds = {item.identifier: item for item in process.outputs}
    for item in process.outputs:
        if isinstance(item, BasicComplex):
            item.as_reference = True
    for wanted in asked.outputs:
        item = kinds[wanted.identifier]
        stored = isinstance(item, BasicComplex) or wanted.transmission == "reference"
        told = {**_format(item, wanted), "asReference": str(stored).lower()}
        found[wanted.identifier] = output(wanted.identifier, told, raw=False)
    return execution.request_of(
        service,
        request,
        asked.identifier,
        inputs,
        found,
        language=language,
        is_asynchronous=asynchronous,
    )


def _format(item: Any, wanted: results.Asked) -> dict[str, str]:
    """The format of an output as it is looked for among those of the process.

    Raises:
        InvalidParameterValue: a literal value or a box cannot be had so.
    """
    told = {
        "mimeType": wanted.mime_type,
        "encoding": wanted.encoding,
        "schema": wanted.schema,
    }
    if isinstance(item, BasicComplex):
        if wanted.encoding.lower() == "base64":  # that is how it is written, not how it is made
            told["encoding"] = ""
        return told
    kind = (media_type(wanted.mime_type) or ("",))[0]
    if kind in _forms(item) and not wanted.schema and wanted.encoding.lower() in PLAIN:
        return {}
    name = wanted.identifier
    raise InvalidParameterValue(f"output {name}: it cannot be had in this format.", "mimeType")


def _fitted(item: Any, value: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """An input as the readers of single inputs take it, which know no format of literal values and
    of boxes.

    Raises:
        InvalidParameterValue: it is in a format in which the process does not take it.
        Refused: it refers to something that will not be fetched.
    """
    if isinstance(item, BasicComplex):
        return value
    name = item.identifier
    kind = (media_type(value.get("mimeType", "")) or ("",))[0]
    encoding = str(value.get("encoding", "")).lower()
    if kind not in _forms(item) or encoding not in PLAIN:
        raise InvalidParameterValue(f"input {name}: it is not taken in this format.", name)
    if isinstance(item, BasicLiteral) and value.get("kind") == "reference":
        try:
            reference = input_references.of_literal(value, settings)
        except policy.Refused as error:
            raise Refused("DataNotAccessible", f"input {name}: {error}", name) from None
        fetched = Fetched(reference, is_xml=kind in ("text/xml", "application/xml"))
        return {"identifier": name, "kind": "literal", "fetched": fetched}
    return {key: told for key, told in value.items() if key not in ("mimeType", "encoding")}


@functools.singledispatch
def _forms(item: Any) -> tuple[str, ...]:
    """Media types of a value that has none of its own (14-065, clause 7.3.3); empty: not told."""
    return ("", "text/xml", "application/xml")


@_forms.register
def _(item: BasicLiteral) -> tuple[str, ...]:
    return ("", "text/plain", "text/xml", "application/xml")
