"""``serve``, ``web`` and ``dispatcher``: what runs until it is stopped."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import click

from pywps_hpc import settings
from pywps_hpc.cli.common import CONFIG, load_to_run, open_store
from pywps_hpc.jobs import TableUnavailable
from pywps_hpc.spool import Spool


@click.command()
@click.argument("application", metavar="MODULE:APP")
@CONFIG
@click.option("--bind", default="127.0.0.1:5000", show_default=True, metavar="HOST:PORT")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1))
def serve(application: str, config: Path, bind: str, workers: int, threads: int) -> None:
    """Serve an existing PyWPS application: web server and dispatcher in one command."""
    from pywps_hpc.serve import Child, supervise

    store = open_store(load_to_run(config), wait=True)
    begun = time.monotonic()

    def dispatcher_lives() -> bool:
        try:
            return store.heartbeat()[0] < time.monotonic() - begun
        except TableUnavailable:
            return False

    web = ["web", application, "--bind", bind, "--workers", str(workers), "--threads", str(threads)]
    where = ["--config", str(config.absolute())]
    dispatch = Child("dispatcher", ["dispatcher", *where])
    sys.exit(supervise([dispatch, Child("web server", [*web, *where])], dispatcher_lives))


@click.command()
@click.argument("application", metavar="MODULE:APP")
@CONFIG
@click.option("--bind", default="127.0.0.1:5000", show_default=True, metavar="HOST:PORT")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1))
def web(application: str, config: Path, bind: str, workers: int, threads: int) -> None:
    """Serve an existing PyWPS application; the dispatcher runs elsewhere."""
    from pywps_hpc.web.server import ServerOptions
    from pywps_hpc.web.server import serve as run

    own = load_to_run(config)
    open_store(own, wait=True)
    os.environ["PYWPS_CFG"] = str(config.absolute())  # PyWPS reads it when it is imported
    sys.argv[1:] = []  # gunicorn has options of its own
    run(ServerOptions(application, bind, workers, threads, own.max_waiting))


@click.command()
@CONFIG
def dispatcher(config: Path) -> None:
    """Run the dispatcher: submit, watch and end batch jobs."""
    import signal

    from pywps_hpc.dispatch.build import make_scheduler
    from pywps_hpc.dispatch.dispatcher import Dispatcher

    own = load_to_run(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_store(own, wait=True)
    try:
        at_work = Dispatcher(own, store, Spool(own.spool), make_scheduler(own))
    except settings.SettingsError as error:
        raise click.ClickException(f"{config}: {error}") from None
    at_work.run(stop)
