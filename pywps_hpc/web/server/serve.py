"""Serve an application with gunicorn: the web half of ``pywps-hpc serve``."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pywps_hpc.web.server.importing import Loaded, LoadFailed


@dataclass(frozen=True)
class ServerOptions:
    """How to serve.

    Attributes:
        bind: ``HOST:PORT`` to listen on.
        workers: processes.
        threads: requests that are worked on at once in each.
        waiters: synchronous Executes that wait at once in each, beside these.
        drain: seconds that a worker which is replaced at a reload goes on with what it has begun.
    """

    bind: str
    workers: int = 2
    threads: int = 16
    waiters: int = 0
    drain: float = 330.0


#: Open files of a worker, at most: what its connections can make use of.
_FILES = 16384


def serve(
    options: ServerOptions, load: Callable[[], Loaded], renew: Callable[[], ServerOptions]
) -> None:
    """Run gunicorn in this process until it is told to stop (SIGTERM); SIGHUP reloads.

    Args:
        load: the application; called in each worker. Raises
            :class:`~pywps_hpc.web.server.importing.LoadFailed` if it cannot be served.
        renew: the options by the configuration as it is now; raises :class:`ValueError` if that
            cannot be used.

    Raises:
        StartFailed: the application cannot be served; one line says why.
    """
    from gunicorn.app.base import BaseApplication

    from pywps_hpc.web.server import master

    _allow_open_files()

    class Server(BaseApplication):  # type: ignore[misc]
        worker: Any = None
        drain = options.drain
        largest_body = 0

        def load_config(self) -> None:
            self.cfg.set("bind", options.bind)
            self.cfg.set("workers", options.workers)
            self.cfg.set("threads", options.threads + options.waiters)
            self.cfg.set("worker_class", "pywps_hpc.web.server.worker.BufferingWorker")
            self.cfg.set("limit_request_line", 0)  # the worker bounds it
            self.cfg.set("proc_name", "pywps-hpc web")
            self.cfg.set("errorlog", "-")
            self.cfg.set("logger_class", "pywps_hpc.web.server.log.SameLogger")
            self.cfg.set("graceful_timeout", 10)
            # One socket in the account's home would be shared by all services.
            self.cfg.set("control_socket_disable", True)

        def load(self) -> Any:
            """In a worker."""
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the master's business
            try:
                loaded = load()
            except LoadFailed as error:
                self.worker.boot.report(str(error))
                sys.exit(0)  # other codes are told by gunicorn, too
            self.largest_body = loaded.largest_body
            return loaded.application

        def renew(self) -> None:
            new = renew()
            self.drain = new.drain
            self.cfg.set("threads", new.threads + new.waiters)

    master.run(Server())


def _allow_open_files() -> None:
    """Let connections have as many files as this account may open (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
