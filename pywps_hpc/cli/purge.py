"""``purge``: remove ended jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from joblauncher.shared.files import amount
from pywps_hpc import settings
from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, clock, load, open_store
from pywps_hpc.jobs import TERMINAL, JobStore
from pywps_hpc.jobs import clock as clocks
from pywps_hpc.jobs.identity import tie
from pywps_hpc.jobs.retention import Expired
from pywps_hpc.settings import readers
from pywps_hpc.spool import Spool


@click.command()
@CONFIG
@click.option(
    "--clock-is-right", is_flag=True, help="Confirm that a clock which jumped ahead is right."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option(
    "--older-than",
    metavar="AGE",
    callback=selection.value(readers.duration),
    help="Remove jobs that ended longer ago: 12h, 7d, 6mo (default: age in [hpc.retention]).",
)
@click.option(
    "--keep-size",
    metavar="SIZE",
    callback=selection.value(readers.bound),
    help="Remove the oldest until the rest takes no more: 100G (default: size in [hpc.retention]).",
)
@click.option("--yes", is_flag=True, help="Do not ask before more than half of them are removed.")
@selection.AS_JSON_LINES
def purge(
    config: Path,
    dry_run: bool,
    clock_is_right: bool,
    yes: bool,
    as_json: bool,
    older_than: float | None,
    keep_size: int | None,
) -> None:
    """Remove ended jobs with all that is left of them, the oldest first.

    Asks before it removes more than half of all ended jobs.
    """
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
        if not (dry_run or yes):
            _ask(store, due)
        for expired in due:
            click.echo(selection.as_json(_facts(expired)) if as_json else _line(expired))
            if not dry_run:
                purger.remove(expired)
        if not dry_run:
            purger.empty()
    except OSError as error:
        raise click.ClickException(f"the spool cannot be used: {error.strerror}") from None
    if as_json:
        return
    verb = "would be removed" if dry_run else "removed"
    total = amount(sum(expired.job.size or 0 for expired in due))
    click.echo(f"{len(due)} jobs, {total}: {verb}")


def _line(expired: Expired) -> str:
    job = expired.job
    size = amount(job.size or 0)
    return f"{job.id}: {size}, ended {clock(job.finished)}: {expired.reason}"


def _facts(expired: Expired) -> dict[str, object]:
    """For programs: bytes, and seconds since the epoch."""
    job = expired.job
    facts: dict[str, object] = {
        "job": job.id,
        "process": job.process,
        "size": job.size,
        "ended": job.finished,
    }
    return facts | {"reason": expired.reason}


def _ask(store: JobStore, due: Sequence[Expired]) -> None:
    """Have it confirmed that more than half of all ended jobs go, if these are several.

    Raises:
        click.Abort: it is not, or there is nobody to ask.
    """
    ended = sum(number for state, number in store.count().items() if state in TERMINAL)
    if len(due) < 2 or 2 * len(due) <= ended:
        return
    size = amount(sum(expired.job.size or 0 for expired in due))
    told = f"This removes {len(due)} of {ended} ended jobs ({size}) with their results."
    click.confirm(f"{told} Continue? (--yes: do not ask)", abort=True, err=True)


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
