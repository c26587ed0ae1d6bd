"""``jobs``, ``show`` and ``log``: what is known of jobs. They create and change nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from joblauncher.shared import storage
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
    state_of,
)
from pywps_hpc.jobs import ACTIVE
from pywps_hpc.jobs.leader import can_ask
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.retention import expires
from pywps_hpc.jobs.view import JobView, PublicState, job_view
from pywps_hpc.spool import Spool

JOB = click.argument("job_id", metavar="JOB")


@click.command()
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Show ended jobs too.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per job, one per line.")
def jobs(config: Path, everything: bool, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    try:
        own = load(config)
        store = open_store(own, read_only=True)
    except NoTable as error:  # so there are none
        click.echo(error.message, err=True)
        return
    rows = store.recent(limit) if everything else store.in_state(ACTIVE)[-limit:][::-1]
    seen = [job_view(row, None, scheduler=own.scheduler) for row in rows]
    if as_json:
        for view in seen:
            click.echo(json.dumps(_facts(view)))
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


@click.command()
@CONFIG
@JOB
def show(config: Path, job_id: str) -> None:
    """Show what is known of a job.

    JOB is its id or the beginning of it, its name in the queue, or the batch system's id.
    """
    own = load(config)
    store = open_store(own, read_only=True)
    row = find_job(store, own.scheduler, job_id)
    folder = Spool(own.spool).open(row.id)
    reachable = can_ask(store.dispatcher(), own.dispatcher_lease)
    end, place = expires(row, own.retention), str(folder.path)
    try:
        view = look(row, folder, scheduler=own.scheduler, reachable=reachable, expires=end)
    except OSError as error:
        place += f" (its report cannot be read: {storage.trouble(error)})"
        view = job_view(row, None, scheduler=own.scheduler, reachable=reachable, expires=end)
    show_facts(_told(view) | {"folder": place})


def _told(view: JobView) -> dict[str, object]:
    """What an administrator is told of a job, by the names that he reads."""
    facts: dict[str, object] = {
        "job": view.id,
        "process": view.process,
        "state": state_of(view),
        "queue": f"{view.queued.system} {view.queued.id or '-'} ({view.queued.name})",
        "accepted": clock(view.created),
        "submitted": clock(view.submitted),
        "started": clock(view.started),
        "ended": clock(view.finished),
        "message": view.message,
    }
    if view.owner:
        facts["owner"] = view.owner
    if view.expires is not None:
        facts["removed"] = clock(view.expires)
    said = {"process says": view.process_message, "batch says": view.batch_message}
    facts |= {name: message for name, message in said.items() if message not in view.message}
    if not view.attempts or view.state is PublicState.DISMISSED:
        return facts
    if view.percent is not None:
        facts["progress"] = f"{view.percent} %"
    facts["ran on"] = view.node or "-"
    facts["starts"] = view.attempts
    facts["exit code"] = "-" if view.exit_code is None else view.exit_code
    facts["signal"] = view.signal or "-"
    used = asdict(view.usage).items()
    return facts | {name.replace("_", " "): value for name, value in used if value is not None}


@click.command()
@CONFIG
@JOB
def log(config: Path, job_id: str) -> None:
    """Print a job's standard output and error.

    JOB is what `show` takes.
    """
    own = load(config)
    row = find_job(open_store(own, read_only=True), own.scheduler, job_id)
    job = Spool(own.spool).open(row.id)
    try:
        with open_plain(job.log) as file:
            for line in file:
                click.echo(line.decode(errors="replace"), nl=False)
    except FileNotFoundError:
        raise click.ClickException("the job has not written a log yet") from None
    except OSError as error:
        raise click.ClickException(f"the job's log cannot be read: {error.strerror}") from None
