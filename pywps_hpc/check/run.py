"""All checks in their order: each begins with what the ones before it have found usable."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pywps_hpc.check import (
    addresses,
    application,
    batch,
    clocks,
    configuration,
    dispatcher,
    extremes,
    node,
    notices,
    owners,
    slips,
    storage,
    templates,
)
from pywps_hpc.check.configuration import Configuration, of_message
from pywps_hpc.check.findings import Finding, Level, error, ok
from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.jobs import JobStore, TableUnavailable
from pywps_hpc.settings import SettingsError

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What is to be looked at.

    Attributes:
        config: the configuration file.
        application: ``MODULE:NAME``; empty: none is imported.
        bind: where the service listens; empty: not known.
        offline: whether nothing but this host is asked, and no job is run.
        wait: seconds until a job that has not ended is given up.
    """

    config: Path
    application: str = ""
    bind: str = ""
    offline: bool = False
    wait: float = 45.0


def findings(options: Options) -> Iterator[Finding]:
    """What all checks find, as soon as it is found."""
    known, problems = configuration.read(options.config)
    yield from problems
    if known is None:
        return
    try:
        for finding in _of(known, options):
            yield _with_file(finding, known)
    except Exception as problem:  # of whatever is broken: what was found before it counts
        LOGGER.exception("a check could not be completed")
        what = f"could not be completed: {type(problem).__name__}: {' '.join(str(problem).split())}"
        yield error("check", what, "see the traceback on standard error; it may be a bug")


def _with_file(finding: Finding, known: Configuration) -> Finding:
    section, _, key = finding.subject.removeprefix("[").partition("] ")
    return replace(finding, file=finding.file or known.origin.get(f"{section}/{key}", ""))


def _of(known: Configuration, options: Options) -> Iterator[Finding]:
    own = known.settings
    yield from configuration.look(known)
    yield from slips.look(known, options.offline)
    yield from extremes.look(own, known.sections)
    if not options.offline:
        yield from owners.look(own)
        yield from notices.look(own)
    yield from addresses.look(known.sections, options.bind)
    modules: Mapping[str, str] = {}
    if options.application:
        found = application.load(options.application, options.config)
        if isinstance(found, Finding):
            yield found
        else:
            modules = found.processes
            yield from application.look(known, options.application, found)
    else:
        yield ok(
            "application", "not looked at: name it (MODULE:NAME) to have its processes checked"
        )
    yield from storage.inputs(own)
    of_spool = list(storage.spool(own))
    yield from of_spool
    store, of_table = storage.database(own)
    yield from of_table
    usable = not any(f.level is Level.ERROR for f in (*of_spool, *of_table))
    if usable:
        with contextlib.suppress(TableUnavailable):  # it went away meanwhile
            yield from storage.identity(own, store)
            yield from clocks.look(own, store)
            if not options.offline:
                yield from dispatcher.look(own, store)
                is_served = dispatcher.is_alive(own, store)
                yield from addresses.ask(own.url, options.bind, is_served=is_served)
    with contextlib.ExitStack() as at_end:
        place = own.spool if usable and not options.offline else None
        folder = at_end.enter_context(tempfile.TemporaryDirectory(prefix=".check-", dir=place))
        try:
            scheduler = batch.scheduler_of(own, Path(folder) / "scheduler")
        except SettingsError as problem:
            yield of_message(str(problem), "[hpc] scheduler")
            return
        at_end.callback(scheduler.close)
        of_scripts = list(templates.look(own, scheduler))
        yield from of_scripts
        if any(f.level is Level.ERROR for f in of_scripts):
            return
        if not options.offline:
            yield from _of_cluster(known, scheduler, store, usable, modules, options.wait)


def _of_cluster(
    known: Configuration,
    scheduler: Scheduler,
    store: JobStore | None,
    usable: bool,
    modules: Mapping[str, str],
    wait: float,
) -> Iterator[Finding]:
    reach = batch.reach(known.settings, scheduler)
    yield reach
    if reach.level is not Level.OK:
        return
    of_limits = list(batch.look(known, scheduler, store))
    yield from of_limits
    if usable and not any(f.level is Level.ERROR for f in of_limits):
        yield from node.look(known, scheduler, modules, wait)
