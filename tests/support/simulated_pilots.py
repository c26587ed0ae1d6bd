"""A pilot on a node, step by step, as :mod:`joblauncher.pilot` is: it takes orders from its folder,
starts their jobs, and can be killed, stopped or forgotten between any two steps.

Whatever it leaves in its folder the dispatcher finds there; each of its jobs is a launcher as on
any node (:mod:`simulated_launcher`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from chaotic_scheduler import ChaoticScheduler
from fake_scheduler import RUNNING
from invariants import Place
from joblauncher.shared.files import atomic_write, read_plain
from joblauncher.shared.pilotdir import (
    CANCEL,
    ENDED,
    PAUSE,
    PAUSED,
    PILOTS,
    REQUESTS,
    TAKEN,
    WAITING,
    PilotDir,
    unseal,
)
from pywps_hpc.dispatch.schedulers.base import BatchJob, JobStatus, Outcome, Phase
from simulated_cluster import Entry
from simulated_launcher import Launcher

#: Makes the launcher of a job: of its order, and which start of the pilot it is.
Start = Callable[[dict[str, Any], int], Launcher]


def folder_of(job: BatchJob) -> PilotDir | None:
    """The folder of the pilot that a batch job is; ``None``: it is a job by itself."""
    folder = Path(job.path).parent
    return PilotDir(folder) if folder.parent.name == PILOTS else None


class SimulatedPilot:
    """One start of a pilot. To the nodes it is what a :class:`Launcher` is to them.

    Args:
        folder: its own.
        native: the batch system's id.
        attempt: which start this is.
        start: makes a job's launcher.
        chance: when it does what.

    Attributes:
        jobs: job name -> its launcher, of those that run.
        code: its exit code once it is over; ``None`` before, or if it was killed.
        over: whether it has come to its end, or was killed.
        closed: the same: it has no last word.
        is_twin: whether it left to another one that is the same pilot.
    """

    ended = forged = ""
    forging = lacked_input = spoilt = False

    def __init__(
        self, folder: PilotDir, native: str, attempt: int, start: Start, chance: random.Random
    ) -> None:
        self.folder, self.native, self.attempt = folder, native, attempt
        self.jobs: dict[str, Launcher] = {}
        self.job = SimpleNamespace(job_id=folder.path.name)
        self.code: int | None = None
        self.over = self.closed = self.is_twin = False
        self._start, self._chance = start, chance
        facts = json.loads(read_plain(folder.facts))
        self._key, self._slots, self._most = facts["key"], facts["slots"], facts["jobs"]
        self._taken = 0
        self._has_begun = self._takes_none = False
        self._again: list[str] = []

    def step(self, *, killed_at: int = 0) -> None:
        """Go on a little."""
        if self.over:
            return
        if not self._has_begun:
            self._begin()
            return
        self._obey()
        running = [name for name in self.jobs if not self._stands_still(name)]
        if running and self._chance.random() < 0.7:
            self._step_of(self._chance.choice(running), killed_at)
        elif not self._takes_none:
            self._take()
        if not self._takes_none and (self._taken >= self._most or self._chance.random() < 0.01):
            self._close()
        if self._takes_none and not self.jobs:
            self._end(0)

    def kill(self) -> None:
        """It is gone at once, with all its jobs."""
        for launcher in self.jobs.values():
            launcher.kill()
        self.jobs.clear()
        self._end(None)

    def abandon(self) -> list[Launcher]:
        """It is gone for the batch system, but its jobs live on."""
        left = list(self.jobs.values())
        self.jobs.clear()
        self._end(None)
        return left

    def stop(self) -> None:
        """SIGTERM from the batch system, which it passes on."""
        if not self._has_begun:
            self.kill()
            return
        self._close()
        for launcher in self.jobs.values():
            launcher.stop()

    def kill_process(self, place: int = 0) -> None:
        """SIGKILL to the process of one of its jobs."""
        if self.jobs:
            self.jobs[self._chance.choice(sorted(self.jobs))].kill_process(place)

    def _begin(self) -> None:
        self._has_begun = True
        if self.folder.take_lease(self.native) != self.native:
            self.is_twin = True
            self._end(0)
            return
        self.folder.closed.unlink(missing_ok=True)
        if self._chance.random() < 0.05:
            atomic_write(self.folder.refused, b"no user namespaces")
            self._end(0)
            return
        self._again = sorted(self.folder.names(TAKEN) - self.folder.names(ENDED))

    def _take(self) -> None:
        if len(self.jobs) >= self._slots:
            return
        if self._again:
            self._launch(self._again.pop())
            return
        for name in sorted(self.folder.names(WAITING))[:1]:
            if self._taken < self._most and self.folder.move(name, WAITING, TAKEN):
                self._launch(name)

    def _launch(self, name: str) -> None:
        self._taken += 1
        try:
            content = read_plain(self.folder.file(TAKEN, name))
        except FileNotFoundError:  # taken back from a pilot that waited
            return
        order = unseal(self._key, name, content)
        if f"{name}.{CANCEL}" in self.folder.names(REQUESTS):
            self._tell(name, {"outcome": "cancelled", "detail": "cancelled before it started"})
            return
        self.jobs[name] = self._start(order, self.attempt)

    def _step_of(self, name: str, killed_at: int) -> None:
        launcher = self.jobs[name]
        launcher.step(killed_at=killed_at)
        if not launcher.over:
            return
        del self.jobs[name]
        code = launcher.code
        if code is None:
            self._tell(name, {"outcome": "signalled", "signal": 9, "detail": ""})
        elif code > 128:
            self._tell(name, {"outcome": "signalled", "signal": code - 128, "detail": ""})
        else:
            self._tell(name, {"outcome": "exited", "exit_code": code, "detail": ""})

    def _obey(self) -> None:
        requests, paused = self.folder.names(REQUESTS), self.folder.names(PAUSED)
        for name in list(self.jobs):
            if f"{name}.{CANCEL}" in requests:
                launcher = self.jobs.pop(name)
                launcher.stop()
                for _ in range(self._chance.randint(0, 3)):
                    launcher.step()
                launcher.kill()
                self._tell(name, {"outcome": "cancelled", "detail": ""})
            elif (f"{name}.{PAUSE}" in requests) is not (name in paused):
                file = self.folder.file(PAUSED, name)
                file.unlink() if name in paused else file.touch()

    def _stands_still(self, name: str) -> bool:
        return self.folder.file(PAUSED, name).exists()

    def _tell(self, name: str, end: dict[str, object]) -> None:
        self.folder.write_end(name, {**end, "attempt": self.attempt})
        self.folder.file(PAUSED, name).unlink(missing_ok=True)

    def _close(self) -> None:
        self._takes_none = True
        atomic_write(self.folder.closed, b"it has done enough")

    def _end(self, code: int | None) -> None:
        self.code, self.over, self.closed = code, True, True


@dataclass
class ClusterWithPilots(ChaoticScheduler):
    """A chaotic cluster that knows pilots among its jobs.

    Attributes:
        pilots: the batch system's id -> the folder of the pilot.
    """

    system = "slurm"
    pilots: dict[str, PilotDir] = field(default_factory=dict)

    def left(self) -> frozenset[Place]:
        """Jobs that wait or run, by themselves: a pilot may wait for more."""
        own = {entry.place for entry in self.entries.values() if entry.number in self.pilots}
        return super().left() - own

    def running_in_pilots(self) -> Iterator[Launcher]:
        """The launchers in pilots that the batch system has."""
        for entry in self.entries.values():
            if isinstance(entry.life, SimulatedPilot) and entry.listed and not entry.over:
                yield from entry.life.jobs.values()

    def _accept(self, job: BatchJob, appears: float) -> list[str]:
        taken = super()._accept(job, appears)
        folder = folder_of(job)
        if folder is not None:
            self.pilots |= dict.fromkeys(taken, folder)
            self.seen["pilot"] += 1
        return taken

    def _start(self, entry: Entry) -> None:
        folder = self.pilots.get(entry.number)
        if folder is None:
            super()._start(entry)
        elif not folder.facts.exists():  # the dispatcher was killed while it made it, or forgot it
            self._end(entry, JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=1))
        else:
            life: Any = SimulatedPilot(
                folder, entry.number, entry.attempt, self._start_in_pilot, self.chance
            )
            entry.life = life
            self._say(entry, RUNNING)

    def _start_in_pilot(self, order: dict[str, Any], attempt: int) -> Launcher:
        self.seen["job of a pilot"] += 1
        arguments = order["warm"]["arguments"]
        digest = arguments[arguments.index("--digest") + 1]
        return self._launch(Path(order["warm"]["folder"]).name, attempt, digest)

    def _end(self, entry: Entry, status: JobStatus, *, recorded: bool = True) -> None:
        if isinstance(entry.life, SimulatedPilot) and entry.life.is_twin:
            self.seen["pilot left to its twin"] += 1
        super()._end(entry, status, recorded=recorded)

    def _lose(self, life: Launcher, *, lives_on: bool) -> None:
        if isinstance(life, SimulatedPilot) and lives_on:
            self.zombies += life.abandon()
        else:
            super()._lose(life, lives_on=lives_on)
