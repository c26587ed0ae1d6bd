"""``migrate``: from a configuration of plain PyWPS to one of ours."""

from __future__ import annotations

from pathlib import Path

import click

from pywps_hpc.settings import SettingsError, migration, read_files
from pywps_hpc.settings.keys import keys_of
from pywps_hpc.settings.model import Settings


def _scheduler(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """A batch system as the configuration names it."""
    try:
        return str(keys_of(Settings)["scheduler"].read(text)) if text else ""
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--scheduler", default="", callback=_scheduler, help="The batch system.")
@click.option("--spool", default="", metavar="FOLDER", help="The spool.")
@click.option("--image", default="", metavar="FILE", help="The container image of the jobs.")
def migrate(files: tuple[Path, ...], scheduler: str, spool: str, image: str) -> None:
    """Print a configuration for this service, made from one of plain PyWPS.

    Several FILEs are read as PyWPS reads them: a later one overrides an earlier one. Comments tell
    what changes; TODO stands where you have to give a value. Nothing is changed on this host.
    """
    try:
        text = migration.migrate(*read_files(files), scheduler=scheduler, spool=spool, image=image)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.ClickException(f"{', '.join(map(str, files))}: {error}") from None
    click.echo(text, nl=False)
    if migration.TODO in text:
        click.echo(f"some values are left to you: search for {migration.TODO}", err=True)
