"""What the commands share: the configuration, the job table, and how things are written."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import click

from pywps_hpc import settings
from pywps_hpc.jobs import Job, JobStore, SchemaTooNew, TableUnavailable
from pywps_hpc.spool import is_job_id

CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="PYWPS_CFG",
    required=True,
    help="The service's PyWPS configuration file (default: $PYWPS_CFG).",
)


def load(config: Path) -> settings.Settings:
    try:
        return settings.load([config])
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None


def load_to_run(config: Path) -> settings.Settings:
    own = load(config)
    try:
        settings.refuse_root(own)
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None
    return own


def open_store(own: settings.Settings, *, wait: bool = False) -> JobStore:
    """The job table.

    Args:
        wait: whether a server that does not answer yet will be asked again later.
    """
    store = JobStore(own.database_url, own.database_timeout)
    try:
        store.create()
    except SchemaTooNew as error:
        raise click.ClickException(str(error)) from None
    except TableUnavailable as error:
        if not wait:
            raise
        logging.getLogger(__name__).error("the job table cannot be asked yet: %s", error)
    return store


def find_job(store: JobStore, job_id: str) -> Job:
    row = store.get(job_id) if is_job_id(job_id) else None
    if row is None:
        raise click.ClickException(f"there is no job {job_id}")
    return row


def clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"


def age(since: float) -> str:
    minutes, seconds = divmod(int(time.time() - since), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
