"""``drain`` and ``undrain``: take no new jobs, and take them again."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, load, one_line, open_store
from pywps_hpc.jobs import TERMINAL, drain
from pywps_hpc.settings import readers

#: A time that clients are told to wait, in seconds: a day at most.
_LONGEST_WAIT = 86400


def _wait(text: str) -> int:
    seconds = round(readers.duration(text))
    if not 0 < seconds <= _LONGEST_WAIT:
        raise ValueError(f"{text!r} is not a time between 1s and 1d")
    return seconds


@click.command("drain")
@CONFIG
@click.option("-m", "--message", default="", help="What clients are told: why, and until when.")
@click.option(
    "--retry-after",
    metavar="TIME",
    callback=selection.value(_wait),
    help="How long clients are told to wait: 30min, 2h (default: [hpc] retry_after).",
)
@selection.AS_JSON
def drain_command(config: Path, message: str, retry_after: int | None, as_json: bool) -> None:
    """Accept no new jobs, on every web server of this service, until `undrain`.

    Clients get HTTP 503 with the message. Jobs that were accepted go on, and are shown.
    """
    store = open_store(load(config))
    told = one_line(message).strip()
    if len(told) > drain.LONGEST:
        raise click.UsageError(f"--message: has more than {drain.LONGEST} characters")
    begun = drain.Drain(told, time.time(), retry_after or 0)
    drain.begin(store, begun)
    active = sum(number for state, number in store.count().items() if state not in TERMINAL)
    if as_json:
        click.echo(selection.as_json(asdict(begun) | {"drained": True, "active": active}))
    else:
        click.echo(f"no new jobs are accepted; {active} active jobs go on. Clients read: {begun}")


@click.command("undrain")
@CONFIG
@selection.AS_JSON
def undrain_command(config: Path, as_json: bool) -> None:
    """Accept new jobs again."""
    was = drain.end(open_store(load(config)))
    if as_json:
        click.echo(selection.as_json({"drained": False, "was_drained": was}))
    else:
        click.echo("new jobs are accepted again" if was else "new jobs were accepted already")
