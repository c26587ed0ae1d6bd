"""``pywps-hpc``: what an administrator runs."""

from __future__ import annotations

import logging
import sys

import click

from joblauncher.shared import logs
from pywps_hpc import __version__, log_format
from pywps_hpc.cli import (
    backup,
    check,
    config,
    control,
    drain,
    image,
    jobs,
    man,
    migrate,
    purge,
    render,
    retry,
    serve,
    show,
    status,
    usage,
)
from pywps_hpc.jobs import TableUnavailable
from pywps_hpc.lifecycle import ACCIDENT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pywps-hpc")
def commands() -> None:
    """Run the processes of a PyWPS service on an HPC cluster."""


for command in (
    *(serve.serve, serve.web, serve.dispatcher),
    *(jobs.jobs, show.show, show.log),
    *(control.cancel, control.pause, control.resume, retry.retry),
    *(drain.drain_command, drain.undrain_command),
    *(status.status, check.check, usage.usage, purge.purge, image.image),
    *(config.config_command, render.render),
    *(backup.backup_command, backup.restore_command),
    *(migrate.migrate, man.man),
):
    commands.add_command(command)


def main() -> None:
    """Run the command that the command line names."""
    logs.install()
    log_format.install()
    try:
        commands(prog_name="pywps-hpc")
    except TableUnavailable as error:
        sys.exit(f"Error: the job table cannot be reached: {error}")
    except Exception:
        logging.getLogger(__name__).exception("unexpected error")
        sys.exit(ACCIDENT)
