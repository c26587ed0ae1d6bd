"""What is true on a cluster: which job waits, runs or is over, and the launchers on its nodes."""

from __future__ import annotations

import random
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fake_scheduler import DONE, QUEUED, RUNNING
from invariants import Place
from joblauncher.shared import outcome
from kill_points import Hooks
from pywps_hpc.dispatch.schedulers.base import BatchJob, JobStatus, Outcome, Phase
from pywps_hpc.spool import Spool
from simulated_launcher import SPOILS, Launcher, Plan

#: What can happen to one job.
EVENTS = (
    "time limit",
    "time limit, killed",
    "memory limit",
    "killed outright",
    "killed while it writes",
    "exit code 0 without a result",
    "node failed",
    "node failed, its processes live on",
    "node failed, started again",
    "node failed, started again beside its old processes",
    "preempted and queued again",
    "preempted",
    "cancelled by an administrator",
    "could not start",
    "hopeless",
    "forgotten by a restart",
    "forgotten by a restart, its processes live on",
)
CANCELLED = JobStatus(Phase.FINISHED, Outcome.CANCELLED, detail="CANCELLED by 0")
COMPLETING = JobStatus(Phase.RUNNING, detail="COMPLETING")
#: Of a batch script: each index of an array with the job that it is, and the digest of a dump.
_ELEMENT = re.compile(r"^ *(\d+)\) job_id=([0-9a-f-]{36}) digest=(\w+) ", re.MULTILINE)
_DIGEST = re.compile(r"^digest=(\w+)$", re.MULTILINE)


@dataclass
class Entry:
    """One job as the batch system has it, in truth.

    Attributes:
        job_id: ours.
        digest: of the job's dump.
        place: its name and index.
        appears: from when on it shows.
        status: where it stands.
        life: its launcher; ``None`` while it waits.
        attempt: which start it is at.
        listed: whether the queue has it still.
        known_from: when accounting knows its end; ``inf``: never.
        past: each status with the time from which it held.
        missed: who asked -> since when the answers to him have left it out; without those whose
            last answer had it.
        due: orders that have not reached it yet.
    """

    number: str
    job_id: str
    digest: str
    place: Place
    appears: float
    status: JobStatus = QUEUED
    life: Launcher | None = None
    attempt: int = 0
    listed: bool = True
    known_from: float = float("inf")
    past: list[tuple[float, JobStatus]] = field(default_factory=list)
    missed: dict[str, float] = field(default_factory=dict)
    due: list[Callable[[Entry], None]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status.phase is Phase.FINISHED

    @property
    def alive(self) -> bool:
        """Whether it may still do something: it waits, or runs and has not said its last word."""
        return self.listed and not self.over and not (self.life is not None and self.life.closed)


def can_happen(event: str, entry: Entry) -> bool:
    """Whether that can happen to a job as it stands."""
    if entry.over or not entry.listed:
        return False
    if event == "could not start":
        return entry.life is None
    if event == "hopeless":
        return entry.life is None and entry.status.phase is Phase.QUEUED
    return event.startswith("forgotten") or (entry.life is not None and not entry.life.over)


@dataclass(kw_only=True)
class Nodes:
    """Queue and nodes.

    Attributes:
        spool: where the jobs' folders are.
        chance: the source of all that is not said.
        hooks: for the launchers.
        clock: seconds since the epoch.
        faults: what is the matter now.
        seen: how often each fault and event happened.
        lives: all launchers that ever started.
        zombies: those of which the batch system knows nothing any more.
    """

    spool: Spool
    chance: random.Random
    hooks: Hooks
    clock: Callable[[], float]
    faults: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    entries: dict[str, Entry] = field(default_factory=dict)
    lives: list[Launcher] = field(default_factory=list)
    zombies: list[Launcher] = field(default_factory=list)

    def work(self, steps: int) -> None:
        """Nodes and queue go on for some steps, in any order."""
        for _ in range(steps):
            movable = [entry for entry in self.entries.values() if not entry.over or entry.listed]
            if movable:
                self._move(self.chance.choice(movable))
            if self.zombies:
                self.chance.choice(self.zombies).step()

    def settle(self) -> None:
        """Everything goes on until nothing can, but what waits for a person."""
        for zombie in self.zombies:
            while not zombie.over:
                zombie.step()
        for entry in self.entries.values():
            for _ in range(60):
                self._move(entry)

    def happen(self, event: str, entry: Entry) -> None:
        """Something happens to a job to which it can happen."""
        self.seen[event] += 1
        self._befall(event, entry, entry.life)

    def left(self) -> frozenset[Place]:
        """Jobs that wait or run."""
        return frozenset(
            entry.place for entry in self.entries.values() if entry.listed and not entry.over
        )

    def _befall(self, event: str, entry: Entry, life: Launcher | None) -> None:
        if event == "could not start":
            self._end(entry, JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail="Eqw"))
            return
        if event == "hopeless":
            detail = "PENDING (PartitionTimeLimit)"
            self._say(entry, JobStatus(Phase.QUEUED, detail=detail, hopeless=True))
            return
        if event.startswith("forgotten"):
            if life is not None and not life.over:
                self._lose(life, lives_on="live on" in event)
            entry.listed = False
            return
        assert life is not None
        if event == "killed while it writes":
            for _ in range(8):  # maybe it has not begun to
                life.step(killed_at=self.chance.randint(1, 2))
            life.kill()
            self._end(entry, JobStatus(Phase.FINISHED, Outcome.SIGNALLED, signal=9))
        elif event.startswith("time limit"):
            if event == "time limit":
                life.stop()
                life.step()
                life.step()
            life.kill()
            self._end(entry, JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT, detail="TIMEOUT"))
        elif event == "memory limit":
            life.kill_process(self.chance.randint(0, 2))
            for _ in range(4):
                life.step()
            life.kill()
            self._end(entry, JobStatus(Phase.FINISHED, Outcome.MEMORY_LIMIT))
        elif event == "killed outright":
            life.kill()
            self._end(entry, JobStatus(Phase.FINISHED, Outcome.SIGNALLED, signal=9))
        elif event == "exit code 0 without a result":
            life.kill()
            self._end(entry, DONE)
        elif event in ("preempted", "preempted and queued again"):
            life.stop()
            for _ in range(self.chance.randint(0, 3)):
                life.step()
            life.kill()
            if event == "preempted":
                self._end(entry, JobStatus(Phase.FINISHED, Outcome.PREEMPTED, detail="PREEMPTED"))
            else:
                self._queue_again(entry)
        elif event == "cancelled by an administrator":
            self._end_by_order(entry)
        else:
            self._lose(life, lives_on="old processes" in event or "live on" in event)
            if "started again" in event:
                self._queue_again(entry)
            else:
                status = JobStatus(Phase.FINISHED, Outcome.NODE_FAILURE, detail="NODE_FAIL")
                self._end(entry, status)

    def _accept(self, job: BatchJob, appears: float) -> list[str]:
        found = {int(place): told for place, *told in _ELEMENT.findall(job.script)}
        taken = []
        for place in job.array_indices or (0,):
            number = str(len(self.entries) + 1)
            job_id, digest = found.get(place) or (job.comment, _DIGEST.findall(job.script)[0])
            entry = Entry(number, job_id, digest, (job.name, place), appears)
            entry.past.append((appears, entry.status))
            self.entries[number] = entry
            taken.append(number)
        return taken

    def _move(self, entry: Entry) -> None:
        """One step of one job's life."""
        if entry.over:
            if entry.listed and self.chance.random() < 0.3:
                entry.listed = False
            return
        if not entry.listed:
            return
        if entry.due:
            entry.due.pop()(entry)
        elif entry.status.hopeless:
            self._say(entry, QUEUED)  # the administrator saw to it
        elif entry.status.phase is Phase.QUEUED:
            self._start(entry)
        elif entry.status.phase is Phase.RUNNING:
            self._run(entry)

    def _start(self, entry: Entry) -> None:
        entry.life = self._launch(entry.job_id, entry.attempt, entry.digest)
        self._say(entry, RUNNING)

    def _launch(self, job_id: str, attempt: int, digest: str) -> Launcher:
        """One start of a job."""
        chance = self.chance.random()
        ends = outcome.SUCCEEDED if chance < 0.7 else outcome.FAILED if chance < 0.85 else ""
        code = 0 if ends == outcome.SUCCEEDED else 1 if ends else self.chance.choice((0, 3, 139))
        percents = range(10, 10 + 10 * self.chance.randint(0, 3), 10)
        life = Launcher(
            self.spool.open(job_id),
            attempt,
            digest,
            self._plan(tuple(percents), ends, code),
            self.hooks,
            self.clock,
        )
        self.lives.append(life)
        return life

    def _plan(self, percents: tuple[int, ...], ends: str, code: int) -> Plan:
        """What the process does; now and then it is a hostile one."""
        chance = self.chance.random()
        if chance < 0.1:
            forges = self.chance.choice((outcome.SUCCEEDED, outcome.FAILED))
            killer = self.chance.choice((0, signal.SIGKILL))
            self.seen[f"forged end: {forges}"] += 1
            return Plan(percents, "", 0, forges=forges, signal=killer)
        if chance < 0.2:
            spoils = self.chance.choice(list(SPOILS))
            self.seen[f"spoilt: {spoils}"] += 1
            return Plan(percents, ends, code, spoils=spoils)
        return Plan(percents, ends, code)

    def _run(self, entry: Entry) -> None:
        life = entry.life
        assert life is not None
        if not life.over:
            life.step()
        elif entry.status == COMPLETING or self.chance.random() < 0.5:
            code = life.code if life.code is not None else 137
            self._end(entry, replace(DONE, exit_code=code))
        else:
            self._say(entry, COMPLETING)

    def _say(self, entry: Entry, status: JobStatus) -> None:
        entry.status = status
        entry.past.append((self.clock(), status))

    def _end(self, entry: Entry, status: JobStatus, *, recorded: bool = True) -> None:
        self._say(entry, replace(status, restarts=entry.attempt))
        entry.due.clear()
        late = self.chance.uniform(1, 40) if self._happens("accounting late", 1) else 0.0
        entry.known_from = self.clock() + late if recorded else float("inf")
        if self._happens("queue forgets at once", 1):
            entry.listed = False

    def _queue_again(self, entry: Entry) -> None:
        entry.attempt += 1
        entry.life = None
        self._say(entry, replace(QUEUED, restarts=entry.attempt))

    def _lose(self, life: Launcher, *, lives_on: bool) -> None:
        if lives_on:
            self.zombies.append(life)
        else:
            life.kill()

    def _end_by_order(self, entry: Entry) -> None:
        if entry.life is None:
            # Measured: of an array's element that waits, Slurm keeps no record.
            recorded = not entry.place[1] or self.chance.random() < 0.5
            self._end(entry, CANCELLED, recorded=recorded)
            entry.listed = entry.listed and recorded
            return
        entry.life.stop()
        for _ in range(self.chance.randint(0, 3)):
            entry.life.step()
        entry.life.kill()
        self._end(entry, CANCELLED)

    def _stand_still(self, entry: Entry) -> None:
        # A launcher only exits after its last word, in no time: a signal that reaches it just then
        # is played where the order to end it, which follows, is not lost.
        hidden = self.faults & {"orders lost"}
        if entry.life is not None and (entry.life.over or (entry.life.closed and hidden)):
            return
        if entry.status.phase is Phase.QUEUED:
            self._say(entry, JobStatus(Phase.HELD))
        elif entry.status.phase is Phase.RUNNING and not self._happens("hold does nothing", 1):
            self._say(entry, JobStatus(Phase.SUSPENDED))

    def _go_on(self, entry: Entry) -> None:
        if entry.status.phase is Phase.HELD:
            self._say(entry, QUEUED)
        elif entry.status.phase is Phase.SUSPENDED:
            self._say(entry, RUNNING)

    def _happens(self, fault: str, chance: float = 0.5) -> bool:
        if fault not in self.faults or (chance < 1 and self.chance.random() >= chance):
            return False
        self.seen[fault] += 1
        return True
