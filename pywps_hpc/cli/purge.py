"""``purge``: remove ended jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pywps_hpc import settings
from pywps_hpc.cli.common import CONFIG, clock, load, open_store
from pywps_hpc.jobs import JobStore
from pywps_hpc.jobs import clock as clocks
from pywps_hpc.jobs.identity import tie
from pywps_hpc.settings import readers
from pywps_hpc.spool import Spool


def _value(parse: Callable[[str], Any]) -> Callable[[Any, Any, str | None], Any]:
    """An option that is written as in the configuration file."""

    def callback(_context: Any, _option: Any, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


@click.command()
@CONFIG
@click.option(
    "--clock-is-right", is_flag=True, help="Confirm that a clock which jumped ahead is right."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option(
    "--older-than",
    metavar="AGE",
    callback=_value(readers.duration),
    help="Remove jobs that ended longer ago: 12h, 7d (default: age in [hpc.retention]).",
)
@click.option(
    "--keep-size",
    metavar="SIZE",
    callback=_value(readers.bound),
    help="Remove the oldest until the rest takes no more: 100G (default: size in [hpc.retention]).",
)
def purge(
    config: Path,
    dry_run: bool,
    clock_is_right: bool,
    older_than: float | None,
    keep_size: int | None,
) -> None:
    """Remove ended jobs with all that is left of them, the oldest first."""
    from joblauncher.shared.files import amount
    from pywps_hpc.dispatch.purge import Purger

    own = load(config)
    retention = own.retention
    if older_than is not None or keep_size is not None:
        retention = settings.Retention(older_than or 0.0, keep_size or 0)
    if retention == settings.Retention():
        raise click.UsageError(
            "no limit: give --older-than or --keep-size, or set age or size in [hpc.retention]"
        )
    store, spool = open_store(own), Spool(own.spool)
    try:
        tie(store, spool)
    except settings.SettingsError as error:
        raise click.ClickException(f"{config}: {error}") from None
    _believe_clock(store, clock_is_right, retention.age)
    purger = Purger(store, spool)
    try:
        purger.tidy()
        purger.measure()
        due = purger.due(retention, time.time())
        for expired in due:
            job = expired.job
            size = amount(job.size or 0)
            click.echo(f"{job.id}: {size}, ended {clock(job.finished)}: {expired.reason}")
            if not dry_run:
                purger.remove(expired)
        if not dry_run:
            purger.empty()
    except OSError as error:
        raise click.ClickException(f"the spool cannot be used: {error.strerror}") from None
    verb = "would be removed" if dry_run else "removed"
    total = amount(sum(expired.job.size or 0 for expired in due))
    click.echo(f"{len(due)} jobs, {total}: {verb}")


def _believe_clock(store: JobStore, is_right: bool, age: float) -> None:
    """Make sure that ages can be told by the clock.

    Raises:
        click.ClickException: it was set ahead, and nobody has said that it is right.
    """
    now, uptime = time.time(), clocks.boottime()
    if is_right:
        clocks.confirm(store, now, uptime)
    elif age and (doubt := clocks.look(store, now, uptime).doubt):
        raise click.ClickException(doubt)
