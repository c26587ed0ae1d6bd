"""``render``: the batch script that a process gets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
from jinja2 import TemplateError

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, find_job, load, open_store
from pywps_hpc.jobs import Job, job_name, new_id
from pywps_hpc.settings import Settings, SettingsError, needs, readers
from pywps_hpc.settings.owners import Owner


@click.command()
@CONFIG
@click.option("--job", "job_id", metavar="JOB", help="The script of this job, as `show` takes it.")
@click.option("--owner", metavar="NAME", help="For a job of this owner, as the login names it.")
@click.option(
    "--cpus",
    metavar="NUMBER",
    callback=selection.value(readers.integer(1)),
    help="For one that asks for so many processor cores.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    callback=selection.value(readers.memory),
    help="For one that asks for so much: 512M, 2G; a bare number means MiB.",
)
@click.option(
    "--walltime",
    metavar="TIME",
    callback=selection.value(readers.walltime),
    help="For one that asks for so long: HH:MM:SS.",
)
@click.option("--queue", metavar="NAME", help="For one that asks for this queue or partition.")
@click.option(
    "--input-size",
    metavar="SIZE",
    callback=selection.value(readers.bound),
    help="For one with so many bytes of inputs, which rules count: 100K, 512M, 2G.",
)
@selection.AS_JSON
@click.argument("process", metavar="[PROCESS]", required=False)
def render(
    config: Path,
    process: str | None,
    job_id: str | None,
    owner: str | None,
    input_size: int | None,
    as_json: bool,
    **asked: int | str | None,
) -> None:
    """Print the batch script that a job of PROCESS would be submitted with.

    Only its id, its name and the digest of its inputs are made up. --cpus, --memory, --walltime and
    --queue are what its client asks for, within what the settings permit. Rules such as memory =
    2G + 3 * input count --input-size, without which it is that of a job without inputs. With --job
    it is, byte for byte, what that job is submitted with by the settings of now. Nothing is
    submitted.
    """
    if (process is None) == (job_id is None):
        raise click.UsageError("give either PROCESS or --job JOB")
    wanted = {field: value for field, value in asked.items() if value is not None}
    if job_id is not None and (wanted or owner is not None or input_size is not None):
        raise click.UsageError("--job JOB has an owner, resources and inputs of its own")
    own = load(config)
    if job_id is not None:
        row = find_job(open_store(own, read_only=True), own.scheduler, job_id)
    else:
        made_up = new_id()
        row = Job(
            made_up,
            job_name(own.job_prefix, made_up),
            str(process),
            "0" * 64,
            owner=owner or "",
            resources=_resources(own, str(process), owner, wanted, input_size or 0),
            input_size=input_size or 0,
        )
    script = _script(own, row)
    if as_json:
        facts = {"process": row.process, "job": job_id and row.id, "script": script}
        click.echo(selection.as_json(facts))
    else:
        click.echo(script.encode(), nl=False)


def _resources(
    own: Settings, process: str, owner: str | None, wanted: Mapping[str, int | str], size: int
) -> str:
    """What the row of such a job has of its own, as the web server records it.

    Args:
        size: of its inputs, in bytes.
    """
    from pywps.exceptions import NoApplicableCode

    from pywps_hpc.web import owners, requested

    need = own.for_process(process).resources
    for field in wanted:
        if not getattr(need, f"client_{field}"):
            raise click.ClickException(
                f"[hpc.process.{process}] client_{field} is not set, nor that of [hpc.resources]: "
                f"clients cannot ask for {requested.PREFIX}{field}"
            )
    request = SimpleNamespace(
        inputs={requested.PREFIX + field: [{"data": value}] for field, value in wanted.items()}
    )
    try:
        taken = requested.take(own, SimpleNamespace(identifier=process, inputs=[]), request)
        # Without one, also where only owners may send jobs, it is what the settings say.
        payer = owners.known(own, owner) if owner is not None else Owner()
        return needs.written(requested.of_job(own, process, taken, payer, size))
    except NoApplicableCode as error:
        raise click.ClickException(error.description) from None
    except owners.Failed as error:
        raise click.ClickException(str(error)) from None


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
