"""``usage``: what jobs asked for and used."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pywps_hpc import durations
from pywps_hpc.cli import accounted, selection
from pywps_hpc.cli.common import CONFIG, columns, load, open_store
from pywps_hpc.jobs import Cause
from pywps_hpc.jobs.usage import KEYS, Group, grouped

#: Causes of failures, a column each.
_CAUSES = tuple(cause.value for cause in Cause if cause.value)


@click.command()
@CONFIG
@click.option(
    "--by",
    "keys",
    type=click.Choice(KEYS),
    multiple=True,
    default=("process",),
    show_default=True,
    help="A line for each process, owner, account or month; may be repeated.",
)
@selection.OWNER
@selection.PROCESS
@selection.SINCE
@click.option(
    "--until",
    metavar="TIME",
    callback=selection.value(selection.moment),
    help="Jobs accepted until then only.",
)
@click.option(
    "--accounting",
    is_flag=True,
    help="What the batch system's accounting says instead, for jobs that have ended.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values (RFC 4180).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line of the table.")
def usage(
    config: Path,
    keys: tuple[str, ...],
    owner: str | None,
    processes: tuple[str, ...],
    since: float | None,
    until: float | None,
    accounting: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what jobs asked for and used: how many, how long they waited and ran, processor time,
    memory, and why some failed.

    Only jobs that have not been removed are counted. Queue time is from the submission to the batch
    system until the start; half of the jobs waited and ran no longer than p50, 95 % no longer
    than p95. CPU held is the run time by all cores of a job; memory is that on one node. What was
    used is what the processes themselves used, as their nodes reported: not known of jobs that were
    killed from outside, nor from before an upgrade. "measured" tells of how many it is known; the
    others count nothing.

    A node tells its own part alone. So what jobs of several nodes used is what the batch system's
    accounting says of all of their nodes, and not known where it keeps none.

    With --accounting times, processor time and memory of all jobs are those of the batch system,
    which counts all of a job, killed ones included; "-" is shown where it keeps no accounting.
    """
    own = load(config)
    store = open_store(own, read_only=True)
    rows = store.between(owner, processes, since, until)
    rows = (accounted.replaced if accounting else accounted.completed)(own, rows)
    by = tuple(dict.fromkeys(keys))
    found = [_facts(group, by) for group in grouped(rows, by)]
    if as_json:
        for facts in found:
            click.echo(selection.as_json(facts))
    elif as_csv:
        click.echo(_csv(found, by), nl=False)
    else:
        _show(found, by)


def _facts(group: Group, by: Sequence[str]) -> dict[str, Any]:
    facts = asdict(group)
    return dict(zip(by, facts.pop("keys"), strict=True)) | facts


def _csv(found: Sequence[dict[str, Any]], by: Sequence[str]) -> str:
    """One line a group; what is not known is empty."""
    plain = [name for name in Group.__dataclass_fields__ if name not in ("keys", "causes")]
    names = [*by, *plain, *(f"failed_{cause}" for cause in _CAUSES)]
    output = io.StringIO()
    writer = csv.DictWriter(output, names)
    writer.writeheader()
    for facts in found:
        causes = facts.pop("causes")
        failed = {f"failed_{cause}": causes.get(cause, 0) for cause in _CAUSES}
        writer.writerow({name: _plain(text) for name, text in (facts | failed).items()})
    return output.getvalue()


def _plain(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return "" if value is None else value


def _show(found: Sequence[dict[str, Any]], by: Sequence[str]) -> None:
    heading = [*by, "jobs", "ok", "failed", "dismissed", "queued p50", "p95", "ran p50", "p95"]
    heading += ["CPU held", "CPU used", "MiB asked", "MiB used", "measured", "failed by"]
    lines = [tuple(heading)]
    for facts in found:
        times = ("queue_p50", "queue_p95", "run_p50", "run_p95", "cpu_asked", "cpu_used")
        causes = ", ".join(f"{cause} {number}" for cause, number in facts["causes"].items())
        cells = [str(facts[name]) or "-" for name in by]
        cells += [str(facts[name]) for name in ("jobs", "succeeded", "failed", "dismissed")]
        cells += [_time(facts[name]) for name in times]
        memory = (facts["memory_asked"], facts["memory_used"])
        cells += ["-" if size is None else f"{size:.0f}" for size in memory]
        lines.append((*cells, str(facts["measured"]), causes or "-"))
    for line in columns(lines):
        click.echo(line)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else durations.clock(round(seconds), width=1)
