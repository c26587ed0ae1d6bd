"""A gunicorn server around an existing PyWPS application: the web half of ``pywps-hpc serve``."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerOptions:
    """How to serve.

    Attributes:
        application: ``MODULE:NAME`` of a :class:`pywps.Service` or of a WSGI application.
        bind: ``HOST:PORT`` to listen on.
        workers: processes.
        threads: requests that are worked on at once in each.
        waiters: synchronous Executes that wait at once in each, beside these.
    """

    application: str
    bind: str
    workers: int = 2
    threads: int = 16
    waiters: int = 0


def load(options: ServerOptions) -> Any:
    """Import the application and wrap it, if that has not been done.

    Raises:
        SettingsError: the configuration cannot be used.
        gunicorn.errors.AppImportError: there is no such application.
    """
    from gunicorn.util import import_app

    sys.path.insert(0, os.getcwd())
    application = import_app(options.application)

    from pywps import Service, configuration

    from pywps_hpc import hpc
    from pywps_hpc.web import routes
    from pywps_hpc.web.service import HpcService

    if not isinstance(application, Service):
        return routes.around(application)
    if configuration.get_config_value("server", "url") == _PYWPS_DEFAULT_URL:
        configuration.CONFIG.set("server", "url", f"http://{options.bind}/wps")
    wrapped = hpc(application)
    if isinstance(wrapped, HpcService):
        wrapped.compare_processes()
    return wrapped


_PYWPS_DEFAULT_URL = "http://localhost/wps"
#: Open files of a worker, at most: what its connections can make use of.
_FILES = 16384


def serve(options: ServerOptions) -> None:
    """Run gunicorn in this process until it is told to stop (SIGTERM)."""
    from gunicorn.app.base import BaseApplication

    _allow_open_files()

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", options.bind)
            self.cfg.set("workers", options.workers)
            self.cfg.set("threads", options.threads + options.waiters)
            self.cfg.set("worker_class", "pywps_hpc.web.worker.BufferingWorker")
            self.cfg.set("limit_request_line", 0)  # the worker bounds it
            self.cfg.set("proc_name", "pywps-hpc web")
            self.cfg.set("errorlog", "-")
            self.cfg.set("graceful_timeout", 10)
            if "control_socket_disable" in self.cfg.settings:  # gunicorn >= 25
                # One socket in the account's home would be shared by all services.
                self.cfg.set("control_socket_disable", True)

        def load(self) -> Any:
            return load(options)

    Server().run()


def _allow_open_files() -> None:
    """Let connections have as many files as this account may open (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
