"""``cancel``, ``pause`` and ``resume``: what is to happen to jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, find_job, find_jobs, load, open_store
from pywps_hpc.jobs import TERMINAL, ControlRequest, Job, JobStore

#: Jobs of an owner or a process that one command asks something of.
MOST = 1_000_000
#: Jobs of one transaction: nobody else can write meanwhile.
AT_ONCE = 500
#: Each as `show` takes it.
JOBS = click.argument("job_ids", metavar="[JOB]...", nargs=-1)


def _choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """How each of these commands is told which jobs it is about."""
    for parameter in (
        JOBS,
        selection.AS_JSON_LINES,
        click.option(
            "--all",
            "every",
            is_flag=True,
            help="Where JOB is the name or id of several jobs (an array): all of them.",
        ),
        selection.STATE,
        selection.PROCESS,
        selection.OWNER,
        CONFIG,
    ):
        command = parameter(command)
    return command


@click.command()
@_choosing
def cancel(**chosen: Any) -> None:
    """Dismiss jobs; the dispatcher ends them in the batch system.

    JOB is what `show` takes. --owner, --process and --state choose among the active jobs instead.
    """
    _request(ControlRequest.DISMISS, "will be dismissed", **chosen)


@click.command()
@_choosing
def pause(**chosen: Any) -> None:
    """Hold jobs that wait, suspend jobs that run.

    JOB is what `show` takes. --owner, --process and --state choose among the active jobs instead.
    """
    _request(ControlRequest.PAUSE, "will be paused", **chosen)


@click.command()
@_choosing
def resume(**chosen: Any) -> None:
    """Let paused jobs continue.

    JOB is what `show` takes. --owner, --process and --state choose among the active jobs instead.
    """
    _request(ControlRequest.RESUME, "will be resumed", **chosen)


def _request(
    request: ControlRequest,
    answer: str,
    *,
    config: Path,
    job_ids: tuple[str, ...],
    owner: str | None,
    processes: tuple[str, ...],
    states: tuple[str, ...],
    every: bool,
    as_json: bool,
) -> None:
    by_filter = owner is not None or bool(processes or states)
    if by_filter == bool(job_ids):
        raise click.UsageError("give either JOB or some of --owner, --process and --state")
    own = load(config)
    store = open_store(own)
    if by_filter:
        chosen = selection.wanted(owner, processes, states or ("active",))
        rows = [row for row in store.listed(chosen, MOST) if row.state not in TERMINAL]
        if not rows and not as_json:
            click.echo("no active job is chosen by these options", err=True)
    else:
        rows = _named(store, own.scheduler, job_ids, every=every)
    requested: set[str] = set()
    for start in range(0, len(rows), AT_ONCE):
        ids = [row.id for row in rows[start : start + AT_ONCE]]
        requested |= store.request_all(ids, request)
    for row in rows:
        done = row.id in requested
        told = answer if done else _why_not(store.get(row.id) or row)
        if as_json:
            facts = {"job": row.id, "asked": request.value, "done": done, "message": told}
            click.echo(selection.as_json(facts))
        else:
            click.echo(f"{row.id}: {told}")


def _named(store: JobStore, scheduler: str, job_ids: tuple[str, ...], *, every: bool) -> list[Job]:
    """All of them are known, or none."""
    if not every:
        return [find_job(store, scheduler, text) for text in job_ids]
    found = (row for text in job_ids for row in find_jobs(store, scheduler, text))
    return list({row.id: row for row in found}.values())


def _why_not(row: Job) -> str:
    """Why nothing can be done to a job any more; a dismissal that was recorded holds."""
    return f"has ended: {row.state.value}" if row.state in TERMINAL else "is being dismissed"
