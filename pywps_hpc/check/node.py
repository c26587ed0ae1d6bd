"""A job of one second on a real node, in the container, by the script and launcher of every job.

It takes a folder of the spool and a place in the queue, and leaves neither.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from joblauncher.shared import dump, probing
from joblauncher.shared.files import atomic_write, read_plain, remove_tree
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.check import verdict
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, error, warning
from pywps_hpc.dispatch import folders
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Phase,
    Resources,
    Scheduler,
    SchedulerError,
)
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job, job_name, new_id
from pywps_hpc.settings import ProcessSettings, Settings
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING

#: Most nodes that are tried out: one for each container, queue and account.
MOST = 6
#: What such a job asks for at most.
MEMORY, WALLTIME = 4096, 300
#: The same for the log of one that failed.
LOG_LAG = 0.2


@dataclass
class Probe:
    """One such job.

    Attributes:
        processes: identifiers of the processes whose settings it has; empty: those of all others.
        settings: of these.
        folder: in the spool.
        batch: what is submitted.
        order: what it looks at.
        is_handed_over: whether the batch system may have it.
        native_id: in the batch system.
        status: what that says.
        ended: when it said that the job is over; 0: not yet.
        seen: our clock before and after its first sign was seen.
        report: what it found.
        refusal: why the batch system did not take it.
        unasked: why the batch system could not be asked about it, last.
    """

    processes: list[str]
    settings: ProcessSettings
    folder: JobDir
    batch: BatchJob
    order: probing.Order
    is_handed_over: bool = False
    native_id: str = ""
    status: JobStatus | None = None
    ended: float = 0.0
    begun: float = field(default_factory=time.time)
    seen: tuple[float, float] | None = None
    report: probing.Report | None = None
    refusal: str = ""
    unasked: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of it."""
        since = time.monotonic() - self.ended if self.ended else 0.0
        failed = self.status is not None and self.status.exit_code
        told = since > LOG_LAG and failed and (failed == 72 or folders.log_tail(self.folder))
        return bool(self.refusal or self.report or told or since > TIMING.check_lag)


def look(
    known: Configuration,
    scheduler: Scheduler,
    modules: Mapping[str, str],
    patience: float,
) -> Iterator[Finding]:
    """Try out a node for each kind of container, queue and account.

    Args:
        known: the configuration.
        scheduler: the batch system.
        modules: identifier of a process -> the module that its jobs import; may be empty.
        patience: seconds until a job that has not ended is given up.
    """
    own = known.settings
    groups = _groups(known)
    probes: list[Probe] = []
    try:
        for processes, settings in groups[:MOST]:
            wanted = _modules(own, processes, modules)
            try:
                probes.append(_prepared(own, scheduler, processes, settings, wanted))
            except OSError as problem:
                what = f"no job can be prepared: {problem.strerror}"
                yield error("[hpc] spool", what, "see the lines about the spool")
                return
        _run(scheduler, probes, patience)
        for probe in probes:
            yield from verdict.of(known, probe.processes, _facts(probe), scheduler.system)
    finally:
        for probe in probes:
            _remove(scheduler, probe)
    if len(groups) > MOST:
        yield warning(
            "node",
            f"{len(groups)} kinds of containers, queues and accounts are configured; {MOST} "
            "were tried",
            "none needed; fewer sections with containers or queues of their own are easier to "
            "check",
        )


def _groups(known: Configuration) -> list[tuple[list[str], ProcessSettings]]:
    """Processes that run in the same way, each group once."""
    found: dict[str, tuple[list[str], ProcessSettings]] = {}
    for process, settings in known.everyone():
        need = settings.resources
        kind = repr((settings.container, need.queue, need.account, need.extra))
        found.setdefault(kind, ([], settings))[0].append(process)
    return list(found.values())


def _modules(own: Settings, processes: Sequence[str], modules: Mapping[str, str]) -> list[str]:
    """What the jobs of these processes import."""
    of_all = [name for name in modules if name not in own.processes] if "" in processes else []
    names = [modules.get(process, "") for process in (*processes, *of_all)]
    return sorted({name for name in names if name})


def _prepared(
    own: Settings,
    scheduler: Scheduler,
    processes: list[str],
    settings: ProcessSettings,
    modules: Sequence[str],
) -> Probe:
    """A job in the spool, not yet submitted."""
    need = settings.resources
    little = Resources(
        cpus=1,
        memory=min(max(need.memory, 128), MEMORY),
        walltime=min(need.walltime, WALLTIME),
        queue=need.queue,
        account=need.account,
        extra=tuple(option for option in need.extra if not option.startswith("-pe ")),
    )
    probing_settings = replace(own, processes={}, defaults=replace(settings, resources=little))
    job_id = new_id()
    spool = Spool(own.spool)
    folder = spool.create(job_id)
    try:
        container = settings.container
        inside = [*container.python_path, *own.input_paths]
        if container.runtime != "none":
            inside += [bind.target for bind in container.binds]
        order = probing.Order(job_id, tuple(modules), tuple(map(str, inside)))
        atomic_write(folder.dump, order.content())
        digest = dump.digest(order.content())
        job = Job(job_id, job_name(own.job_prefix, job_id), "", digest)
        scripts = Scripts(probing_settings, scheduler.system, scheduler.header)
        batch = replace(scripts.batch_job([job]), warm=None)
        atomic_write(folder.script, batch.script.encode(), mode=0o700)
    except BaseException:
        remove_tree(folder.path)
        raise
    return Probe(processes, settings, folder, batch, order)


def _run(scheduler: Scheduler, probes: Sequence[Probe], patience: float) -> None:
    """Submit them, answer their signs, and wait until all are over."""
    for probe in probes:
        try:
            probe.is_handed_over = True
            [probe.native_id] = scheduler.submit(probe.batch)
        except SchedulerError as problem:
            probe.refusal = " ".join(str(problem).split())
    deadline, polled, pause = time.monotonic() + patience, time.monotonic(), TIMING.check_poll
    while time.monotonic() < deadline and not all(probe.is_over for probe in probes):
        open_ones = [probe for probe in probes if not probe.is_over]
        for probe in open_ones:
            _attend(probe)
        if time.monotonic() - polled >= pause:
            polled, pause = time.monotonic(), min(1.3 * pause, TIMING.check_longest_poll)
            _poll(scheduler, open_ones)
        time.sleep(TIMING.check_look)


def _attend(probe: Probe) -> None:
    before = time.time()
    try:
        names = os.listdir(probe.folder.path)
        if probing.HELLO in names and probe.seen is None:
            atomic_write(probe.folder.path / probing.SEEN, b"")
            probe.seen = before, time.time()
        if probing.FOUND in names:
            content = read_plain(probe.folder.path / probing.FOUND)
            probe.report = probing.report_of(content)
    except (OSError, ValueError, TypeError, KeyError):
        return  # it is not whole yet, or the file system is in trouble: the deadline ends it


def _poll(scheduler: Scheduler, probes: Sequence[Probe]) -> None:
    ids = {probe.native_id: probe for probe in probes if probe.native_id and not probe.ended}
    if not ids:
        return
    try:
        answer = dict(scheduler.poll(ids))
        if gone := ids.keys() - answer.keys():
            answer |= scheduler.history(gone)
    except SchedulerError as problem:
        for probe in ids.values():
            probe.unasked = " ".join(str(problem).split())
        return
    for native_id, status in answer.items():
        probe = ids[native_id]
        probe.status = status
        if status.phase is Phase.FINISHED:
            probe.ended = time.monotonic()


def _facts(probe: Probe) -> verdict.Facts:
    return verdict.Facts(
        settings=probe.settings,
        report=probe.report,
        status=probe.status,
        refusal=probe.refusal,
        unasked=probe.unasked,
        log="" if probe.report else folders.log_tail(probe.folder),
        node=folders.node(probe.folder),
        seen=probe.seen,
        waited=time.time() - probe.begun,
        walltime=probe.batch.resources.walltime,
    )


def _remove(scheduler: Scheduler, probe: Probe) -> None:
    """Leave nothing of it, in the queue or in the spool."""
    if probe.is_handed_over and not (probe.ended or probe.refusal):
        with contextlib.suppress(SchedulerError):
            # Whoever is ended in the middle of a submission does not know the id.
            ids = [probe.native_id] if probe.native_id else scheduler.find(probe.batch.name)
            # One that has reported comes to its end by itself, within moments.
            if probe.report is None or not _end(scheduler, ids, 3.0):
                scheduler.cancel(ids)
                _end(scheduler, ids, TIMING.check_ending)
    for _ in range(20):  # whoever is being ended may write still
        with contextlib.suppress(OSError):
            remove_tree(probe.folder.path)
        if not probe.folder.path.exists():
            return
        time.sleep(0.1)


def _end(scheduler: Scheduler, ids: Sequence[str], patience: float) -> bool:
    """Whether jobs come to their end within so many seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        known = scheduler.poll(ids).values()
        if all(status.phase is Phase.FINISHED for status in known):
            return True
        time.sleep(0.3)
    return False
