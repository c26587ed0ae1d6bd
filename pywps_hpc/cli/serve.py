"""``serve``, ``web`` and ``dispatcher``: what runs until it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from pywps_hpc import lifecycle, log_format, settings
from pywps_hpc.cli import watching
from pywps_hpc.cli.common import CONFIG, open_store
from pywps_hpc.jobs import served
from pywps_hpc.settings import SettingsError
from pywps_hpc.settings.checks import host
from pywps_hpc.spool import Spool

#: Variables with the name by which a dispatcher that reloads goes on leading, and with the number
#: of a descriptor from which it reads the settings that were found to be right: the file may have
#: been changed since.
HOLDER, SETTINGS = "PYWPS_HPC_HOLDER", "PYWPS_HPC_SETTINGS_FD"


def _serving(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both servers are given."""
    for parameter in (
        click.option(
            "--threads",
            default=16,
            show_default=True,
            type=click.IntRange(1),
            help="Requests that each process answers at once.",
        ),
        click.option(
            "--workers",
            default=2,
            show_default=True,
            type=click.IntRange(1),
            help="Processes of the web server.",
        ),
        click.option(
            "--bind",
            default="127.0.0.1:5000",
            show_default=True,
            metavar="HOST:PORT",
            help="Where to listen; or unix:PATH, a Unix socket.",
        ),
        CONFIG,
        click.argument("application", metavar="MODULE:APP"),
    ):
        command = parameter(command)
    return command


@contextlib.contextmanager
def _errors_shown() -> Iterator[None]:
    """A mistake of the administrator's ends the command with one line."""
    try:
        yield
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _require_server() -> None:
    """Make sure that the web server is installed, which is an extra.

    Raises:
        SettingsError: it is not.
    """
    if find_spec("gunicorn") is None:
        raise SettingsError("gunicorn is not installed: pip install 'pywps-hpc[server]'")


@click.command()
@_serving
def serve(application: str, config: Path, bind: str, workers: int, threads: int) -> None:
    """Serve an existing PyWPS application: web server and dispatcher in one command.

    SIGHUP re-reads the configuration and opens log files anew.
    """
    from pywps_hpc.dispatch.schedulers.registry import check
    from pywps_hpc.supervisor import Child, supervise

    def usable() -> None:
        check(settings.load_to_serve(config))

    with _errors_shown():
        _require_server()
        usable()
        log_format.use(settings.load([config]).log_format)
        host.check_address(bind)
    web = ["web", application, "--bind", bind, "--workers", str(workers), "--threads", str(threads)]
    where = ["--config", str(config.absolute())]
    children = [
        Child("dispatcher", ["dispatcher", *where]),
        Child("web server", [*web, *where]),
    ]
    sys.exit(supervise(children, usable))


@click.command()
@_serving
def web(application: str, config: Path, bind: str, workers: int, threads: int) -> None:
    """Serve an existing PyWPS application; the dispatcher runs elsewhere."""
    with _errors_shown():
        _require_server()
    from pywps_hpc.web.load import load
    from pywps_hpc.web.server.importing import Loaded
    from pywps_hpc.web.server.master import StartFailed
    from pywps_hpc.web.server.serve import ServerOptions
    from pywps_hpc.web.server.serve import serve as run

    def options(own: settings.Settings) -> ServerOptions:
        drain = own.sync_timeout + 30
        return ServerOptions(bind, workers, threads, own.max_waiting, drain)

    def renewed() -> ServerOptions:
        return options(settings.load_to_serve(config))

    with _errors_shown(), contextlib.ExitStack() as at_end:
        own = settings.load_to_serve(config)
        host.check_address(bind)
        log_format.use(own.log_format)
        store = open_store(own, wait=True)
        served.note(store, application, bind)
        begin = at_end.enter_context(watching.web(own, store))

        def load_in_worker() -> Loaded:
            loaded = load(application, bind)
            begin()
            return loaded

        os.environ["PYWPS_CFG"] = str(config.absolute())  # PyWPS reads it when it is imported
        sys.argv[1:] = []  # gunicorn has options of its own
        try:
            run(options(own), load_in_worker, renewed)
        except StartFailed as error:
            raise click.ClickException(str(error)) from None


@click.command()
@CONFIG
def dispatcher(config: Path) -> None:
    """Run the dispatcher: submit, watch and end batch jobs."""
    from pywps_hpc.dispatch.dispatcher import Dispatcher
    from pywps_hpc.dispatch.schedulers.registry import check, make_scheduler, with_pilots

    stop, hangup = lifecycle.Signalled(), lifecycle.Signalled()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: lifecycle.reopen_logs_aside())
    with _errors_shown(), contextlib.ExitStack() as at_end:
        own = settings.load_to_run(config, _handed_over())
        log_format.use(own.log_format)
        store = open_store(own, wait=True)
        holder = os.environ.pop(HOLDER, "")
        scheduler = with_pilots(make_scheduler(own), own)
        at_end.enter_context(contextlib.closing(scheduler))
        at_work = Dispatcher(own, store, Spool(own.spool), scheduler, holder=holder)
        watching.dispatcher(own, store, lambda: at_work.is_turning)
        lifecycle.on_hangup(hangup.set)
        while at_work.run(stop, hangup):
            hangup.clear()
            lifecycle.reopen_logs()
            try:
                read = settings.read_files([config])
                new = settings.load_to_run(config, read)
                check(new)
            except SettingsError as error:
                at_work.say("not reloaded, the previous settings stay: %s", error)
                continue
            if new.database_url == own.database_url:
                os.environ[HOLDER] = at_work.holder
            else:
                at_work.resign()
            at_end.close()
            # A new program in the same process: nothing of the old settings is left anywhere.
            _hand_over(read)
            lifecycle.hold_signals()
            os.execv(sys.executable, [sys.executable, "-m", "pywps_hpc", *sys.argv[1:]])


def _hand_over(read: settings.Read) -> None:
    """Leave settings for :func:`_handed_over` in the program that this process becomes."""
    file = os.memfd_create("settings", 0)  # in memory alone: there are passwords in them
    os.write(file, json.dumps(read).encode())
    os.lseek(file, 0, os.SEEK_SET)
    os.environ[SETTINGS] = str(file)


def _handed_over() -> settings.Read | None:
    """What the program before this one has found to be right; ``None``: there was none."""
    number = os.environ.pop(SETTINGS, "")
    if not number.isdigit():
        return None
    with os.fdopen(int(number), "rb") as file:
        sections, origin = json.load(file)
    return sections, origin
