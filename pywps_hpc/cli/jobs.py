"""``jobs``, ``show`` and ``log``: what is known of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from joblauncher.files import open_plain
from pywps_hpc.cli.common import CONFIG, age, clock, find_job, load, open_store
from pywps_hpc.jobs import ACTIVE, Wish
from pywps_hpc.spool import Spool


@click.command()
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Show ended jobs too.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
def jobs(config: Path, everything: bool, limit: int) -> None:
    """List jobs, newest first."""
    store = open_store(load(config))
    rows = store.recent(limit) if everything else store.in_state(ACTIVE)[-limit:][::-1]
    table = Table("job", "process", "state", "in the queue", "age", box=None, pad_edge=False)
    for row in rows:
        queue = f"{row.native_id} ({row.name})" if row.native_id else row.name
        state = row.state.value + (
            f" ({row.wish.value} asked)" if row.wish is not Wish.NONE else ""
        )
        table.add_row(row.id, row.process, state, queue, age(row.created))
    Console(markup=False, emoji=False).print(table)


@click.command()
@CONFIG
@click.argument("job_id")
def show(config: Path, job_id: str) -> None:
    """Show what is known of a job."""
    from joblauncher import report

    own = load(config)
    row = find_job(open_store(own), job_id)
    facts: dict[str, Any] = {
        "job": row.id,
        "process": row.process,
        "state": row.state.value,
        "queue": f"{own.scheduler} {row.native_id or '-'} ({row.name})",
        "accepted": clock(row.created),
        "submitted": clock(row.submitted),
        "started": clock(row.started),
        "ended": clock(row.finished),
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


@click.command()
@CONFIG
@click.argument("job_id")
def log(config: Path, job_id: str) -> None:
    """Print a job's standard output and error."""
    own = load(config)
    job = Spool(own.spool).open(find_job(open_store(own), job_id).id)
    try:
        with open_plain(job.log) as file:
            for line in file:
                click.echo(line.decode(errors="replace"), nl=False)
    except FileNotFoundError:
        raise click.ClickException("the job has not written a log yet") from None
    except OSError as error:
        raise click.ClickException(f"the job's log cannot be read: {error.strerror}") from None
