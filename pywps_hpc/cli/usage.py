"""``usage``: what jobs asked for and used."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pywps_hpc import durations
from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, columns, load, open_store
from pywps_hpc.jobs import TERMINAL, Cause, Job
from pywps_hpc.jobs.usage import KEYS, Group, grouped
from pywps_hpc.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pywps_hpc.dispatch.schedulers.accounting import Accounted

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
    than p95. What was used is what the processes themselves used, as their nodes told: not known of
    jobs that were killed from outside, nor from before an upgrade.

    With --accounting times, processor time and memory are those of the batch system, which counts
    all of a job, killed ones included; "-" is shown where it keeps no accounting.
    """
    own = load(config)
    store = open_store(own, read_only=True)
    rows = store.between(owner, processes, since, until)
    if accounting:
        rows = _accounted(own, rows)
    by = tuple(dict.fromkeys(keys))
    found = [_facts(group, by) for group in grouped(rows, by)]
    if as_json:
        for facts in found:
            click.echo(selection.as_json(facts))
    elif as_csv:
        click.echo(_csv(found, by), nl=False)
    else:
        _show(found, by)


def _accounted(own: Settings, rows: Iterable[Job]) -> Iterator[Job]:
    """The jobs, with what the batch system's accounting says of those that have ended.

    Raises:
        click.ClickException: it cannot be asked.
    """
    from pywps_hpc.dispatch.schedulers import accounting
    from pywps_hpc.dispatch.schedulers.base import SchedulerError
    from pywps_hpc.dispatch.schedulers.command import CommandScheduler
    from pywps_hpc.dispatch.schedulers.pilots.lookup import place_of
    from pywps_hpc.dispatch.schedulers.registry import make_scheduler

    try:
        scheduler = None if own.scheduler == "local" else make_scheduler(own)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    commands = getattr(scheduler, "commands", scheduler)
    if not isinstance(commands, CommandScheduler) or not commands.dialect.accounted(()):
        told = f"--accounting: nothing can be asked of {own.scheduler}'s accounting"
        raise click.ClickException(f"{told}: see docs/operations.md")
    try:
        with contextlib.closing(commands):
            pending = iter(rows)
            while part := list(itertools.islice(pending, accounting.AT_ONCE)):
                # Of a job in a pilot the accounting knows nothing: it has the pilot as a whole.
                ended = {
                    job.id: native
                    for job in part
                    if job.state in TERMINAL and (native := place_of(own.spool, job.native_id).own)
                }
                question = commands.dialect.accounted(list(ended.values()))
                known = commands.ask(question) if question and ended else {}
                yield from (_as_accounted(job, known.get(ended.get(job.id, ""))) for job in part)
    except SchedulerError as error:
        raise click.ClickException(f"the accounting cannot be asked: {error}") from None


def _as_accounted(job: Job, known: Accounted | None) -> Job:
    """A job with the times and amounts that are accounted; another job may have had its id."""
    if known is None or known.name != job.name:
        known = None
    started = job.submitted + known.queued if known and known.queued is not None else 0.0
    timed = known is not None and known.elapsed is not None and bool(started)
    return replace(
        job,
        started=started,
        finished=started + known.elapsed if known and known.elapsed and timed else started,
        cpu_seconds=known.cpu_seconds if known else None,
        peak_memory=known.peak_memory if known else None,
    )


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
    heading += ["CPU held", "CPU used", "MiB asked", "MiB used", "failed by"]
    lines = [tuple(heading)]
    for facts in found:
        times = ("queue_p50", "queue_p95", "run_p50", "run_p95", "cpu_asked", "cpu_used")
        causes = ", ".join(f"{cause} {number}" for cause, number in facts["causes"].items())
        cells = [str(facts[name]) or "-" for name in by]
        cells += [str(facts[name]) for name in ("jobs", "succeeded", "failed", "dismissed")]
        cells += [_time(facts[name]) for name in times]
        memory = (facts["memory_asked"], facts["memory_used"])
        cells += ["-" if size is None else f"{size:.0f}" for size in memory]
        lines.append((*cells, causes or "-"))
    for line in columns(lines):
        click.echo(line)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else durations.clock(round(seconds), width=1)
