"""The WSGI application: a PyWPS service whose processes run elsewhere."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pywps.response.basic
from pywps import Service, configuration
from pywps.exceptions import InvalidParameterValue, NoApplicableCode
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Request, Response

from joblauncher.shared import failpoint, logs, storage
from pywps_hpc import jobs, settings
from pywps_hpc.jobs.identity import tie
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.retention import expires
from pywps_hpc.jobs.view import JobView
from pywps_hpc.settings.checks import host, pywps_sections, warnings
from pywps_hpc.spool import JobDir, Spool
from pywps_hpc.web import accept, input_references, mounted, outputs, pywps_patches, waiting
from pywps_hpc.web.addresses import Addresses, configured
from pywps_hpc.web.errors import Busy, NotFound, storage_trouble
from pywps_hpc.web.requests import guard, limits
from pywps_hpc.web.requests import inputs as request_inputs
from pywps_hpc.web.requests import outputs as request_outputs
from pywps_hpc.web.wps1 import descriptions, status, sync

LOGGER = logging.getLogger(__name__)

#: Whatever is answered is data to a browser, though a client or a process wrote part of it (W3C,
#: Content Security Policy Level 3). An answer with headers of its own keeps them.
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


#: The services of this process.
SERVICES: weakref.WeakSet[HpcService] = weakref.WeakSet()


class HpcService(Service):  # type: ignore[misc]
    """A :class:`pywps.Service` that spools Execute requests as jobs and shows their documents.

    Made by :func:`wrap` around an existing service. Beside the WPS endpoint it answers
    ``…/status/<job id>`` and ``…/outputs/<job id>/<file>``.
    """

    settings: settings.Settings
    store: jobs.JobStore
    spool: Spool
    addresses: Addresses
    waiters: waiting.Waiters
    is_compared: bool

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer one request with safe headers (PEP 3333)."""
        mounted.notice(environ)

        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            given = {name.lower() for name, _ in headers}
            safe = [(name, value) for name, value in SAFE.items() if name.lower() not in given]
            return start_response(status, [*headers, *safe], *rest)

        return super().__call__(environ, begin)

    def call(self, http_request: Request) -> Any:
        """Answer one request; never raises."""
        self.compare_processes()
        words = "The service cannot look after its jobs now. Please try later."
        try:
            shown = self.addresses.find(http_request.environ)
            if shown is not None:
                return self._show(http_request, *shown)
            with limits.turn(http_request, self.settings.retry_after):
                return self._operate(guard.read(http_request, self.preprocessors))
        except NoApplicableCode as error:
            error.__context__ = None
            return error.with_traceback(None)  # which holds the whole request
        except jobs.TableUnavailable as error:
            LOGGER.error("the job table cannot be asked: %s", error)
        except HTTPException as error:
            return NoApplicableCode(error.description, code=error.code)
        except Exception as error:
            if trouble := storage_trouble(error, self.spool.root):
                LOGGER.error("a request could not be answered: %s", error)
                words = f"Jobs cannot be accepted now: {trouble}."
            else:
                LOGGER.exception("a request could not be answered")
                words = "No applicable error code, please check error log."
                return NoApplicableCode(words, code=500)
        # Made here, since PyWPS logs the traceback of whatever is being handled.
        return Busy(words, self.settings.retry_after)

    def compare_processes(self) -> None:
        """Tell of sections for processes that the service does not have: once, when it has all."""
        if not self.is_compared:
            self.is_compared = True
            for warning in warnings.of_processes(self.settings, self.processes):
                LOGGER.warning("%s", warning)

    def _operate(self, wps_request: Any) -> Any:
        """Carry out a WPS operation."""
        job_id = jobs.new_id()
        if wps_request.operation == "getcapabilities":
            return self.get_capabilities(wps_request, job_id)
        if wps_request.operation == "describeprocess":
            return self.describe(wps_request, job_id, wps_request.identifiers)
        return self.execute(wps_request.identifier, wps_request, job_id)

    def prepare_process_for_execution(self, identifier: str) -> Any:
        """A copy of the process for one job.

        Raises:
            InvalidParameterValue: there is no such process.
        """
        if identifier not in self.processes:
            raise InvalidParameterValue(f"Unknown process '{identifier}'", "Identifier")
        process = copy.deepcopy(self.processes[identifier])
        process.service = self
        return process

    def execute(self, identifier: str, wps_request: Any, uuid: str) -> Any:
        """Accept a job; wait for it only if the client does.

        Raises:
            NoApplicableCode: it is not accepted; nothing of it is left.
        """
        process = self.prepare_process_for_execution(identifier)
        guard.check_inputs(wps_request, self.settings.inputs.max_inputs)
        self._require_spool()
        accept.admit(self.settings, self.store, identifier, wps_request.http_request)
        waits = not accept.is_asynchronous(process, wps_request)
        with self.waiters.place(waits) as place:
            if waits and wps_request.raw and not place:  # nothing but the output is an answer
                raise Busy("Too many clients wait for a result now.", self.settings.retry_after)
            return self._run(process, wps_request, uuid, place)

    def _run(self, process: Any, wps_request: Any, uuid: str, place: bool) -> Any:
        """Accept a job, and wait for it if there is a place to wait."""
        job = replace(self.spool.open(uuid), access=jobs.new_id())
        try:
            self.spool.create(uuid)
            failpoint.reach("accept.1")
            row, answer = self._accept(process, wps_request, job)
        except BaseException:
            if not self._is_recorded(uuid):
                self._discard(job)
            raise
        if not row.sync:
            return answer
        limits.end_turn()
        about = self._about(row)
        if not place:
            words = "Too many clients wait for a result now."
            return sync.goes_on(self._look(row, job), job, wps_request, about, words)
        listens = waiting.listens(wps_request.http_request.environ)
        row = accept.wait(self.store, job, row, self.settings.sync_timeout, listens)
        view, timeout = self._look(row, job), self.settings.sync_timeout
        return sync.sync_response(view, job, wps_request, about, timeout)

    def _require_spool(self) -> None:
        """Make sure that the spool is there, and the one that the job table belongs to.

        Raises:
            Busy: it is not.
        """
        try:
            if not self.spool.is_recognised:  # the table could not be asked at start
                tie(self.store, self.spool)
            self.spool.require()
            return
        except OSError as error:
            LOGGER.error("the spool cannot be used: %s", error.strerror)
        except settings.SettingsError as error:
            LOGGER.error("the spool cannot be used: %s", error)
        words = "The service cannot look after its jobs now: their storage is not there."
        raise Busy(words, self.settings.retry_after)

    def _is_recorded(self, job_id: str) -> bool:
        """Whether a job that could not be answered will be run all the same."""
        try:
            return self.store.get(job_id) is not None
        except jobs.TableUnavailable:
            # The client is told that it was not accepted. Should the table have its row after all,
            # the dispatcher will find no folder and end it.
            return False

    def _discard(self, job: JobDir) -> None:
        """Leave nothing of a job that was not accepted."""
        try:
            self.spool.remove(job.job_id)
        except OSError as error:  # the dispatcher's sweep comes by later
            LOGGER.warning("%s: its folder cannot be removed: %s", job.job_id, error.strerror)

    def _accept(self, process: Any, wps_request: Any, job: JobDir) -> Any:
        """PyWPS checks and fills in the inputs, then calls ``process.execute``: that is ours."""
        process.set_workdir(str(job.prepared))
        process.execute = lambda filled, _uuid: filled
        process.setup_outputs_from_wps_request = partial(request_outputs.choose, process)
        with guard.reading():
            request_inputs.check_inputs(process, wps_request)
            filled = self._parse_and_execute(process, wps_request, job.job_id)
        del process.execute, process.setup_outputs_from_wps_request
        url = urljoin(self.addresses.status, job.access)
        return accept.accept(self.settings, self.store, job, process, filled, url)

    def get_capabilities(self, wps_request: Any, uuid: str) -> Any:
        """The answer to GetCapabilities."""
        version = wps_request.version
        return descriptions.Capabilities(wps_request, uuid, version, processes=self.processes)

    def describe(self, wps_request: Any, uuid: str, identifiers: Any) -> Any:
        """The answer to DescribeProcess."""
        return descriptions.Descriptions(
            wps_request, uuid, processes=self.processes, identifiers=identifiers
        )

    def create_literal_inputs(self, source: Any, inputs: Any) -> Any:
        """Literal inputs of a request, by our rules."""
        return request_inputs.literals(source, inputs)

    def create_complex_inputs(self, source: Any, inputs: Any) -> Any:
        """Complex inputs of a request, by our rules."""
        return request_inputs.documents(source, inputs)

    def create_bbox_inputs(self, source: Any, inputs: Any) -> Any:
        """Bounding boxes of a request, by our rules."""
        return request_inputs.boxes(source, inputs)

    def _find(self, request: Request, access: str) -> jobs.Job:
        """The job at this address.

        Raises:
            NotFound: there is none (any more), or it is somebody else's: a stranger is told the
                same.
        """
        row = self.store.at(access)
        # When a job's time is over, the dispatcher removes its row: one clock decides.
        if row is None or not row.is_shown_to(request.remote_user or ""):
            raise NotFound("There is no such job.")
        return row

    def _is_reachable(self) -> bool:
        """Whether somebody can ask the batch system now, as far as is known."""
        try:
            leader = self.store.dispatcher()
        except jobs.TableUnavailable:  # nothing is known of it
            return True
        return (
            leader is not None
            and leader.is_alive(self.settings.dispatcher_lease)
            and leader.reach.reachable is not False
        )

    def _about(self, row: jobs.Job) -> status.About:
        process = self.processes.get(row.process)
        url = str(configuration.get_config_value("server", "url"))
        title = str(process.title) if process else ""
        return status.About(title, url, urljoin(self.addresses.status, row.access))

    def _look(self, row: jobs.Job, job: JobDir) -> JobView:
        """What is true of a job; the dispatcher is told where that has to be confirmed.

        Raises:
            OSError: the storage is in trouble.
        """
        view = look(
            row,
            job,
            scheduler=self.settings.scheduler,
            reachable=row.state not in jobs.WAITING or self._is_reachable(),
            expires=expires(row, self.settings.retention),
        )
        if view.is_ending and not row.end_seen:
            with contextlib.suppress(jobs.TableUnavailable):  # the next reader sees it, too
                self.store.saw_end(row.id)
        return view

    def _show(self, request: Request, kind: str, access: str, name: str) -> Response:
        """A job's status document, or one of its outputs."""
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD"])
        row = self._find(request, access)
        job, end = self.spool.open(row.id), expires(row, self.settings.retention)
        job = replace(job, access=row.access)
        if not os.path.lexists(job.status):
            self._require_spool()
        if kind == "status" and not name:
            try:
                document = status.status_document(self._look(row, job), job, self._about(row))
            except OSError as error:
                words = f"The job cannot be looked at now: {storage.trouble(error)}."
                raise Busy(words, self.settings.retry_after) from None
            return status.status_response(document, end)
        if kind == "outputs" and name and not row.is_dismissed:
            return outputs.output_response(request, job, name, end)
        raise NotFound("There is no such job.")


def wrap(service: Any, config: Sequence[str] = ()) -> Service:
    """See :func:`pywps_hpc.hpc`."""
    if isinstance(service, HpcService):
        return service
    if not isinstance(service, Service):
        raise TypeError(f"hpc() takes a pywps.Service, not {type(service).__name__}")
    name = ", ".join(config) or os.environ.get("PYWPS_CFG") or "the service's configuration"
    sections = configuration.CONFIG._sections
    if configuration.get_config_value("processing", "mode") != "scheduler":
        if any(section.split(".")[0] == "hpc" for section in sections):
            raise settings.SettingsError(f"{name}: [processing] mode: must be scheduler")
        LOGGER.warning("[processing] mode is not scheduler: processes run in the web server")
        return service
    own = settings.build(sections, name)
    pywps_sections.check_percent(sections, name)
    try:
        host.check_to_run(own)
    except settings.SettingsError as error:
        raise settings.SettingsError(f"{name}: {error}") from None
    # A service may have overridden methods of its own, and may be filled with processes later: the
    # new object is of a class made from its class, and shares its attributes.
    base = type(service)
    cls = HpcService if base is Service else type("HpcService", (HpcService, base), {})
    wrapped: HpcService = object.__new__(cls)
    wrapped.__dict__ = service.__dict__
    wrapped.settings, wrapped.is_compared = own, False
    wrapped.spool = Spool(own.spool)
    wrapped.waiters = waiting.Waiters(own.max_waiting)
    wrapped.store = jobs.JobStore(own.database_url, own.database_timeout)
    try:
        wrapped.store.create()
        tie(wrapped.store, wrapped.spool)
    except settings.SettingsError as error:
        raise settings.SettingsError(f"{name}: {error}") from None
    except jobs.SchemaTooNew as error:
        raise settings.SettingsError(f"{name}: [hpc] database: {error}") from None
    except jobs.TableUnavailable as error:
        LOGGER.error("the job table cannot be asked, requests for jobs are turned away: %s", error)
    logs.install()  # before any request is read
    _warn(own, sections, [*config, os.environ.get("PYWPS_CFG", "")])
    _set_addresses(wrapped)
    SERVICES.add(wrapped)
    _spare_request_log()
    guard.install()
    input_references.install(own)
    for who, process in {"every process": own.defaults, **own.processes}.items():
        if process.container.runtime == "none":
            LOGGER.warning("%s: runs without a container (runtime = none)", who)
        elif own.inputs.fetch == "node" and not process.container.network:
            LOGGER.info("%s: cannot fetch inputs (network = no, [hpc.inputs] fetch = node)", who)
    return wrapped


def _warn(own: settings.Settings, sections: settings.Sections, files: Sequence[str]) -> None:
    """Tell the administrator what is probably a mistake."""
    url = str(configuration.get_config_value("server", "url"))
    found = [*warnings.of_sections(sections), *warnings.of_url(url), *warnings.of_database(own)]
    found += warnings.of_files({Path(file) for file in files if file}, sections)
    for warning in (*pywps_patches.STRANGE, *found):
        LOGGER.warning("%s", warning)


def _set_addresses(service: HpcService) -> None:
    """Where documents and outputs are shown: beside the endpoint unless configured otherwise."""
    keys = ("url", "outputurl", "outputpath")
    values = (str(configuration.get_config_value("server", key)) for key in keys)
    service.addresses = configured(*values)
    if service.addresses.warning:
        LOGGER.warning("%s", service.addresses.warning)
    outputs = service.addresses.outputs.replace("%", "%%")
    configuration.CONFIG.set("server", "outputurl", outputs)


def _spare_request_log() -> None:
    """PyWPS logs each request to a database, by default one in memory that nobody can read and
    threads cannot share; only a real one is worth it."""
    if ":memory:" in str(configuration.get_config_value("logging", "database")):
        pywps.response.basic.store_status = lambda *_args, **_kwargs: None
