"""``check``: whether the installation works, from its configuration to a job on a node."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from joblauncher.shared import account
from pywps_hpc.cli.common import CONFIG, become_owner, one_line

#: Exit code of one that was ended: nothing is known (Monitoring Plugins Development Guidelines,
#: 2.4).
ABORTED = 3


@click.command()
@click.argument("application", metavar="[MODULE:APP]", default="")
@CONFIG
@click.option("--bind", default="", metavar="HOST:PORT", help="Where the service listens.")
@click.option("--offline", is_flag=True, help="Ask no batch system, and run no job.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--quiet", is_flag=True, help="Show only what is wrong.")
@click.option(
    "--wait",
    default=45.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Seconds until a job that has not ended is given up.",
)
def check(
    application: str,
    config: Path,
    bind: str,
    offline: bool,
    as_json: bool,
    quiet: bool,
    wait: float,
) -> None:
    """Check the installation: configuration, storage, batch system, image, nodes.

    It ends with a job of one second on a real node, in the container. Nothing of it stays. Root
    acts as the spool's owner.

    The exit code is that of monitoring plugins: 0 ok, 1 warning, 2 error, 3 ended
    before it knew.
    """
    from pywps_hpc.check.findings import Level, worst
    from pywps_hpc.check.run import Options, findings

    # What is under way is taken back: a job in the queue, a folder in the spool.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(ABORTED))
    if account.is_root():
        _as_owner(config)
    found = []
    for finding in findings(Options(config, application, bind, offline, wait)):
        found.append(finding)
        if not as_json and not (quiet and finding.level is Level.OK):
            click.echo(one_line(finding.line))
    level = worst(found)
    if as_json:
        data = {"level": level.name.lower(), "findings": [finding.data for finding in found]}
        click.echo(json.dumps(data))
    sys.exit(level.value)


def _as_owner(config: Path) -> None:
    """Act as the spool's owner, if there is a spool that can be found."""
    from pywps_hpc import settings

    try:
        become_owner(settings.load([config]).spool)
    except (settings.SettingsError, OSError):
        return  # what is wrong with the file is told by the check
