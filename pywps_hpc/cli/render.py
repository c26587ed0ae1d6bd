"""``render``: the batch script that a process gets."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
from jinja2 import TemplateError

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, find_job, load, open_store
from pywps_hpc.jobs import Job, job_name, new_id
from pywps_hpc.settings import Settings, SettingsError


@click.command()
@CONFIG
@click.option("--job", "job_id", metavar="JOB", help="The script of this job, as `show` takes it.")
@selection.AS_JSON
@click.argument("process", metavar="[PROCESS]", required=False)
def render(config: Path, process: str | None, job_id: str | None, as_json: bool) -> None:
    """Print the batch script that a job of PROCESS would be submitted with.

    Only its id, its name and the digest of its inputs are made up. With --job it is, byte for byte,
    what that job is submitted with by the settings of now. Nothing is submitted.
    """
    if (process is None) == (job_id is None):
        raise click.UsageError("give either PROCESS or --job JOB")
    own = load(config)
    if job_id is not None:
        row = find_job(open_store(own, read_only=True), own.scheduler, job_id)
    else:
        made_up = new_id()
        row = Job(made_up, job_name(own.job_prefix, made_up), str(process), "0" * 64)
    script = _script(own, row)
    if as_json:
        facts = {"process": row.process, "job": job_id and row.id, "script": script}
        click.echo(selection.as_json(facts))
    else:
        click.echo(script.encode(), nl=False)


def _script(own: Settings, row: Job) -> str:
    """The script of this job if it is submitted by itself; in an array only the table of its
    elements, at the place of its id and digest, is another."""
    from pywps_hpc.dispatch.schedulers.registry import make_scheduler
    from pywps_hpc.dispatch.scripts.script import Scripts

    try:
        with closing(make_scheduler(own)) as scheduler:
            scripts = Scripts(own, scheduler.system, scheduler.header)
            return scripts.batch_job([replace(row, array_index=0)]).script
    except TemplateError as error:
        raise click.ClickException(f"the template: {error.message}") from None
    except (SettingsError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from None
