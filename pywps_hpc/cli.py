"""``pywps-hpc``: what an administrator runs."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from joblauncher.files import open_plain
from pywps_hpc import __version__, settings, values
from pywps_hpc.jobs import ACTIVE, Job, JobStore, SchemaTooNew, TableUnavailable, Wish
from pywps_hpc.spool import Spool, is_job_id

CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="PYWPS_CFG",
    required=True,
    help="The service's PyWPS configuration file (default: $PYWPS_CFG).",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pywps-hpc")
def commands() -> None:
    """Run the processes of a PyWPS service on an HPC cluster."""


@commands.command()
@click.argument("application", metavar="MODULE:APP")
@CONFIG
@click.option("--bind", default="127.0.0.1:5000", show_default=True, metavar="HOST:PORT")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1))
def serve(application: str, config: Path, bind: str, workers: int, threads: int) -> None:
    """Serve an existing PyWPS application: web server and dispatcher in one command."""
    from pywps_hpc.serve import Child, supervise

    store = _store(_load_to_run(config), wait=True)
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


@commands.command()
@click.argument("application", metavar="MODULE:APP")
@CONFIG
@click.option("--bind", default="127.0.0.1:5000", show_default=True, metavar="HOST:PORT")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1))
def web(application: str, config: Path, bind: str, workers: int, threads: int) -> None:
    """Serve an existing PyWPS application; the dispatcher runs elsewhere."""
    from pywps_hpc.web.server import ServerOptions
    from pywps_hpc.web.server import serve as run

    _store(_load_to_run(config), wait=True)
    os.environ["PYWPS_CFG"] = str(config.absolute())  # PyWPS reads it when it is imported
    sys.argv[1:] = []  # gunicorn has options of its own
    run(ServerOptions(application, bind, workers, threads))


@commands.command()
@CONFIG
def dispatcher(config: Path) -> None:
    """Run the dispatcher: submit, watch and end batch jobs."""
    import signal

    from pywps_hpc.dispatch.build import make_scheduler
    from pywps_hpc.dispatch.dispatcher import Dispatcher

    own = _load_to_run(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = _store(own, wait=True)
    try:
        at_work = Dispatcher(own, store, Spool(own.spool), make_scheduler(own))
    except settings.SettingsError as error:
        raise click.ClickException(f"{config}: {error}") from None
    at_work.run(stop)


@commands.command()
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Show ended jobs too.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
def jobs(config: Path, everything: bool, limit: int) -> None:
    """List jobs, newest first."""
    store = _store(_load(config))
    rows = store.recent(limit) if everything else store.in_state(ACTIVE)[-limit:][::-1]
    table = Table("job", "process", "state", "in the queue", "age", box=None, pad_edge=False)
    for row in rows:
        queue = f"{row.native_id} ({row.name})" if row.native_id else row.name
        state = row.state.value + (
            f" ({row.wish.value} asked)" if row.wish is not Wish.NONE else ""
        )
        table.add_row(row.id, row.process, state, queue, _age(row.created))
    Console(markup=False, emoji=False).print(table)


@commands.command()
@CONFIG
@click.argument("job_id")
def show(config: Path, job_id: str) -> None:
    """Show what is known of a job."""
    from joblauncher import report

    own = _load(config)
    row = _job(_store(own), job_id)
    facts: dict[str, Any] = {
        "job": row.id,
        "process": row.process,
        "state": row.state.value,
        "queue": f"{own.scheduler} {row.native_id or '-'} ({row.name})",
        "accepted": _clock(row.created),
        "submitted": _clock(row.submitted),
        "started": _clock(row.started),
        "ended": _clock(row.finished),
        "message": row.message,
    }
    job = Spool(own.spool).open(row.id)
    facts["folder"] = str(job.path)
    latest = report.read(job)
    if latest:
        facts["process says"] = f"{latest.state}, {latest.percent} %: {latest.message}"
        facts["ran on"] = latest.host
        facts["exit code"] = "-" if latest.exit_code is None else latest.exit_code
        facts["signal"] = latest.signal or "-"
        facts |= {name.replace("_", " "): value for name, value in latest.usage.items()}
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(name, str(value), end_section=False)
    Console(soft_wrap=True, markup=False, emoji=False).print(table)


@commands.command()
@CONFIG
@click.argument("job_id")
def log(config: Path, job_id: str) -> None:
    """Print a job's standard output and error."""
    own = _load(config)
    job = Spool(own.spool).open(_job(_store(own), job_id).id)
    try:
        with open_plain(job.log) as file:
            for line in file:
                click.echo(line.decode(errors="replace"), nl=False)
    except FileNotFoundError:
        raise click.ClickException("the job has not written a log yet") from None
    except OSError as error:
        raise click.ClickException(f"the job's log cannot be read: {error.strerror}") from None


@commands.command()
@CONFIG
@click.argument("job_ids", nargs=-1, required=True)
def cancel(config: Path, job_ids: tuple[str, ...]) -> None:
    """Dismiss jobs; the dispatcher ends them in the batch system."""
    _wish(config, job_ids, Wish.DISMISS, "will be dismissed")


@commands.command()
@CONFIG
@click.argument("job_ids", nargs=-1, required=True)
def pause(config: Path, job_ids: tuple[str, ...]) -> None:
    """Hold jobs that wait, suspend jobs that run."""
    _wish(config, job_ids, Wish.PAUSE, "will be paused")


@commands.command()
@CONFIG
@click.argument("job_ids", nargs=-1, required=True)
def resume(config: Path, job_ids: tuple[str, ...]) -> None:
    """Let paused jobs go on."""
    _wish(config, job_ids, Wish.RESUME, "will go on")


def _value(parse: Callable[[str], Any]) -> Callable[[Any, Any, str | None], Any]:
    """An option that is written as in the configuration file."""

    def callback(_context: Any, _option: Any, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


@commands.command()
@CONFIG
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option(
    "--older-than",
    metavar="AGE",
    callback=_value(values.duration),
    help="Jobs that ended longer ago: 12h, 7d (default: age in [hpc.retention]).",
)
@click.option(
    "--keep-size",
    metavar="SIZE",
    callback=_value(values.bound),
    help="The oldest, until the others take no more: 100G (default: size in [hpc.retention]).",
)
def purge(config: Path, dry_run: bool, older_than: float | None, keep_size: int | None) -> None:
    """Remove ended jobs with all that is left of them, the oldest first."""
    from joblauncher.files import amount
    from pywps_hpc.dispatch.purge import Purger

    own = _load(config)
    retention = own.retention
    if older_than is not None or keep_size is not None:
        retention = settings.Retention(older_than or 0.0, keep_size or 0)
    if retention == settings.Retention():
        raise click.UsageError("no limit: give --older-than or --keep-size, or set [hpc.retention]")
    purger = Purger(_store(own), Spool(own.spool))
    try:
        purger.measure()
        due = purger.due(retention, time.time())
        for expired in due:
            job = expired.job
            size = amount(job.size or 0)
            click.echo(f"{job.id}: {size}, ended {_clock(job.finished)}: {expired.reason}")
            if not dry_run:
                purger.remove(expired)
        if not dry_run:
            purger.empty()
    except OSError as error:
        raise click.ClickException(f"the spool cannot be used: {error.strerror}") from None
    words = "would be removed" if dry_run else "removed"
    total = amount(sum(expired.job.size or 0 for expired in due))
    click.echo(f"{len(due)} jobs, {total}: {words}")


@commands.group()
def image() -> None:
    """Container images for the jobs."""


@image.command("build")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-r",
    "--requirement",
    "requirements",
    multiple=True,
    metavar="REQ",
    help="What the processes need, as pip takes it; may be given several times.",
)
@click.option(
    "--no-deps",
    "no_deps",
    multiple=True,
    metavar="REQ",
    help="The same, without what it depends on itself.",
)
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mirror", help="Debian mirror (default: this machine's own).")
@click.option("--suite", help="Debian suite (default: this machine's own).")
def image_build(
    output: Path,
    requirements: tuple[str, ...],
    no_deps: tuple[str, ...],
    recipe: Path | None,
    mirror: str | None,
    suite: str | None,
) -> None:
    """Build an image with this version of pywps-hpc and what the processes need."""
    from pywps_hpc import images

    try:
        images.build(
            output,
            requirements=[images.own_requirement(), *requirements],
            no_deps=no_deps,
            recipe=recipe,
            mirror=mirror,
            suite=suite,
        )
    except images.ImageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"built {output}")


def _load(config: Path) -> settings.Settings:
    try:
        return settings.load([config])
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None


def _load_to_run(config: Path) -> settings.Settings:
    own = _load(config)
    try:
        settings.refuse_root(own)
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None
    return own


def _store(own: settings.Settings, *, wait: bool = False) -> JobStore:
    """The job table.

    Args:
        wait: whether a server that does not answer yet will be asked again later.
    """
    store = JobStore(own.database_url, own.database_timeout)
    try:
        store.create()
    except SchemaTooNew as error:
        raise click.ClickException(str(error)) from None
    except TableUnavailable as error:
        if not wait:
            raise
        logging.getLogger(__name__).error("the job table cannot be asked yet: %s", error)
    return store


def _job(store: JobStore, job_id: str) -> Job:
    row = store.get(job_id) if is_job_id(job_id) else None
    if row is None:
        raise click.ClickException(f"there is no job {job_id}")
    return row


def _wish(config: Path, job_ids: tuple[str, ...], wish: Wish, words: str) -> None:
    store = _store(_load(config))
    for job_id in job_ids:
        row = _job(store, job_id)
        if store.wish(row.id, wish):
            click.echo(f"{row.id}: {words}")
        else:
            click.echo(f"{row.id}: is over, or being dismissed")


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"


def _age(since: float) -> str:
    minutes, seconds = divmod(int(time.time() - since), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def main() -> None:
    """Entry point of ``pywps-hpc``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        commands(prog_name="pywps-hpc")
    except TableUnavailable as error:
        sys.exit(f"Error: the job table cannot be asked: {error}")
