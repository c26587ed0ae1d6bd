"""The process's own interpreter: load the dump, run the handler, render documents.

This runs in a child of the launcher, so that a crash, a signal or ``os._exit`` in a process leaves
somebody to tell of it. PyWPS is imported here and nowhere else on the node.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

from joblauncher import (
    answers,
    client_request,
    code_archive,
    configured,
    lean,
    lease,
    outputs,
    pywps_patches,
    warm,
)
from joblauncher.inputs import prepared
from joblauncher.inputs.policy import Bounds
from joblauncher.publisher import Publisher
from joblauncher.shared import IN_JOB, dump, outcome, pywps_pieces
from joblauncher.shared.files import MOST, amount, remove_tree, size_of
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.status_xml import Status

LOGGER = logging.getLogger("PYWPS")


class NoMemory(BaseException):
    """A handler raised MemoryError: hidden from PyWPS, which would only say "Process failed"."""


def run(
    publisher: Publisher, header: dump.Header, body: bytes, announce: Callable[[bytes], None]
) -> int:
    """Run the process in a dump.

    Args:
        publisher: of the job.
        header: of the dump, checked by the caller.
        body: the bytes that dill wrote, verified by the caller.
        announce: called with each document of success before it is left in the job's folder.

    Returns:
        0 if the process succeeded, 1 if it failed: the exit code that the scheduler shall see.

    Raises:
        PayloadError: the process cannot be loaded here.
        Superseded: the job is not this launcher's any more.
        NoMemory: the process could get no more memory.
    """
    job = publisher.job
    os.environ.pop("PYWPS_CFG", None)  # an empty value breaks the import; ours is in the dump
    gc.disable()  # until all is imported, nothing of which is garbage
    lean.load()
    warnings = mismatches()
    # Configuration first: a module of the service may read it while dill imports it.
    configured.install(header.config, job.work, job.storage)
    for warning in warnings:
        LOGGER.warning("%s", warning)
    from pywps.exceptions import NoApplicableCode
    from pywps.response.status import WPS_STATUS

    from joblauncher import service
    from joblauncher.inputs import large_values, literals, references

    bounds = Bounds.of(header.bounds)
    fetch = references.install(bounds, job)
    os.environ[IN_JOB] = job.job_id
    empty = service.placeholder()
    content = dump.load(body, empty)
    process, wps_request = content["process"], content["request"]
    process.service = service.fill(empty, content["service"])
    warm.report(header.config)
    process.async_ = not header.sync
    process._status_store = service.StatusStore(job.status, header.status_url)
    job = replace(job, access=str(process.uuid))
    _restore_request(wps_request, header.http)
    process.set_workdir(str(job.work))
    prepared.use_own(job, wps_request.inputs)
    process.handler = _alone(_telling_why(process.handler, publisher))
    stored = outputs.install(job)
    response = _response(publisher, job, header, process, wps_request, stored, announce)
    os.chdir(job.work)
    _set_grass()
    code_archive.leave()
    gc.freeze()
    gc.enable()
    try:
        large_values.restore(job, wps_request.inputs, header.values)
        literals.restore(wps_request.inputs, fetch, bounds, job.temporary)
        references.check(wps_request.inputs, bounds)
    except NoApplicableCode as error:
        publisher.blames_input = True
        response._update_status(WPS_STATUS.FAILED, str(error.description), 100)
        _answer(publisher, header, response)
    else:
        with _cleaning(process):
            process._run_process(wps_request, response)
            _answer(publisher, header, response)
    return 0 if response.state == outcome.SUCCEEDED else 1


@functools.cache  # a nursery asks once, before it imports modules of the service
def mismatches() -> tuple[str, ...]:
    """What of this PyWPS is not as it has to be; to be asked after :func:`lean.load`."""
    return tuple(pywps_pieces.mismatches(pywps_patches.ALL))


@contextlib.contextmanager
def _cleaning(process: Any) -> Iterator[None]:
    """Let a process tidy up once after its end, as PyWPS does; whatever comes of it, the result
    stands."""
    try:
        yield
    except lease.Superseded:  # another launcher is at work on the same things
        raise
    except BaseException:
        _clean(process)
        raise
    _clean(process)


def _clean(process: Any) -> None:
    try:
        process.clean()
    except (Exception, SystemExit):
        LOGGER.exception("clean() of the process failed")


def _restore_request(wps_request: Any, http: dict[str, Any]) -> None:
    """Put back what is not serialised: XML makers, and a request with the client's headers."""
    client_request.restore(wps_request, http)
    wps_request.set_version(wps_request.version)


def _response(
    publisher: Publisher,
    job: JobDir,
    header: dump.Header,
    process: Any,
    wps_request: Any,
    stored: outputs.Outputs,
    announce: Callable[[bytes], None],
) -> Any:
    """The response object of this job: every document it makes is published."""
    from pywps.app.exceptions import ProcessError
    from pywps.response.status import WPS_STATUS

    from joblauncher.shared.response import JobResponse

    def publish(document: bytes, response: JobResponse) -> None:
        if response.state == outcome.SUCCEEDED and (lost := stored.lost()):
            message = f"Process failed: output {lost}: its file can no longer be read"
            response._update_status(WPS_STATUS.FAILED, message, 100)
            return
        if response.state == outcome.SUCCEEDED and header.max_output_size:
            # Outputs that are not files stand in the document itself; a raw one is in neither.
            size = size_of(job.storage) + len(document) + answers.raw_size(response)
            if size > header.max_output_size:
                with contextlib.suppress(OSError):
                    remove_tree(job.outputs)
                response._update_status(WPS_STATUS.FAILED, _too_large(size, header), 100)
                return
        if len(document) > MOST:
            raise ProcessError(
                "The outputs are too large for one document: request them as references."
            )
        message = str(response.message)
        if response.state == outcome.SUCCEEDED:
            # The answer of a client that waits is made later, from what the process worked in.
            facts = response.output_facts()
            publisher.succeed(document, message, facts, announce, keep_work=header.sync)
        elif response.state == outcome.FAILED:
            publisher.fail(document, message)
        else:
            percent = min(int(response.status_percentage), 99)
            publisher.progress(document, Status(response.state, percent, message))

    response = JobResponse(
        wps_request,
        process.uuid,
        process=process,
        status_url=header.status_url,
        publish=publish,
        answers=header.sync,
    )
    response.store_status_file = wps_request.store_execute == "true"
    return response


def _too_large(size: int, header: dump.Header) -> str:
    most = amount(header.max_output_size)
    return f"its outputs are {amount(size)}, more than the {most} allowed"


def _telling_why(handler: Any, publisher: Publisher) -> Any:
    """The handler, whose MemoryError passes PyWPS by; whether it ended for an input that could not
    be had is noted."""
    from joblauncher.inputs.errors import InputUnavailable

    def handle(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except InputUnavailable as error:
            publisher.blames_input = error.is_input
            raise
        except MemoryError as error:
            raise NoMemory from error

    return handle


def _alone(handler: Any) -> Any:
    """The handler, from which nobody returns but the one who called it: a process that it forks
    ends where it would come back, and tells nothing of the job."""
    here, mask = os.getpid(), os.umask(0o077)
    os.umask(mask)

    def handle(*arguments: Any) -> Any:
        code = 1
        try:
            found = handler(*arguments)
            code = 0
            return found
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            raise
        except BaseException:
            if os.getpid() != here:
                traceback.print_exc()
            raise
        finally:
            if os.getpid() != here:
                leave(code)
            os.umask(mask)  # what is left to be written is ours

    return handle


def leave(code: int) -> NoReturn:
    """End this interpreter at once, with nothing lost that was printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


def _set_grass() -> None:
    """PyWPS prepares GRASS GIS in the server's environment; the process needs it here."""
    from pywps import Service, configuration

    if configuration.get_config_value("grass", "gisbase"):
        Service._set_grass(None)


def _answer(publisher: Publisher, header: dump.Header, response: Any) -> None:
    """Leave the answer for a client that waits on its connection, if one does.

    Raises:
        PayloadError: there is nothing to answer.
    """
    if not response.is_over:  # PyWPS sees to that; a process may have replaced _run_process
        raise dump.PayloadError("the process returned without a result")
    if header.sync:
        publisher.answered(*answers.leave(publisher.job, response))
