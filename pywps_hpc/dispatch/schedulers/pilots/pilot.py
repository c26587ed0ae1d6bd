"""One pilot, from the dispatcher's side: its folder, and what the batch system says of it.

Beside what pilot and dispatcher both know (:mod:`joblauncher.shared.pilotdir`) its folder has::

    native        the batch system's id; missing: its submission may be under way
    batch/NAME    a job as it was submitted, to submit it without the pilot
    moved/NAME    the id under which a job that was taken back went on
    over          the pilot has ended; how, as data
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from joblauncher.shared.files import atomic_write, read_plain
from joblauncher.shared.pilotdir import (
    BACK,
    CANCEL,
    ENDED,
    HELD,
    PAUSED,
    REQUESTS,
    TAKEN,
    WAITING,
    PilotDir,
    seal,
)
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Resources,
    Warm,
    WarmContainer,
)

#: What a job of a pilot waits for, for its client.
WAITS_FOR_SLOT = "earlier jobs of its kind wait or run"
_MOVED, _BATCH = "moved", "batch"
#: How a pilot ended -> how its jobs did, where that is not the same: a pilot's limits are not a
#: job's.
_ENDS = {
    Outcome.TIME_LIMIT: Outcome.UNKNOWN,
    Outcome.MEMORY_LIMIT: Outcome.UNKNOWN,
    Outcome.EXITED: Outcome.UNKNOWN,
    Outcome.SIGNALLED: Outcome.UNKNOWN,
    Outcome.COULD_NOT_START: Outcome.UNKNOWN,
}


@dataclass(frozen=True)
class Look:
    """What the folder of a pilot has, by job name."""

    waiting: frozenset[str]
    held: frozenset[str]
    taken: frozenset[str]
    back: frozenset[str]
    ended: frozenset[str]
    paused: frozenset[str]
    requests: frozenset[str]
    moved: frozenset[str]

    @property
    def stranded(self) -> frozenset[str]:
        """Jobs that were taken back and have not gone on elsewhere."""
        cancelled = {name for name in self.back if f"{name}.{CANCEL}" in self.requests}
        return self.back - self.moved - cancelled


@dataclass
class Pilot:
    """A pilot.

    Attributes:
        dir: its folder.
        facts: what it is told.
        own: ``group``, the key of the jobs that it takes; ``name``, in the queue; ``process``.
        native: the batch system's id; empty if that is not known.
        status: what the batch system said last; ``None`` before it did.
        missing_since: since when it is in no answer; 0: it is not missing.
        first_seen: job name -> since when it waits, by the clock of whoever asks.
        is_over: whether it has ended.
        settled_since: since when it has ended and no job waits for anything of it; ``None``: it has
            not, or some do.
        names: of all jobs that it was given, once it is settled.
        open: jobs that wait for it or run in it, when they were counted last.
        given: jobs that it was given, by this dispatcher.
        told: names of the jobs whose ends the dispatcher has heard of.
    """

    dir: PilotDir
    facts: dict[str, Any]
    own: dict[str, str]
    native: str = ""
    status: JobStatus | None = None
    missing_since: float = 0.0
    first_seen: dict[str, float] = field(default_factory=dict)
    is_over: bool = False
    settled_since: float | None = None
    names: frozenset[str] = frozenset()
    open: int = 0
    given: int = 0
    told: frozenset[str] = frozenset()

    @classmethod
    def read(cls, folder: PilotDir) -> Pilot:
        """The pilot of this folder.

        Raises:
            OSError, ValueError, KeyError: there is none.
        """
        facts = json.loads(read_plain(folder.facts))
        own = json.loads(read_plain(folder.path / "own.json"))
        pilot = cls(folder, facts, own)
        with suppress(FileNotFoundError):
            pilot.native = read_plain(folder.path / "native").decode()
        with suppress(FileNotFoundError):
            told = json.loads(read_plain(folder.path / "over"))
            pilot.is_over, pilot.status = True, _status(told)
        pilot.given = len(folder.names(_BATCH))
        return pilot

    @property
    def id(self) -> str:
        """Its own id, by which the ids of its jobs begin."""
        return self.dir.path.name

    @property
    def phase(self) -> Phase | None:
        return self.status.phase if self.status else None

    @property
    def restarts(self) -> int:
        return self.status.restarts if self.status else 0

    def job_id(self, name: str) -> str:
        """The id of a job of this pilot."""
        return f"{self.id}.{name}"

    def submitted_as(self, native: str) -> None:
        """Remember the batch system's id."""
        atomic_write(self.dir.path / "native", native.encode())
        self.native = native

    def ended(self, status: JobStatus) -> None:
        """Remember that it has ended, and how."""
        facts: dict[str, Any] = {
            "outcome": (status.outcome or Outcome.UNKNOWN).value,
            "detail": status.detail,
        }
        facts |= {"restarts": status.restarts}
        atomic_write(self.dir.path / "over", json.dumps(facts).encode())
        self.is_over, self.status = True, _status(facts)

    def settle(self, now: float) -> None:
        """It has ended, and no job waits for anything of it: its folder changes no more."""
        self.settled_since, self.names = now, frozenset(self.dir.names(_BATCH))

    def is_closed(self) -> bool:
        """Whether it takes no more orders."""
        return self.is_over or self.dir.closed.exists() or self.dir.refused.exists()

    def refusal(self) -> str:
        """Why its node does not allow warm starts; empty if nothing is said of that."""
        with suppress(OSError):
            return " ".join(read_plain(self.dir.refused).decode(errors="replace").split())
        return ""

    def node(self) -> str:
        """The name of its node, where it is known."""
        with suppress(OSError):
            return read_plain(self.dir.path / "node").decode(errors="replace").strip()
        return "its node"

    def has(self, name: str) -> bool:
        """Whether it was given this job, and the job has not gone on elsewhere."""
        if self.settled_since is not None and name not in self.names:
            return False
        kinds = (WAITING, HELD, TAKEN, BACK)
        return not self.moved_to(name) and any(self.dir.file(k, name).exists() for k in kinds)

    def look(self) -> Look:
        """What is in its folder now.

        Raises:
            OSError: it cannot be listed.
        """
        # In the order in which a job goes through them: none is missed that moves meanwhile.
        kinds = (WAITING, HELD, TAKEN, BACK, ENDED, PAUSED, REQUESTS, _MOVED)
        waiting, held, taken, back, *rest = (frozenset(self.dir.names(kind)) for kind in kinds)
        self.open = len(waiting - taken - back) + len(taken - back - rest[0])
        return Look(waiting - taken - back, held - back, taken - back, back, *rest)

    def place(self, job: BatchJob) -> str:
        """Give it a job; the job's id."""
        assert job.warm is not None
        (self.dir.path / _BATCH).mkdir(mode=0o700, exist_ok=True)
        (self.dir.path / _MOVED).mkdir(mode=0o700, exist_ok=True)
        atomic_write(self.dir.file(_BATCH, job.name), json.dumps(asdict(job)).encode())
        need = job.resources
        warm = {key: value for key, value in asdict(job.warm).items() if key != "container"}
        order = {"warm": warm, "memory": need.memory, "walltime": need.walltime}
        content = seal(self.facts["key"], job.name, order)
        atomic_write(self.dir.file(WAITING, job.name), content)
        self.open, self.given = self.open + 1, self.given + 1
        return self.job_id(job.name)

    def take_back(self, name: str) -> bool:
        """Take an order back; false if the pilot was first, or nobody has it."""
        return self.dir.move(name, WAITING, BACK) or self.dir.move(name, HELD, BACK)

    def batch_job(self, name: str) -> BatchJob:
        """A job as it was submitted, for another pilot or none.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        told = json.loads(read_plain(self.dir.file(_BATCH, name)))
        told["resources"] = Resources(**_tuples(told["resources"]))
        container = WarmContainer(**_tuples(told["warm"].pop("container")))
        told["warm"] = Warm(**_tuples(told["warm"]), container=container)
        return BatchJob(**_tuples(told))

    def moved_to(self, name: str) -> str:
        """The id under which a job went on; empty if it has none."""
        return went_on_as(self.dir, name)

    def move(self, name: str, native: str) -> None:
        """Remember where a job went on."""
        atomic_write(self.dir.file(_MOVED, name), native.encode())

    def job_status(self, name: str, look: Look) -> JobStatus | None:
        """Where a job stands; ``None`` if it is none of this pilot's, or went on elsewhere."""
        restarts = self.restarts
        if name in look.ended and (end := self.dir.read_end(name)) is not None:
            return JobStatus.ended(end, restarts=end.get("attempt", restarts), name=name)
        if name in look.back and f"{name}.{CANCEL}" in look.requests:
            detail = "cancelled before it started"
            return JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail=detail, name=name)
        queued = JobStatus(
            Phase.QUEUED, detail="queued", waits=WAITS_FOR_SLOT, restarts=restarts, name=name
        )
        if self.status is not None and self.phase is Phase.QUEUED:
            pilot = self.status
            queued = replace(queued, waits=pilot.waits, maintenance=pilot.maintenance)
        if name in look.taken:
            return self._running(name, look, queued)
        if name in look.held:
            return replace(queued, phase=Phase.HELD, detail="held", waits="")
        return queued if name in look.waiting or name in look.back else None

    def _running(self, name: str, look: Look, queued: JobStatus) -> JobStatus:
        status = self.status
        if self.is_over and status is not None:
            told = status.outcome or Outcome.UNKNOWN
            detail = f"the pilot that ran it ended: {status.detail or told.value}"
            outcome = _ENDS.get(told, told)
            return replace(queued, phase=Phase.FINISHED, outcome=outcome, detail=detail, waits="")
        if self.phase in (Phase.QUEUED, Phase.HELD) and self.restarts:
            return queued  # the batch system starts its pilot again
        stands = name in look.paused or self.phase is Phase.SUSPENDED
        phase = Phase.SUSPENDED if stands else Phase.RUNNING
        return replace(queued, phase=phase, detail=phase.value, waits="")


def went_on_as(folder: PilotDir, name: str) -> str:
    """The id under which a job of the pilot with this folder went on; empty if it has none."""
    with suppress(OSError):
        return read_plain(folder.file(_MOVED, name)).decode()
    return ""


def _status(facts: Mapping[str, Any]) -> JobStatus:
    outcome, restarts = Outcome(facts["outcome"]), int(facts["restarts"])
    return JobStatus(Phase.FINISHED, outcome, detail=facts["detail"], restarts=restarts)


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    """With tuples where JSON has lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
