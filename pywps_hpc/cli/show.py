"""``show`` and ``log``: what is known of one job. They create and change nothing."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from joblauncher.shared import storage
from joblauncher.shared.files import open_plain
from joblauncher.shared.jobdir import JobDir
from pywps_hpc import durations
from pywps_hpc.cli import selection
from pywps_hpc.cli.common import (
    CONFIG,
    clock,
    find_job,
    load,
    open_store,
    show_facts,
    state_of,
)
from pywps_hpc.dispatch.schedulers.pilots.lookup import Place, place_of
from pywps_hpc.jobs import TERMINAL, Job, JobStore
from pywps_hpc.jobs.leader import can_ask
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.retention import expires
from pywps_hpc.jobs.view import JobView, PublicState, job_view
from pywps_hpc.settings import Resources, Settings, needs
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING

JOB = click.argument("job_id", metavar="JOB")


@click.command()
@CONFIG
@selection.AS_JSON
@JOB
def show(config: Path, job_id: str, as_json: bool) -> None:
    """Show what is known of a job.

    JOB is its id or the beginning of it, its name in the queue, or the batch system's id.
    """
    own = load(config)
    store = open_store(own, read_only=True)
    row = find_job(store, own.scheduler, job_id)
    folder = Spool(own.spool).open(row.id)
    reachable = can_ask(store.dispatcher(), own.dispatcher_lease)
    again = [one.id for one in store.retries(row.id)]
    end, trouble = expires(row, own.retention), ""
    try:
        view = look(row, folder, scheduler=own.scheduler, reachable=reachable, expires=end)
    except OSError as error:
        trouble = f"its report cannot be read: {storage.trouble(error)}"
        view = job_view(row, None, scheduler=own.scheduler, reachable=reachable, expires=end)
    asked = needs.of_job(own, row).resources
    place = place_of(own.spool, row.native_id)
    if as_json:
        facts = _data(view) | {"asks_for": asdict(asked), "trouble": trouble}
        facts |= {"batch_job": place.native, "pilot": place.pilot and str(place.pilot)}
        facts |= {"folder": str(folder.path), "log": str(folder.log), "retried_as": again}
        click.echo(selection.as_json(facts))
        return
    told = _shown(view) | _of_pilot(own, row, place) | {"asks for": _resources(asked)}
    told |= {"retried as": ", ".join(again)} if again else {}
    where = f"{folder.path} ({trouble})" if trouble else str(folder.path)
    show_facts(told | {"log": folder.log, "folder": where})


def _of_pilot(own: Settings, row: Job, place: Place) -> dict[str, object]:
    """The batch job of a job that was given to a pilot."""
    native = f"{own.scheduler} {place.native or '-'}"
    if place.pilot is not None:
        return {"pilot": f"{native} ({place.pilot}/job.log)"}
    return {"batch job": native} if place.native != row.native_id else {}


def _data(view: JobView) -> dict[str, Any]:
    """For programs. Times are seconds since the epoch; ``null``: not yet, or not known."""
    outputs = [output.identifier for output in view.outputs]
    found = asdict(view) | {"outputs": outputs, "actions": sorted(a.value for a in view.actions)}
    found |= {"state": view.state.value, "recorded": view.recorded.value}
    found |= {"requested": view.requested.value, "cause": view.cause.value}
    return {"job": found.pop("id"), **found}


def _resources(asked: Resources) -> str:
    """What the process's settings ask for, on one line."""
    known = [f"{asked.cpus} CPUs", f"{asked.memory} MiB", durations.clock(asked.walltime)]
    if asked.ranks > 1:
        known = [f"{asked.nodes} nodes", f"{asked.ranks} tasks", *known]
    known += [f"{asked.gpus} GPUs"] if asked.gpus else []
    named = {"queue": asked.queue, "account": asked.account}
    known += [f"{name} {text}" for name, text in named.items() if text]
    return ", ".join([*known, *asked.extra])


def _shown(view: JobView) -> dict[str, object]:
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
    if view.retry_of:
        facts["retry of"] = view.retry_of
    if view.expires is not None:
        facts["removed"] = clock(view.expires)
    if view.waits:
        facts["waits"] = view.waits
    if view.reason:
        facts["reason"] = view.reason
    if view.cause.value:
        facts["cause"] = view.cause.value
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
@click.option("-f", "--follow", is_flag=True, help="Print what is added until the job has ended.")
@JOB
def log(config: Path, job_id: str, follow: bool) -> None:
    """Print a job's standard output and error.

    JOB is what `show` takes.
    """
    own = load(config)
    store = open_store(own, read_only=True)
    row = find_job(store, own.scheduler, job_id)
    job = Spool(own.spool).open(row.id)
    try:
        if follow and row.state not in TERMINAL:
            _follow(own, row, job)
            return
        with open_plain(job.log) as file:
            _print(file)
    except FileNotFoundError:
        raise click.ClickException("the job has not written a log yet") from None
    except OSError as error:
        raise click.ClickException(f"the job's log cannot be read: {error.strerror}") from None


def _follow(own: Settings, row: Job, job: JobDir) -> None:
    """Print a log that grows, until the job's end is recorded; it may have yet to begin."""
    place = 0
    while True:
        # Asked first: what the job wrote before its end is printed after it is known. Each time
        # anew, since a table that nobody had open may have been read as one that never changes.
        store = JobStore(own.database_url, own.database_timeout, read_only=True)
        known = store.get(row.id)
        store.engine.dispose()
        is_over = known is None or known.state in TERMINAL
        try:
            with open_plain(job.log) as file:
                if file.seek(0, 2) < place:
                    place = 0  # begun anew
                file.seek(place)
                _print(file)
                place = file.tell()
        except FileNotFoundError:
            if is_over:
                raise
        if is_over:
            return
        time.sleep(TIMING.log_look)


def _print(file: BinaryIO) -> None:
    for line in file:
        click.echo(line.decode(errors="replace"), nl=False)
