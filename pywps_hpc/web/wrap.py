"""Wrap a PyWPS service, so that its processes run as batch jobs."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pywps import Service, configuration

from joblauncher.shared import logs
from pywps_hpc import jobs, log_format, settings
from pywps_hpc.jobs.identity import tie
from pywps_hpc.settings.checks import host, pywps_sections, warnings
from pywps_hpc.spool import Spool
from pywps_hpc.web import mounted, pywps_patches, waiting
from pywps_hpc.web.addresses import configured
from pywps_hpc.web.application import PAGES, RULES, HpcService
from pywps_hpc.web.routes import Routes

LOGGER = logging.getLogger(__name__)


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
        wrapped = _made_of(service, own)
        _open_table(wrapped)
    except settings.SettingsError as error:
        raise settings.SettingsError(f"{name}: {error}") from None
    logs.install()  # before any request is read
    log_format.use(own.log_format, "PYWPS")
    _warn(own, sections, [*config, os.environ.get("PYWPS_CFG", "")])
    _set_addresses(wrapped)
    mounted.SERVICES.add(wrapped)
    pywps_patches.install(own)
    return wrapped


def _made_of(service: Service, own: settings.Settings) -> HpcService:
    """The service as one of ours.

    It may have overridden methods of its own, and may be filled with processes later: the new
    object is of a class made from its class, and shares its attributes.
    """
    base = type(service)
    cls = HpcService if base is Service else type("HpcService", (HpcService, base), {})
    wrapped: HpcService = object.__new__(cls)
    wrapped.__dict__ = service.__dict__
    wrapped.settings, wrapped.is_compared = own, False
    wrapped.spool = Spool(own.spool)
    wrapped.waiters = waiting.Waiters(own.max_waiting)
    wrapped.store = jobs.JobStore(own.database_url, own.database_timeout)
    return wrapped


def _open_table(service: HpcService) -> None:
    """Bring the job table to its present form, and make sure that it belongs to the spool.

    Raises:
        SettingsError: it is newer than this program, or of another spool.
    """
    try:
        service.store.create()
        tie(service.store, service.spool)
    except jobs.SchemaTooNew as error:
        raise settings.SettingsError(f"[hpc] database: {error}") from None
    except jobs.TableUnavailable as error:
        LOGGER.error("the job table cannot be reached, requests for jobs are refused: %s", error)


def _warn(own: settings.Settings, sections: settings.Sections, files: Sequence[str]) -> None:
    """Tell the administrator what is probably a mistake."""
    url = str(configuration.get_config_value("server", "url"))
    found = [*warnings.of_sections(sections), *warnings.of_url(url), *warnings.of_database(own)]
    found += warnings.of_files({Path(file) for file in files if file}, sections)
    for warning in (*pywps_patches.MISMATCHES, *found):
        LOGGER.warning("%s", warning)
    for who, process in {"every process": own.defaults, **own.processes}.items():
        if process.container.runtime == "none":
            LOGGER.warning("%s: runs without a container (runtime = none)", who)
        elif own.inputs.fetch == "node" and not process.container.network:
            LOGGER.info("%s: cannot fetch inputs (network = no, [hpc.inputs] fetch = node)", who)


def _set_addresses(service: HpcService) -> None:
    """Where documents and outputs are shown: beside the endpoint unless configured otherwise.

    Raises:
        SettingsError: they cannot be shown there.
    """
    keys = ("url", "outputurl", "outputpath")
    values = (str(configuration.get_config_value("server", key)) for key in keys)
    service.addresses = configured(*values)
    if service.addresses.warning:
        LOGGER.warning("%s", service.addresses.warning)
    known = (*RULES, PAGES) if service.settings.pages else RULES
    service.routes = Routes(rule for rules in known for rule in rules(service.addresses))
    outputs = service.addresses.outputs.replace("%", "%%")
    configuration.CONFIG.set("server", "outputurl", outputs)
