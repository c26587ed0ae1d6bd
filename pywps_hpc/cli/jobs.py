"""``jobs``, ``show`` and ``log``: what is known of jobs. They create and change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from joblauncher.shared.files import open_plain
from pywps_hpc.cli.common import (
    CONFIG,
    NoTable,
    age,
    clock,
    columns,
    find_job,
    load,
    open_store,
    queue_of,
    show_facts,
)
from pywps_hpc.jobs import ACTIVE, TERMINAL, ControlRequest, Job
from pywps_hpc.spool import Spool

JOB = click.argument("job_id", metavar="JOB")


@click.command()
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Show ended jobs too.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a job and line.")
def jobs(config: Path, everything: bool, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    try:
        store = open_store(load(config), read_only=True)
    except NoTable as error:  # so there are none
        click.echo(error.message, err=True)
        return
    rows = store.recent(limit) if everything else store.in_state(ACTIVE)[-limit:][::-1]
    if as_json:
        for row in rows:
            click.echo(json.dumps(_facts(row)))
        return
    heading = ("job", "process", "state", "in the queue", "age")
    lines = [(row.id, row.process, _state(row), queue_of(row), age(row.created)) for row in rows]
    for line in columns([heading, *lines]):
        click.echo(line)


def _state(row: Job) -> str:
    if row.state in TERMINAL or row.control is ControlRequest.NONE:
        return row.state.value
    return (
        "being dismissed" if row.is_dismissed else f"{row.state.value} ({row.control.value} asked)"
    )


def _facts(row: Job) -> dict[str, Any]:
    """Times are seconds since the epoch, 0 before they have come."""
    return {
        "job": row.id,
        "process": row.process,
        "state": row.state.value,
        "asked": row.control.value,
        "native_id": row.native_id,
        "name": row.name,
        "owner": row.owner,
        "message": row.message,
        "accepted": row.created,
        "submitted": row.submitted,
        "started": row.started,
        "ended": row.finished,
    }


@click.command()
@CONFIG
@JOB
def show(config: Path, job_id: str) -> None:
    """Show what is known of a job.

    JOB is its id or the beginning of it, its name in the queue, or the batch system's id.
    """
    from joblauncher.shared import outcome

    own = load(config)
    row = find_job(open_store(own, read_only=True), job_id)
    facts: dict[str, object] = {
        "job": row.id,
        "process": row.process,
        "state": _state(row),
        "queue": f"{own.scheduler} {row.native_id or '-'} ({row.name})",
        "accepted": clock(row.created),
        "submitted": clock(row.submitted),
        "started": clock(row.started),
        "ended": clock(row.finished),
        "message": row.message,
    }
    job = Spool(own.spool).open(row.id)
    facts["folder"] = str(job.path)
    latest = outcome.read(job)
    if latest and not row.is_dismissed:
        # Of a failure no percentage is known; the report has 100, as the end of all that follows.
        done = "" if latest.state == outcome.FAILED else f", {latest.percent} %"
        facts["process says"] = f"{latest.state}{done}: {latest.message}"
        facts["ran on"] = latest.host
        facts["exit code"] = "-" if latest.exit_code is None else latest.exit_code
        facts["signal"] = latest.signal or "-"
        facts |= {name.replace("_", " "): value for name, value in latest.usage.items()}
    show_facts(facts)


@click.command()
@CONFIG
@JOB
def log(config: Path, job_id: str) -> None:
    """Print a job's standard output and error.

    JOB is what `show` takes.
    """
    own = load(config)
    job = Spool(own.spool).open(find_job(open_store(own, read_only=True), job_id).id)
    try:
        with open_plain(job.log) as file:
            for line in file:
                click.echo(line.decode(errors="replace"), nl=False)
    except FileNotFoundError:
        raise click.ClickException("the job has not written a log yet") from None
    except OSError as error:
        raise click.ClickException(f"the job's log cannot be read: {error.strerror}") from None
