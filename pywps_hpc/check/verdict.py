"""What a job that tried out a node tells: pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblauncher.shared import dump
from joblauncher.shared.probing import Report
from pywps_hpc import __version__
from pywps_hpc.check.clocks import differs
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.dispatch.decide import container
from pywps_hpc.dispatch.decide.messages import EXIT_CODES, why
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.settings import Container, ProcessSettings
from pywps_hpc.timing import TIMING

#: Bytes that temporary files need at least.
LEAST_TEMPORARY = 256 << 20


@dataclass(frozen=True)
class Facts:
    """What became of the job.

    Attributes:
        settings: of the processes that it stands for.
        report: what it found; ``None``: nothing was heard of it.
        status: what the batch system said last.
        refusal: why the batch system did not take it.
        unasked: why it could not be asked about the job.
        log: the end of its log, where it left no report.
        node: where its script began.
        seen: this host's clock before and after the job's first sign was seen.
        waited: seconds since it was submitted.
        walltime: seconds that it asked for.
    """

    settings: ProcessSettings
    report: Report | None = None
    status: JobStatus | None = None
    refusal: str = ""
    unasked: str = ""
    log: str = ""
    node: str = ""
    seen: tuple[float, float] | None = None
    waited: float = 0.0
    walltime: int = 0

    @property
    def subject(self) -> str:
        """What a finding about its node is about."""
        return f"node {self.node}" if self.node else "node"


def of(
    known: Configuration, processes: Sequence[str], facts: Facts, system: str
) -> Iterator[Finding]:
    """All that it tells.

    Args:
        known: the configuration.
        processes: for which it stands.
        facts: what became of it.
        system: the batch system.
    """
    process = processes[0]
    whose = f" (process {process})" if process else ""
    if facts.refusal:
        yield error(
            f"[{known.section_of(process, 'queue', 'account', 'extra')}]",
            f"{facts.refusal}{whose}",
            "correct what it names: queue, account, extra",
        )
    elif facts.report is None:
        yield _unreported(known, process, facts, whose)
    else:
        found = [*_of_report(known, process, facts, facts.report)]
        yield from found
        if not found:
            report = facts.report
            latency = f", files seen after {report.round_trip:.2f} s" if report.round_trip else ""
            yield ok(
                f"node {report.host}",
                f"ran a job{whose} through {system} within {facts.waited:.0f} s: Python "
                f"{report.versions['python']}, PyWPS {report.versions['pywps']}{latency}",
            )


def _unreported(known: Configuration, process: str, facts: Facts, whose: str) -> Finding:
    """What is wrong with a job whose launcher left no report."""
    if facts.status is None or facts.status.phase in (Phase.QUEUED, Phase.HELD):
        return _waiting(known, process, facts, whose)
    return _silent(known, process, facts, facts.status, whose)


def _waiting(known: Configuration, process: str, facts: Facts, whose: str) -> Finding:
    """A job that has not begun, as far as the batch system tells."""
    status = facts.status
    if status is None and facts.unasked:
        what = f"the batch system cannot be asked about a job{whose}: {facts.unasked}"
        return error("batch system", what, "see docs/schedulers.md for what it has to answer")
    detail = (status.detail if status else "") or "the batch system does not tell why"
    if status is not None and status.hopeless:
        return error(
            f"[{known.section_of(process, 'queue', 'extra')}]",
            f"a job waits and cannot start as it stands: {detail}{whose}",
            "correct what it names: queue, account, walltime, extra",
        )
    held = status is not None and status.phase is Phase.HELD
    return warning(
        facts.subject,
        f"a job has waited for {facts.waited:.0f} s{' held' if held else ''}: {detail}{whose}; "
        "nothing is known of the nodes",
        "release it, or find out who holds it"
        if held
        else "run this again when there is room, or with a longer --wait",
    )


def _silent(
    known: Configuration, process: str, facts: Facts, status: JobStatus, whose: str
) -> Finding:
    """A job that has begun, or is over, and did not report."""
    trouble = container.explain(facts.log, status.exit_code)
    if status.exit_code == 72:
        return error(
            "[hpc] spool",
            f"the job's folder is missing on the node where it was started{whose}",
            "mount the spool there under the same path, or set [hpc.ssh] path_map",
        )
    if trouble is not None:
        what = trouble.message.removeprefix("could not start: ")
        about = f" ({trouble.what})" if trouble.what else ""
        where = f" on {facts.node}" if facts.node else ""
        key = _owned(known, process, trouble)
        return error(key, f"{what}{about}{where}{whose}", trouble.remedy)
    if status.phase is not Phase.FINISHED:
        return warning(
            facts.subject,
            f"the job runs{whose}, but has not reported for {facts.waited:.0f} s",
            "is the node overloaded, or its file system slow? try a longer --wait",
        )
    if status.exit_code == 0 and not facts.log and known.settings.templates is not None:
        return error(
            "[hpc] templates",
            f"the batch script ended before the launcher began, with exit code 0{whose}",
            "take exit, exec and the like out of the block environment of the template",
        )
    if status.outcome is Outcome.COULD_NOT_START or (
        status.exit_code in (0, None) and not facts.log
    ):
        return error(
            "[hpc] spool",
            f"{why(status, facts.settings.resources)}{whose}: the node could perhaps not open the "
            "job's log in the spool",
            "mount the spool there under the same path, with the rights of the service's account",
        )
    said = " ".join(facts.log.split())[-300:]
    code = status.exit_code
    told = EXIT_CODES.get(code or 0) or why(status, facts.settings.resources)
    return error(
        facts.subject, f"{told}{whose}; its log ends with: {said or 'nothing'}", "see the message"
    )


def _owned(known: Configuration, process: str, trouble: container.Trouble) -> str:
    """The key by which that is mended, in the section that has it for this process."""
    if not trouble.keys:
        return "account"
    if len(trouble.keys) > 2 and trouble.what:
        return _key_of(known, process, trouble.what)
    section, _, name = trouble.keys[0].partition("] ")
    return (
        f"[{known.section_of(process, name)}] {name}"
        if section in ("[hpc.container", "[hpc.resources")
        else trouble.keys[0]
    )


def _of_report(
    known: Configuration, process: str, facts: Facts, report: Report
) -> Iterator[Finding]:
    here = f"node {report.host}"
    image = f"[{known.section_of(process, 'image', 'python')}] " + (
        "python" if facts.settings.container.runtime == "none" else "image"
    )
    yield from _of_versions(image, report)
    for module, problem in report.failures.items():
        yield error(
            image,
            f"the module {module} of the service cannot be imported on {report.host}: {problem}",
            "build the image with the service's package (pywps-hpc image build -r ...), or "
            "name its "
            "folder in python_path",
        )
    for path, problem in report.missing.items():
        yield error(
            _key_of(known, process, path), f"{path} on {report.host}: {problem}", "correct it"
        )
    if report.trouble:
        yield error(
            "[hpc] spool",
            f"a job cannot write in its folder on {report.host}: {report.trouble}",
            "export it read-write, to the service's account (no squashing of it)",
        )
    if report.account != report.owner:
        yield error(
            "[hpc] spool",
            f"on {report.host} a job runs as account number {report.account}, its folder "
            "belongs to "
            f"{report.owner}",
            "give the account the same number on all hosts, and export the spool without squashing",
        )
    if report.mode & 0o077:
        yield error(
            "[hpc] spool",
            f"a job's folder has mode {report.mode:04o} on {report.host}",
            "mount the file system with POSIX modes (no umask or file_mode option that opens it)",
        )
    if facts.seen is not None:
        finding = differs(f"clock of {here}", report.time, facts.seen[0], facts.seen[1])
        # The sign may have been on its way: only a clock that is ahead, or far behind, is wrong.
        if finding and (report.time > facts.seen[1] or facts.seen[0] - report.time > _lag(report)):
            yield finding
    yield from _of_latency(here, report)
    folder, free = report.temporary
    if free < LEAST_TEMPORARY:
        yield warning(
            here,
            f"temporary files: {folder}, {free >> 20} MiB free",
            "make room in the spool",
        )
    yield from _of_log(here, report)


def _lag(report: Report) -> float:
    return 5.0 + (report.round_trip if report.round_trip is not None else 10.0)


def _of_versions(image: str, report: Report) -> Iterator[Finding]:
    service = {**dump.versions(), "pywps-hpc": __version__}
    for name, wanted in service.items():
        there = report.versions.get(name, "")
        if not there:
            # A checkout on python_path has no metadata.
            if name == "pywps-hpc":
                continue
            what = f"{name} is not installed in the compute environment ({report.host})"
        elif there.split(".")[:2] != wanted.split(".")[:2]:
            what = f"{name} {there} on {report.host}, {wanted} in the service: jobs are refused"
        elif name != "python" and there != wanted:
            yield warning(
                image,
                f"{name} {there} on {report.host}, {wanted} in the service",
                "build the image anew with the service's versions: pywps-hpc image build",
            )
            continue
        else:
            continue
        yield error(
            image, what, "build the image with the service's versions: pywps-hpc image build"
        )


def _of_latency(here: str, report: Report) -> Iterator[Finding]:
    remedy = (
        "mount the spool with shorter attribute caching (nfs(5): acdirmax, lookupcache=positive)"
    )
    if report.trouble:
        return
    if report.round_trip is None:
        yield error(here, "files written here were not seen there within 10 s", remedy)
    elif report.round_trip > TIMING.slow_file:
        kind = error if report.round_trip > TIMING.too_slow_file else warning
        yield kind(
            here, f"a file is seen on the other host after {report.round_trip:.1f} s", remedy
        )


def _of_log(here: str, report: Report) -> Iterator[Finding]:
    """What the script said before the launcher began: nothing, if all is well."""
    lines = [line.strip() for line in report.said.splitlines() if line.strip()]
    unpacks = [line for line in lines if "to temporary sandbox" in line]
    if unpacks:
        yield warning(
            here,
            "the image is unpacked for each job, since the node cannot mount it",
            "install squashfuse there and let users open /dev/fuse, or the setuid variant of "
            "Apptainer",
        )
    rest = [
        line
        for line in lines
        if not line.startswith(("INFO", "WARNING")) and "joblauncher" not in line
    ]
    if rest:
        yield warning(
            "[hpc] templates",
            f"the batch script says on {report.host}: {' / '.join(rest[:3])[:300]}",
            "correct the block environment of the template, or the site's own prolog",
        )


def _key_of(known: Configuration, process: str, path: str) -> str:
    """Which key names a path."""
    own: Mapping[str, object] = known.sections.get("server", {})
    inputs = str(own.get("allowedinputpaths", "")).split(os.pathsep)
    if Path(path) in (Path(one.strip()) for one in inputs):
        return "[server] allowedinputpaths"
    key = "python_path" if Path(path) in _container(known, process).python_path else "binds"
    return f"[{known.section_of(process, key)}] {key}"


def _container(known: Configuration, process: str) -> Container:
    own = known.settings
    return (own.for_process(process) if process else own.defaults).container
