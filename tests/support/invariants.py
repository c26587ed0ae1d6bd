"""What must hold once everything has ended, whatever happened: the one checker of all fault tests.

:func:`violations` is pure: facts in, sentences out. :func:`facts_of` collects them from a job table
and a spool; :func:`check_server` does it for a real server and real Slurm. A
:class:`~status_readers.Reader` looks at status documents all the while, as clients do.

    with Reader.of(server) as reader:
        ...                                              # the fault
    invariants.check_server(server, locations, reader=reader)
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblauncher.shared import outcome, status_xml
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.jobs import TERMINAL, Job, JobStore, State
from pywps_hpc.spool import ARRAYS, JOB_ID, Spool

if TYPE_CHECKING:
    from servers import HpcServer
    from status_readers import Reader

#: What the batch system calls a job: its name, and its index in an array (0: it is no array).
Place = tuple[str, int]

#: The row's state -> the state of document and report. WPS 1.0.0 has no word for dismissed.
DOCUMENTED = {"succeeded": "succeeded", "failed": "failed", "dismissed": "failed"}
#: What :func:`joblauncher.shared.files.atomic_write` leaves when its process is killed.
_TEMPORARY = re.compile(r"\.(status\.xml|outcome\.json|job\.sh|job\.dump|response\.body)\..+")
_LEASE = re.compile(r"lease\.(\d+)")
_ENDED = re.compile(rf"({JOB_ID}): (succeeded|dismissed|failed)(?::|$)", re.MULTILINE)


class Broken(Enum):
    """Which promise does not hold."""

    LOST = "lost"  # accepted, and no row
    OPEN = "open"  # not ended
    RAN_TWICE = "ran twice"
    NEVER_RAN = "never ran"  # and succeeded all the same
    DISAGREE = "disagree"  # row, document, report and log do not tell the same
    IN_QUEUE = "in the queue"  # over, and the batch system has it still
    ON_DISK = "on disk"  # something is left that nobody needs
    TORN = "torn"  # a document that is not whole
    TURNED_BACK = "turned back"  # a document, or the table, told less than it had told before
    ENDED_EARLY = "ended early"  # told to be over while the batch system had it alive
    FORGED = "forged"  # a success that only its process ever told
    INPUT_GONE = "input gone"  # that the web server had prepared
    UNDISMISSED = "undismissed"  # something else was told after its dismissal was recorded
    SUBMITTED_AGAIN = "submitted again"  # without a look whether the batch system has it


@dataclass(frozen=True)
class Violation:
    """A promise that does not hold.

    Attributes:
        kind: which.
        job: id of the job; empty if it concerns none.
        words: what was found.
    """

    kind: Broken
    job: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.job or 'the installation'}: {self.words}"


class InvariantViolated(AssertionError):
    """Some promises do not hold.

    Attributes:
        found: all violations.
    """

    def __init__(self, found: Sequence[Violation]) -> None:
        super().__init__(tuple(found))
        self.found = tuple(found)

    def __str__(self) -> str:
        return "\n".join(map(str, self.found))


@dataclass(frozen=True)
class Row:
    """What the job table says of a job (see :class:`pywps_hpc.jobs.Job`)."""

    state: str
    name: str
    array_index: int = 0
    message: str = ""
    finished: float = 0.0

    @classmethod
    def of(cls, row: Job | Mapping[str, Any]) -> Row:
        """From a job, or from a row as the database has it."""
        if isinstance(row, Job):
            return cls(row.state.value, row.name, row.array_index, row.message, row.finished)
        return cls(row["state"], row["name"], row["place"], row["message"], row["finished"])


@dataclass(frozen=True)
class Folder:
    """What a job's folder holds.

    Attributes:
        names: of everything directly inside.
        document: its status document; ``None`` if it cannot be read as one.
        report: its ``outcome.json``; ``None`` if there is none that can be read.
    """

    names: frozenset[str]
    document: status_xml.Status | None
    report: outcome.Report | None

    @property
    def attempts(self) -> frozenset[int]:
        """The starts of the job that took a lease."""
        found = (_LEASE.fullmatch(name) for name in self.names)
        return frozenset(int(lease[1]) for lease in found if lease)


@dataclass(frozen=True)
class Facts:
    """An installation at rest. ``None`` means: not known, so not checked.

    Attributes:
        accepted: ids of all jobs that were ever accepted.
        rows: the job table, by job id.
        folders: the spool, by job id.
        orphaned_arrays: names of array folders of which no job's folder is left.
        queue: what the batch system has waiting or running, of anybody.
        runs: how often the batch system was given each job, by accounting.
        ends: job id -> each end that the dispatcher's log tells.
        restarted: ids of jobs that the batch system may have started anew, or that a test gave it
            twice.
        folder_removed: ids of jobs whose folder the test itself removed.
        overwritten: ids of jobs into whose folder a process wrote that the batch system had lost:
            nobody can keep it from there, so the documents are not what clients are told.
        unrecorded: whether folders without a row are right, since a web server was killed in the
            moment between both; the dispatcher removes them after an hour.
        log_has_gaps: whether a dispatcher was killed, maybe before it logged an end.
    """

    accepted: frozenset[str]
    rows: Mapping[str, Row]
    folders: Mapping[str, Folder]
    orphaned_arrays: frozenset[str] = frozenset()
    queue: frozenset[Place] | None = None
    runs: Mapping[Place, int] | None = None
    ends: Mapping[str, Sequence[str]] | None = None
    restarted: frozenset[str] = frozenset()
    folder_removed: frozenset[str] = frozenset()
    overwritten: frozenset[str] = frozenset()
    unrecorded: bool = False
    log_has_gaps: bool = True


def violations(facts: Facts) -> list[Violation]:
    """Every promise that does not hold, one sentence each; empty if all is well."""
    found = [
        Violation(Broken.LOST, job, "was accepted, but the table has no row of it")
        for job in sorted(facts.accepted - set(facts.rows))
    ]
    for job, row in facts.rows.items():
        found += _of_job(facts, job, row)
    if not facts.unrecorded:
        found += [
            Violation(Broken.ON_DISK, job, "has a folder, but no row")
            for job in sorted(set(facts.folders) - set(facts.rows) - facts.accepted)
        ]
    found += [
        Violation(Broken.ON_DISK, "", f"the array {name} has a folder, but no job")
        for name in sorted(facts.orphaned_arrays)
    ]
    return found


def require(found: Sequence[Violation]) -> None:
    """Fail if there are violations.

    Raises:
        InvariantViolated: naming each.
    """
    if found:
        raise InvariantViolated(found)


def _of_job(facts: Facts, job: str, row: Row) -> list[Violation]:
    if State(row.state) not in TERMINAL:
        return [Violation(Broken.OPEN, job, f"its row says {row.state}")]
    said: list[tuple[Broken, str]] = []
    if not row.finished > 0:
        said.append((Broken.DISAGREE, f"its row says {row.state}, but not since when"))
    said += _ran(facts, job, row)
    if facts.queue is not None and (row.name, row.array_index) in facts.queue:
        said.append((Broken.IN_QUEUE, "is over, but the batch system has it waiting or running"))
    folder = facts.folders.get(job)
    if folder is not None:
        said += _agree(row, folder) if job not in facts.overwritten else []
        said += [(Broken.ON_DISK, f"{name} is left") for name in _left_behind(folder.names)]
    elif job not in facts.folder_removed:
        said.append((Broken.DISAGREE, "its folder is gone"))
    if facts.ends is not None:
        said += _logged(row, facts.ends.get(job, ()), gaps=facts.log_has_gaps)
    return [Violation(kind, job, words) for kind, words in said]


def _ran(facts: Facts, job: str, row: Row) -> list[tuple[Broken, str]]:
    """By one attempt only, unless the batch system may have started it anew."""
    said = []
    folder = facts.folders.get(job)
    attempts = folder.attempts if folder else frozenset()
    once = job not in facts.restarted
    if once and len(attempts) > 1:
        said.append((Broken.RAN_TWICE, f"was started as attempts {sorted(attempts)}"))
    if folder and row.state == "succeeded":
        if not attempts:
            said.append((Broken.NEVER_RAN, "succeeded, but nobody ever took its lease"))
        elif folder.report and folder.report.attempt not in attempts:
            number = folder.report.attempt
            said.append((Broken.NEVER_RAN, f"its result is of attempt {number}, without a lease"))
    if facts.runs is not None:
        runs = facts.runs.get((row.name, row.array_index), 0)
        if once and runs > 1:
            said.append((Broken.RAN_TWICE, f"the batch system was given it {runs} times"))
        if row.state == "succeeded" and not runs:
            said.append((Broken.NEVER_RAN, "succeeded, but accounting does not know it"))
    return said


def _agree(row: Row, folder: Folder) -> list[tuple[Broken, str]]:
    """Row, document and report tell the same."""
    said = []
    expected = DOCUMENTED[row.state]
    document, facts = folder.document, folder.report
    if document is None:
        said.append((Broken.TORN, "its status document cannot be read"))
    elif document.state != expected:
        said.append((Broken.DISAGREE, f"row: {row.state}, document: {document.state}"))
    elif expected == "failed" and not _same(row.message, document.message):
        said.append((Broken.DISAGREE, f"row: {row.message!r}, document: {document.message!r}"))
    if facts is None:
        said.append((Broken.TORN, "its outcome.json cannot be read"))
    elif facts.state != expected:
        said.append((Broken.DISAGREE, f"row: {row.state}, outcome.json: {facts.state}"))
    elif facts.cause in outcome.PROVISIONAL or not facts.finished:
        said.append((Broken.DISAGREE, "its outcome.json is not final"))
    return said


def _same(row: str, document: str) -> bool:
    """Whether a document has the row's words: XML cannot hold all characters and drops some space;
    an exception's text may have a heading."""
    words = " ".join(status_xml.writable(row).split())
    return bool(words) and " ".join(document.split()).endswith(words)


def _left_behind(names: Collection[str]) -> list[str]:
    needless = {"work", "tmp", "inputs", "references.json"}
    return sorted(name for name in names if name in needless or _TEMPORARY.fullmatch(name))


def _logged(row: Row, ends: Sequence[str], *, gaps: bool) -> list[tuple[Broken, str]]:
    if (not ends and gaps) or list(ends) == [row.state]:
        return []
    told = ", ".join(ends) or "no end"
    return [(Broken.DISAGREE, f"row: {row.state}, the dispatcher's log: {told}")]


# Collecting


def facts_of(
    store: JobStore | Iterable[Mapping[str, Any]],
    spool: Spool,
    accepted: Collection[str],
    **more: Any,
) -> Facts:
    """Read table and spool.

    Args:
        store: the job table, or its rows.
        spool: the job folders.
        accepted: ids of all jobs that were ever accepted.
        more: other attributes of :class:`Facts`.
    """
    rows: Mapping[str, Row]
    if isinstance(store, JobStore):
        rows = {job.id: Row.of(job) for job in store.in_state(set(State))}
    else:
        rows = {row["id"]: Row.of(row) for row in store}
    return Facts(
        accepted=frozenset(accepted),
        rows=rows,
        folders={job: folder(spool.open(job)) for job in spool.job_ids()},
        orphaned_arrays=_orphaned_arrays(spool),
        **more,
    )


def folder(job: JobDir) -> Folder:
    """What a job's folder holds."""
    document = None
    with contextlib.suppress(OSError, status_xml.DocumentError, ValueError):
        document = status_xml.parse(job.status.read_bytes())
    return Folder(frozenset(os.listdir(job.path)), document, outcome.read(job))


def ends_in(log: str) -> dict[str, list[str]]:
    """Each end of a job that a dispatcher's log tells, by job id."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for job, end in _ENDED.findall(log):
        found[job].append(end)
    return found


def _orphaned_arrays(spool: Spool) -> frozenset[str]:
    arrays = spool.root / ARRAYS
    return frozenset(
        array.name
        for array in (arrays.iterdir() if arrays.is_dir() else ())
        if not any(_is_some_jobs(log) for log in array.glob("log-*"))
    )


def _is_some_jobs(log: Path) -> bool:
    """Whether a job's folder has this log, too: by a second name, or else by a link to it."""
    return log.resolve().parent.is_dir() if log.is_symlink() else log.stat().st_nlink > 1


# A real server


def check_server(
    server: HpcServer,
    locations: Collection[str] = (),
    *,
    reader: Reader | None = None,
    slurm: bool = True,
    limit: float = 120.0,
    **more: Any,
) -> Facts:
    """Wait until a server's jobs are over, then check everything.

    Args:
        server: whose jobs are to be checked.
        locations: of the status documents of all accepted jobs, or their ids.
        reader: that looked at its documents meanwhile; it is stopped.
        slurm: whether Slurm runs the jobs here: then its queue and its accounting are asked.
        limit: seconds until all jobs must have ended, and again until accounting must know them.
        more: other attributes of :class:`Facts`: ``restarted``, ``folder_removed``, ``queue``, …

    Returns:
        The facts.

    Raises:
        InvariantViolated: naming each violation.
    """
    ids = {row["access"]: row["id"] for row in server.rows()}
    found = [match for one in locations for match in re.findall(JOB_ID, one)[-1:]]
    accepted = [str(ids.get(match, match)) for match in found]
    terminal = {state.value for state in TERMINAL}

    def over() -> bool:
        rows = server.rows()
        known = {row["id"] for row in rows}
        return known >= set(accepted) and all(row["state"] in terminal for row in rows)

    _wait(over, limit)

    def look() -> Facts:
        view = {"queue": slurm_queue(), "runs": slurm_runs()} if slurm else {}
        ends = ends_in(server.read_log())
        return facts_of(server.rows(), server.spool, accepted, **{"ends": ends, **view, **more})

    facts = look()
    deadline = time.monotonic() + limit / 2
    # Accounting lags behind, and a job that ended may be cleaned up after for a moment still.
    while violations(facts) and time.monotonic() < deadline:
        time.sleep(0.5)
        facts = look()
    require([*violations(facts), *(reader.stop() if reader else ())])
    return facts


def slurm_queue() -> frozenset[Place]:
    """What Slurm has waiting or running: squeue(1)."""
    lines = _output("squeue", "--array", "--noheader", "--format=%j|%K").splitlines()
    split = (line.strip().rpartition("|") for line in lines if line.strip())
    return frozenset((name, int(place) if place.isdigit() else 0) for name, _, place in split)


def slurm_runs() -> collections.Counter[Place]:
    """How often Slurm was given each job in the last hour, by sacct(1)."""
    text = _output("sacct", "-X", "-n", "-P", "-a", "-S", "now-1hours", "-o", "JobName,JobID")
    entries = (entry.split("|") for entry in text.splitlines())
    places = ((name, number.partition("_")[2] or "0") for name, number in entries)
    # Elements that wait share one row, "7_[1-3]".
    return collections.Counter((name, int(place)) for name, place in places if place.isdigit())


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def _wait(condition: Callable[[], bool], limit: float) -> None:
    """What is not so by then is found by the check."""
    deadline = time.monotonic() + limit
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
