"""``cancel``, ``pause`` and ``resume``: what is to happen to jobs."""

from __future__ import annotations

from pathlib import Path

import click

from pywps_hpc.cli.common import CONFIG, find_job, load, open_store
from pywps_hpc.jobs import TERMINAL, Job, Wish

#: Each as `show` takes it.
JOBS = click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)


@click.command()
@CONFIG
@JOBS
def cancel(config: Path, job_ids: tuple[str, ...]) -> None:
    """Dismiss jobs; the dispatcher ends them in the batch system."""
    _wish(config, job_ids, Wish.DISMISS, "will be dismissed")


@click.command()
@CONFIG
@JOBS
def pause(config: Path, job_ids: tuple[str, ...]) -> None:
    """Hold jobs that wait, suspend jobs that run."""
    _wish(config, job_ids, Wish.PAUSE, "will be paused")


@click.command()
@CONFIG
@JOBS
def resume(config: Path, job_ids: tuple[str, ...]) -> None:
    """Let paused jobs go on."""
    _wish(config, job_ids, Wish.RESUME, "will go on")


def _wish(config: Path, job_ids: tuple[str, ...], wish: Wish, words: str) -> None:
    store = open_store(load(config))
    for row in [find_job(store, job_id) for job_id in job_ids]:  # all of them are known, or none
        if store.wish(row.id, wish):
            click.echo(f"{row.id}: {words}")
        else:
            click.echo(f"{row.id}: {_why_not(store.get(row.id) or row)}")


def _why_not(row: Job) -> str:
    """Why nothing can be done to a job any more; a dismissal that was recorded holds."""
    return f"is over: {row.state.value}" if row.state in TERMINAL else "is being dismissed"
