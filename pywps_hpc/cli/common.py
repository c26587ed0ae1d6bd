"""What the commands share: the configuration, the job table, and how things are written."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from joblauncher.shared import account
from pywps_hpc import durations, settings
from pywps_hpc.jobs import (
    ControlRequest,
    Job,
    JobStore,
    SchemaTooNew,
    SchemaTooOld,
    TableMissing,
    TableUnavailable,
)
from pywps_hpc.jobs.view import JobView, PublicState, job_view

CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="PYWPS_CFG",
    required=True,
    help="The service's PyWPS configuration file (default: $PYWPS_CFG).",
)


class NoTable(click.ClickException):
    """There is no job table to read."""


def load(config: Path) -> settings.Settings:
    """The settings, for a command that looks after jobs.

    Root acts as the spool's owner from here on: what root made could not be used by the service.
    """
    own = _load(config)
    if account.is_root():
        become_owner(own.spool)
    return own


def _load(config: Path) -> settings.Settings:
    try:
        return settings.load([config])
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from None


def become_owner(folder: Path) -> None:
    """Act as the account that this belongs to, until the command ends (credentials(7))."""
    owner, group = folder.stat().st_uid, folder.stat().st_gid
    before = os.getgroups(), os.getegid(), os.geteuid()
    groups = [group]
    with contextlib.suppress(KeyError):
        groups = os.getgrouplist(pwd.getpwuid(owner).pw_name, group)

    def set_back() -> None:
        os.seteuid(before[2])
        os.setegid(before[1])
        os.setgroups(before[0])

    if owner != before[2]:
        with contextlib.suppress(OSError):  # in a namespace that does not know this account
            os.setgroups(groups)
            os.setegid(group)
            os.seteuid(owner)
        click.get_current_context().call_on_close(set_back)


def open_store(own: settings.Settings, *, wait: bool = False, read_only: bool = False) -> JobStore:
    """The job table.

    Args:
        wait: whether a server that does not answer yet will be asked again later.
        read_only: whether nothing is to be made or changed.
    """
    store = JobStore(own.database_url, own.database_timeout, read_only=read_only)
    try:
        store.create()
    except TableMissing as error:
        raise NoTable(str(error)) from None
    except (SchemaTooNew, SchemaTooOld) as error:
        raise click.ClickException(str(error)) from None
    except TableUnavailable as error:
        if not wait:
            raise
        logging.getLogger(__name__).error("the job table cannot be reached yet: %s", error)
    return store


def find_job(store: JobStore, scheduler: str, text: str) -> Job:
    """The one job that this names, see :meth:`~pywps_hpc.jobs.JobStore.find`."""
    found = store.find(text)
    if not found:
        raise click.ClickException(f"there is no job {text}")
    if len(found) > 1:
        seen = [job_view(row, None, scheduler=scheduler) for row in found]
        lines = columns([(view.id, state_of(view), queue_of(view)) for view in seen])
        raise click.ClickException("\n  ".join([f"{text} matches several jobs:", *lines]))
    return found[0]


def find_jobs(store: JobStore, scheduler: str, text: str) -> list[Job]:
    """All jobs that have this name or id in the queue, as the elements of an array; else the one
    that it names."""
    ids = tuple(text + end for end in "._[") if text[:1].isdigit() else ()
    found = [
        row
        for row in store.find(text, limit=None)
        if text in (row.name, row.native_id) or row.native_id.startswith(ids)
    ]
    return found or [find_job(store, scheduler, text)]


def state_of(view: JobView) -> str:
    """Where a job stands, for administrators, with the control request that it has."""
    if view.is_closed:
        return view.state.value
    if view.state is PublicState.DISMISSED:
        return "being dismissed"
    accepted = view.state is PublicState.ACCEPTED  # the table tells more
    state = view.recorded.value if accepted else view.state.value
    asked = view.requested
    return state if asked is ControlRequest.NONE else f"{state} ({asked.value} requested)"


def queue_of(view: JobView) -> str:
    """What the batch system calls a job."""
    queued = view.queued
    return f"{queued.id} ({queued.name})" if queued.id else queued.name


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines in which each column is as wide as it needs to be; nothing is ever cut."""
    plain = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*plain, strict=True)]
    padded = (map(str.ljust, row, widths) for row in plain)
    return ["  ".join(row).rstrip() for row in padded]


def show_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    for line in columns([(name, str(value)) for name, value in facts.items()]):
        click.echo(line)


def one_line(text: str) -> str:
    """Text without line breaks, and without what would command a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def clock(seconds: float | None) -> str:
    """A time of day for people, with its distance from UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds)) if seconds else "-"


def age(since: float | None) -> str:
    """How long ago that was: ``H:MM:SS``."""
    return durations.clock(int(time.time() - (since or 0)), width=1)
