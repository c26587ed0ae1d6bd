"""``jobs``: the list of jobs. It creates and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import (
    CONFIG,
    NoTable,
    age,
    columns,
    load,
    open_store,
    queue_of,
    state_of,
)
from pywps_hpc.jobs.view import JobView, job_view


@click.command()
@CONFIG
@selection.OWNER
@selection.PROCESS
@selection.STATE
@selection.SINCE
@click.option("--all", "everything", is_flag=True, help="Show ended jobs too.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1), help="Most jobs to list."
)
@selection.AS_JSON_LINES
def jobs(
    config: Path,
    owner: str | None,
    processes: tuple[str, ...],
    states: tuple[str, ...],
    since: float | None,
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first; those that have not ended, unless --all or --state is given."""
    try:
        own = load(config)
        store = open_store(own, read_only=True)
    except NoTable as error:  # so there are none
        click.echo(error.message, err=True)
        return
    chosen = states or (() if everything else ("active",))
    rows = store.listed(selection.wanted(owner, processes, chosen, since), limit)
    seen = [job_view(row, None, scheduler=own.scheduler) for row in rows]
    if as_json:
        for view in seen:
            click.echo(selection.as_json(_facts(view)))
        return
    heading = ("job", "process", "state", "in the queue", "age")
    lines = [(v.id, v.process, state_of(v), queue_of(v), age(v.created)) for v in seen]
    for line in columns([heading, *lines]):
        click.echo(line)


def _facts(view: JobView) -> dict[str, Any]:
    """Times are seconds since the epoch, 0 before they have come."""
    return {
        "job": view.id,
        "process": view.process,
        "state": view.recorded.value,
        "asked": view.requested.value,
        "native_id": view.queued.id,
        "name": view.queued.name,
        "owner": view.owner,
        "message": view.batch_message,
        "accepted": view.created or 0.0,
        "submitted": view.submitted or 0.0,
        "started": view.started or 0.0,
        "ended": view.finished or 0.0,
    }
