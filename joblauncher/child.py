"""The process's own interpreter: load the dump, run the handler, render documents.

This runs in a child of the launcher, so that a crash, a signal or ``os._exit`` in a process leaves
somebody to tell of it. PyWPS is imported here and nowhere else on the node.
"""

from __future__ import annotations

import configparser
import logging
import os
import sys
import uuid
from typing import Any

from joblauncher import nodatabase, payload, report
from joblauncher.jobdir import JobDir, atomic_write

LOGGER = logging.getLogger("PYWPS")


def run(job: JobDir, header: payload.Header, body: bytes, facts: report.Report) -> int:
    """Run the process in a dump.

    Args:
        job: the job's folder.
        header: of the dump, checked by the caller.
        body: the bytes that dill wrote, verified by the caller.
        facts: the report to continue.

    Returns:
        0 if the process succeeded, 1 if it failed: the exit code that the scheduler shall see.

    Raises:
        PayloadError: the process cannot be loaded here.
    """
    os.environ.pop("PYWPS_CFG", None)  # an empty value breaks the import; ours travels in the dump
    nodatabase.install()
    # Configuration first: a module of the service may read it while dill imports it.
    _configure(job, header.config)
    content = payload.load(body)
    process, wps_request = content["process"], content["request"]
    _restore_request(wps_request, header.http)
    process.set_workdir(str(job.work))
    response = _response(job, header, facts, process, wps_request)
    _keep_outputs_together(job)
    os.chdir(job.work)
    _set_grass()
    process._run_process(wps_request, response)
    if not response.is_over:  # PyWPS sees to that; a process may have replaced _run_process
        raise payload.PayloadError("the process returned without an end")
    if header.sync:
        _answer(job, facts, response)
    return 0 if response.state == report.SUCCEEDED else 1


def _configure(job: JobDir, sections: dict[str, dict[str, str]]) -> None:
    """Give PyWPS the service's effective configuration, with this job's own folders."""
    from pywps import configuration

    # The service's values have their variables filled in already.
    config = configparser.ConfigParser(interpolation=None)
    config.read_dict(sections)
    config.read_dict(
        {
            "server": {"workdir": str(job.work), "outputpath": str(job.storage)},
            "logging": {"file": "", "database": "sqlite:///:memory:"},
        }
    )
    configuration.CONFIG = config
    # A service may load its files when its modules are imported, which they are by the dump; what
    # they say here has been merged already.
    configuration.load_configuration = lambda cfgfiles=None: None
    level = logging.getLevelName(config.get("logging", "level", fallback="INFO"))
    LOGGER.setLevel(level if isinstance(level, int) else logging.INFO)
    LOGGER.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(config.get("logging", "format", fallback=None)))
    LOGGER.addHandler(handler)


def _restore_request(wps_request: Any, http: dict[str, Any]) -> None:
    """Put back what does not travel: XML makers, and a request object with the client's headers."""
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request

    builder = EnvironBuilder(
        method=http["method"],
        path=http["path"],
        base_url=http["base_url"],
        query_string=http["query"],
        headers=http["headers"],
        environ_base={"REMOTE_ADDR": http["remote_addr"]},
    )
    wps_request.http_request = Request(builder.get_environ())
    wps_request.set_version(wps_request.version)


def _response(
    job: JobDir, header: payload.Header, facts: report.Report, process: Any, wps_request: Any
) -> Any:
    """The response object of this job: every document it makes is left in the job's folder."""
    from joblauncher.response import JobResponse

    def publish(document: bytes, response: JobResponse) -> None:
        facts.state = response.state
        facts.percent = 100 if response.is_over else min(int(response.status_percentage), 99)
        facts.message = str(response.message)
        if response.state == report.SUCCEEDED:
            facts.outputs = response.output_facts()
        if response.state == report.FAILED:
            facts.cause = "process"
        atomic_write(job.status, document)
        facts.write(job)

    response = JobResponse(
        wps_request,
        process.uuid,
        process=process,
        status_url=header.status_url,
        publish=publish,
    )
    response.store_status_file = not header.sync
    return response


def _keep_outputs_together(job: JobDir) -> None:
    """PyWPS stores a file that belongs to no output of the process (a MetaFile of a Metalink) in a
    folder of its own beside the job's; here it goes inside, where the service serves it."""
    from pywps.inout.storage.file import FileStorage

    store = FileStorage._do_store

    def store_here(self: Any, output: Any) -> Any:
        before = output.uuid
        output.uuid = before or f"{job.job_id}/{uuid.uuid4()}"
        try:
            return store(self, output)
        finally:
            output.uuid = before

    FileStorage._do_store = store_here


def _set_grass() -> None:
    """PyWPS prepares GRASS GIS in the server's environment; the process needs it here."""
    from pywps import Service, configuration

    if configuration.get_config_value("grass", "gisbase"):
        Service._set_grass(None)


def _answer(job: JobDir, facts: report.Report, response: Any) -> None:
    """Let PyWPS render what a client that waits on its connection is to get."""
    from pywps.exceptions import NoApplicableCode
    from werkzeug.wrappers import Response

    environ = response.wps_request.http_request.environ
    try:
        answer = Response.from_app(response, environ)
    except Exception:  # e.g. raw output was asked for an output that there is not
        LOGGER.exception("the answer cannot be written")
        words = "The process succeeded, but the answer that was asked for cannot be written."
        answer = NoApplicableCode(words, code=500).get_response(environ)
    atomic_write(job.response, answer.get_data())
    facts.response = {"status": answer.status_code, "headers": list(answer.headers)}
    facts.write(job)
