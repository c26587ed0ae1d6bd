"""What the batch system's accounting says of jobs that have ended, for ``usage``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pywps_hpc.jobs import TERMINAL, Job
from pywps_hpc.settings import Settings, SettingsError, needs

if TYPE_CHECKING:
    from pywps_hpc.dispatch.schedulers.accounting import Accounted

#: Jobs that are read at once.
_AT_ONCE = 500


def replaced(own: Settings, rows: Iterable[Job]) -> Iterator[Job]:
    """The jobs, with what the accounting says instead of what the nodes told.

    Raises:
        click.ClickException: it cannot be asked.
    """
    accounting = _Accounting(own)
    if not accounting.is_there:
        told = f"--accounting: nothing can be asked of {own.scheduler}'s accounting"
        raise click.ClickException(f"{told}: see docs/operations.md")
    with closing(accounting):
        for part in _parts(rows):
            known = accounting.of([job for job in part if job.state in TERMINAL])
            yield from (_as_accounted(job, known.get(job.id)) for job in part)


def completed(own: Settings, rows: Iterable[Job]) -> Iterator[Job]:
    """The jobs; those of several nodes with the processor time and memory that the accounting says,
    since the launcher sees the first node alone. Where it says nothing, neither is known."""
    accounting = None
    for part in _parts(rows):
        spread = {
            job.id: job
            for job in part
            if job.state in TERMINAL and needs.of_job(own, job).resources.nodes > 1
        }
        known: Mapping[str, Accounted] = {}
        if spread and accounting is None:
            accounting = _Accounting(own)
        if spread and accounting is not None and accounting.is_there:
            try:
                known = accounting.of(list(spread.values()))
            except click.ClickException as error:
                click.echo(f"of jobs of several nodes: {error.message}", err=True)
                accounting.close()
        for job in part:
            if job.id in spread:
                yield replace(job, **_used(known.get(job.id)))
            else:
                yield job
    if accounting is not None:
        accounting.close()


def _parts(rows: Iterable[Job]) -> Iterator[list[Job]]:
    pending = iter(rows)
    while part := list(itertools.islice(pending, _AT_ONCE)):
        yield part


class _Accounting:
    """The batch system's accounting.

    Attributes:
        is_there: whether there is a question about it that can be asked.
    """

    def __init__(self, own: Settings) -> None:
        """Nothing is asked yet.

        Raises:
            click.ClickException: the settings do not allow that.
        """
        from pywps_hpc.dispatch.schedulers.command import CommandScheduler
        from pywps_hpc.dispatch.schedulers.registry import make_scheduler

        self._spool = own.spool
        try:
            scheduler = None if own.scheduler == "local" else make_scheduler(own)
        except SettingsError as error:
            raise click.ClickException(str(error)) from None
        commands = getattr(scheduler, "commands", scheduler)
        self._commands = commands if isinstance(commands, CommandScheduler) else None
        self.is_there = self._commands is not None and bool(self._commands.dialect.accounted(()))

    def of(self, jobs: list[Job]) -> dict[str, Accounted]:
        """What is known of jobs that have ended, by job id; another job may have had its number,
        and of one in a pilot nothing is known: the accounting has the pilot as a whole.

        Raises:
            click.ClickException: it cannot be asked.
        """
        from pywps_hpc.dispatch.schedulers.base import SchedulerError
        from pywps_hpc.dispatch.schedulers.pilots.lookup import place_of

        commands = self._commands
        assert commands is not None
        natives = {job.id: place_of(self._spool, job.native_id).own for job in jobs}
        asked = list(dict.fromkeys(native for native in natives.values() if native))
        known: dict[str, Accounted] = {}
        size = commands.dialect.accounted_chunk
        try:
            for start in range(0, len(asked), size):
                part = asked[start : start + size]
                if known.keys() >= set(part):
                    continue  # elements of an array are answered together
                if question := commands.dialect.accounted(part):
                    answer = commands.ask(question)
                    known.update(answer)
        except SchedulerError as error:
            raise click.ClickException(f"the accounting cannot be asked: {error}") from None
        found = {job.id: known.get(natives[job.id]) for job in jobs}
        names = {job.id: job.name for job in jobs}
        return {job: each for job, each in found.items() if each and each.name == names[job]}

    def close(self) -> None:
        """Nothing is asked any more."""
        self.is_there = False
        if self._commands is not None:
            self._commands.close()


def _as_accounted(job: Job, known: Accounted | None) -> Job:
    """A job with the times and amounts that are accounted."""
    started = job.submitted + known.queued if known and known.queued is not None else 0.0
    timed = known is not None and known.elapsed is not None and bool(started)
    finished = started + known.elapsed if known and known.elapsed and timed else started
    return replace(job, started=started, finished=finished, **_used(known))


def _used(known: Accounted | None) -> dict[str, Any]:
    return {
        "cpu_seconds": known.cpu_seconds if known else None,
        "peak_memory": known.peak_memory if known else None,
    }
