"""A gunicorn server around an existing PyWPS application: the web half of ``pywps-hpc serve``."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
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
        drain: seconds that a worker which is replaced at a reload goes on with what it has begun.
    """

    application: str
    bind: str
    workers: int = 2
    threads: int = 16
    waiters: int = 0
    drain: float = 330.0


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
    from pywps_hpc.web import mounted
    from pywps_hpc.web.application import HpcService

    if not isinstance(application, Service):
        return mounted.around(application)
    if configuration.get_config_value("server", "url") == _PYWPS_DEFAULT_URL:
        configuration.CONFIG.set("server", "url", f"http://{options.bind}/wps")
    wrapped = hpc(application)
    if isinstance(wrapped, HpcService):
        wrapped.compare_processes()
    return wrapped


_PYWPS_DEFAULT_URL = "http://localhost/wps"
#: Open files of a worker, at most: what its connections can make use of.
_FILES = 16384


def serve(options: ServerOptions, renew: Callable[[], ServerOptions]) -> None:
    """Run gunicorn in this process until it is told to stop (SIGTERM); SIGHUP reloads.

    Args:
        renew: the options by the configuration as it is now; raises
            :class:`~pywps_hpc.settings.SettingsError` if that cannot be used.

    Raises:
        StartFailed: the application cannot be served; one line says why.
    """
    from gunicorn.app.base import BaseApplication

    from pywps_hpc.web.server import master

    _allow_open_files()

    class Server(BaseApplication):  # type: ignore[misc]
        worker: Any = None
        drain = options.drain

        def load_config(self) -> None:
            self.cfg.set("bind", options.bind)
            self.cfg.set("workers", options.workers)
            self.cfg.set("threads", options.threads + options.waiters)
            self.cfg.set("worker_class", "pywps_hpc.web.server.worker.BufferingWorker")
            self.cfg.set("limit_request_line", 0)  # the worker bounds it
            self.cfg.set("proc_name", "pywps-hpc web")
            self.cfg.set("errorlog", "-")
            self.cfg.set("graceful_timeout", 10)
            if "control_socket_disable" in self.cfg.settings:  # gunicorn >= 25
                # One socket in the account's home would be shared by all services.
                self.cfg.set("control_socket_disable", True)

        def load(self) -> Any:
            """In a worker."""
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the master's business
            try:
                return load(options)
            except (Exception, SystemExit) as error:
                self.worker.boot.tell(why_not(options.application, error))
                sys.exit(0)  # other codes are told by gunicorn, too

        def renew(self) -> None:
            new = renew()
            self.drain = new.drain
            self.cfg.set("threads", new.threads + new.waiters)

    master.run(Server())


def why_not(application: str, error: BaseException) -> str:
    """Why an application cannot be served, in one line: what is wrong, and in which line of which
    file where that is the application's."""
    from gunicorn.errors import AppImportError

    from pywps_hpc.settings import SettingsError

    words = " ".join(str(error).split())
    if isinstance(error, SettingsError):
        return words
    module = application.partition(":")[0]
    if isinstance(error, ModuleNotFoundError) and error.name in (module, module.split(".")[0]):
        return f"{application} cannot be imported: there is no module {error.name} in {os.getcwd()}"
    if isinstance(error, AppImportError):
        return f"{application} cannot be imported: {words}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{application} cannot be imported: {type(error).__name__}: {words}{place}"


def _allow_open_files() -> None:
    """Let connections have as many files as this account may open (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
