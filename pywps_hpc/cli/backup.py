"""``backup`` and ``restore``: copies of the job table."""

from __future__ import annotations

import time
from pathlib import Path

import click

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, load, open_store
from pywps_hpc.dispatch.leader import is_dead
from pywps_hpc.errors import TableError
from pywps_hpc.jobs import backup
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool


@click.command("backup")
@CONFIG
@selection.AS_JSON
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
def backup_command(config: Path, output: Path, as_json: bool) -> None:
    """Copy the job table to OUTPUT as it is at one moment, while the service runs.

    For SQLite; a table in PostgreSQL is copied with pg_dump. The spool is not copied.
    """
    own = load(config)
    try:
        jobs = backup.copy(backup.file_of(own.database_url), output)
    except backup.BackupFailed as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(selection.as_json({"file": str(output), "jobs": jobs}))
    else:
        click.echo(f"{output}: {jobs} jobs")


@click.command("restore")
@CONFIG
@click.option("--yes", is_flag=True, help="Do not ask.")
@selection.AS_JSON
@click.argument(
    "copy", metavar="COPY", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def restore_command(config: Path, copy: Path, yes: bool, as_json: bool) -> None:
    """Put COPY, made by `backup`, in the place of the job table. The service has to be stopped.

    The present table is kept beside it. Jobs accepted after the copy was made are not in it: their
    folders stay in the spool.
    """
    own = load(config)
    try:
        table = backup.file_of(own.database_url)
        jobs = backup.look(copy, _spool(own))
        _require_stopped(own)
        aside = table.with_name(f"{table.name}.before-{time.strftime('%Y%m%dT%H%M%S')}")
        told = f"This replaces {table} by {copy} ({jobs} jobs)."
        if not yes:
            click.confirm(f"{told} Continue? (--yes: do not ask)", abort=True, err=True)
        there = table.exists()
        backup.put_back(copy, table, aside)
    except backup.BackupFailed as error:
        raise click.ClickException(str(error)) from None
    kept = str(aside) if there else ""
    if as_json:
        click.echo(selection.as_json({"table": str(table), "jobs": jobs, "kept": kept}))
    else:
        click.echo(f"{table}: {jobs} jobs" + (f"; the table of before is {kept}" if kept else ""))


def _spool(own: Settings) -> str:
    """Its identity; empty if it has none, and so has no jobs."""
    try:
        return Spool(own.spool).identity()
    except OSError:
        return ""


def _require_stopped(own: Settings) -> None:
    """Make sure that no dispatcher leads.

    Raises:
        click.ClickException: one does.
    """
    try:
        leader = open_store(own, read_only=True).dispatcher()
    except (TableError, click.ClickException):
        return  # there is none that anybody could work with
    if leader and leader.is_alive(own.dispatcher_lease) and not is_dead(leader.holder):
        told = f"a dispatcher leads ({leader.host}, pid {leader.pid})"
        raise click.ClickException(f"{told}: stop web servers and dispatchers first")
