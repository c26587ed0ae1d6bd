"""``cancel``, ``pause`` and ``resume``: what is to happen to jobs."""

from __future__ import annotations

from pathlib import Path

import click

from pywps_hpc.cli.common import CONFIG, find_job, load, open_store
from pywps_hpc.jobs import TERMINAL, ControlRequest, Job

#: Each as `show` takes it.
JOBS = click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)


@click.command()
@CONFIG
@JOBS
def cancel(config: Path, job_ids: tuple[str, ...]) -> None:
    """Dismiss jobs; the dispatcher ends them in the batch system."""
    _request(config, job_ids, ControlRequest.DISMISS, "will be dismissed")


@click.command()
@CONFIG
@JOBS
def pause(config: Path, job_ids: tuple[str, ...]) -> None:
    """Hold jobs that wait, suspend jobs that run."""
    _request(config, job_ids, ControlRequest.PAUSE, "will be paused")


@click.command()
@CONFIG
@JOBS
def resume(config: Path, job_ids: tuple[str, ...]) -> None:
    """Let paused jobs continue."""
    _request(config, job_ids, ControlRequest.RESUME, "will be resumed")


def _request(config: Path, job_ids: tuple[str, ...], request: ControlRequest, answer: str) -> None:
    own = load(config)
    store = open_store(own)
    # All of them are known, or none.
    for row in [find_job(store, own.scheduler, job_id) for job_id in job_ids]:
        if store.request(row.id, request):
            click.echo(f"{row.id}: {answer}")
        else:
            click.echo(f"{row.id}: {_why_not(store.get(row.id) or row)}")


def _why_not(row: Job) -> str:
    """Why nothing can be done to a job any more; a dismissal that was recorded holds."""
    return f"has ended: {row.state.value}" if row.state in TERMINAL else "is being dismissed"
