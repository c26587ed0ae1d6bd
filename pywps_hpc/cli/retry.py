"""``retry``: jobs with the inputs of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, find_job, load, open_store
from pywps_hpc.jobs import JobStore, TableUnavailable, served


@click.command()
@CONFIG
@click.option(
    "--application",
    metavar="MODULE:APP",
    help="The service, as `serve` takes it (default: what is served).",
)
@selection.AS_JSON_LINES
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
def retry(config: Path, application: str | None, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Send jobs again: each becomes a new job with the inputs that its client sent.

    JOB is what `show` takes, in whatever state. The new job belongs to the same client, has an
    address of its own, and is linked to the old one, as `show` says; the old one stays as it is.
    """
    own = load(config)
    store = open_store(own)
    rows = [find_job(store, own.scheduler, text) for text in job_ids]  # all are known, or none
    service = _service(config, store, application)
    from pywps.exceptions import NoApplicableCode
    from werkzeug.exceptions import HTTPException

    from pywps_hpc.web import rerun

    failed = []
    for row in rows:
        try:
            new = rerun.retry(service, row)
        except TableUnavailable:
            raise
        except (NoApplicableCode, HTTPException, OSError) as error:
            failed.append(f"{row.id}: {getattr(error, 'description', None) or error}")
            continue
        if as_json:
            click.echo(selection.as_json({"job": new.id, "retry_of": row.id}))
        else:
            click.echo(f"{row.id}: sent again as {new.id}")
    if failed:
        raise click.ClickException("\n".join(failed))


def _service(config: Path, store: JobStore, application: str | None) -> Any:
    """The service with its processes, as the web server has it.

    Raises:
        click.ClickException: it cannot be had.
    """
    there, known = config.absolute(), served.known(store)
    if application is None:
        if known is None:
            raise click.ClickException("--application is needed: no `pywps-hpc web` has run yet")
        application = known.name
        try:
            os.chdir(known.folder)
        except OSError as error:
            raise click.ClickException(f"{known.folder}: {error.strerror}") from None
    os.environ["PYWPS_CFG"] = str(there)  # PyWPS reads it when it is imported
    from pywps_hpc.web import mounted
    from pywps_hpc.web.load import load as import_service
    from pywps_hpc.web.server.importing import LoadFailed

    try:
        loaded = import_service(application, known.bind if known else "localhost")
    except LoadFailed as error:
        raise click.ClickException(str(error)) from None
    service = next(iter(mounted.SERVICES), None)
    if service is None:
        raise click.ClickException(f"{application} runs no batch jobs")
    service.loaded = loaded  # lives as long as the service
    return service
