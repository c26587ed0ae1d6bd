"""All pilots of one service: which there are, which takes a job, when another one is started."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from joblauncher.shared.files import atomic_write, read_plain, remove_tree
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.pilotdir import PILOTS, PilotDir
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    Phase,
    SchedulerError,
    SubmissionUncertain,
    Warm,
)
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.pilot import Pilot
from pywps_hpc.dispatch.scripts.pilot import goes_to_pilot, of_pilot
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import job_name, new_id
from pywps_hpc.settings import Settings

log = logging.getLogger(__name__)


class Fleet:
    """The pilots.

    Args:
        context: the batch system, and what else they need.
    """

    def __init__(self, context: Context) -> None:
        self._scheduler, self._settings = context.scheduler, context.settings
        self._clock, self._timing = context.clock, context.timing
        self._scripts = Scripts(self._settings, self._scheduler.system, self._scheduler.header)
        self._folder = self._settings.spool / PILOTS
        self._refused: dict[str, float] = {}  # group -> until when none is started
        self._pilots: dict[str, Pilot] = {}

    def all(self) -> list[Pilot]:
        """Those that are remembered.

        Raises:
            OSError: their folders cannot be listed.
        """
        # Listed anew each time: while another dispatcher led, it may have started some.
        found = {entry for entry in _entries(self._folder) if entry.startswith("pilot-")}
        for name in self._pilots.keys() - found:
            del self._pilots[name]
        for name in sorted(found - self._pilots.keys()):
            with suppress(FileNotFoundError, ValueError, KeyError):
                self._pilots[name] = Pilot.read(PilotDir(self._folder / name))
        return list(self._pilots.values())

    @property
    def remembered(self) -> list[Pilot]:
        """Those that were there when it was looked last."""
        return list(self._pilots.values())

    def get(self, pilot: str) -> Pilot | None:
        """The one of this id."""
        if pilot not in self._pilots:
            self.all()
        return self._pilots.get(pilot)

    def alive(self) -> Iterator[Pilot]:
        """Those that have not ended, as far as is known."""
        return (pilot for pilot in self.all() if not pilot.is_over)

    def having(self, name: str) -> Iterator[Pilot]:
        """Those that have the job of this name."""
        return (pilot for pilot in self.all() if pilot.has(name))

    def take(self, job: BatchJob, group: str, but: Pilot | None = None) -> str:
        """Give a job to a pilot: one with a free slot, or a new one, or else the one with the
        shortest queue.

        Args:
            job: that can be started warm.
            group: of pilots that take it.
            but: another one than this.

        Returns:
            The job's id; empty if there is none, and none can be had.
        """
        if not goes_to_pilot(self._settings, job.process, job.resources):
            return ""  # it was accepted with other settings, or is no such job
        own = self._settings.for_process(job.process).container
        for count in (False, True):
            pilots = [
                pilot
                for pilot in self.alive()
                if pilot.own["group"] == group and pilot is not but and self._takes(pilot)
            ]
            if count:
                self._count(pilots)
            free = [pilot for pilot in pilots if pilot.open < pilot.facts["slots"]]
            if free:
                best = min(free, key=lambda one: (one.phase is not Phase.RUNNING, one.open))
                return best.place(job)
        living = sum(pilot.own["group"] == group and self._lives(pilot) for pilot in self.alive())
        if living < own.pilots and (fresh := self._start(job, group)) is not None:
            return fresh.place(job)
        if not pilots:
            return ""
        return min(pilots, key=lambda one: one.open / one.facts["slots"]).place(job)

    def refuse(self, group: str) -> None:
        """Start no pilot of this group for a while."""
        self._refused[group] = self._clock() + self._timing.pilot_refused

    def forget(self, pilot: Pilot) -> None:
        """Remove one that has been over for long."""
        with suppress(OSError):
            remove_tree(pilot.dir.path)
        self._pilots.pop(pilot.id, None)

    def _takes(self, pilot: Pilot) -> bool:
        is_stuck = pilot.status is not None and pilot.status.hopeless
        is_full = pilot.given >= pilot.facts["jobs"]
        return not (is_stuck or is_full or pilot.is_closed())

    def _lives(self, pilot: Pilot) -> bool:
        """Whether it waits, or has jobs, or takes some: nobody may have asked about it for long."""
        if pilot.is_closed():
            pilot.look()
            return pilot.open > 0
        return True

    def _count(self, pilots: list[Pilot]) -> None:
        for pilot in pilots:
            pilot.look()

    def _start(self, job: BatchJob, group: str) -> Pilot | None:
        """A new pilot that takes jobs such as this one; ``None`` if it cannot be had."""
        if self._clock() < self._refused.get(group, 0.0):
            return None
        folder = PilotDir(self._folder / f"pilot-{secrets.token_hex(6)}")
        name = job_name(self._settings.job_prefix, new_id())
        try:
            folder.make()
            facts, own = self._facts(job), {"group": group, "name": name, "process": job.process}
            told = json.dumps(facts).encode()
            atomic_write(folder.path / "own.json", json.dumps(own).encode())
            atomic_write(folder.facts, told)
            self._teach(folder, group)
            digest = hashlib.sha256(told).hexdigest()
            batch = self._scripts.pilot(name, folder, digest, job.process)
            atomic_write(JobDir(folder.path).script, batch.script.encode(), mode=0o700)
            pilot = Pilot(folder, facts, own)
            pilot.submitted_as(self._scheduler.submit(batch)[0])
        except SubmissionUncertain as error:  # it is looked up by its name later
            log.warning("%s: unclear whether the batch system accepted it: %s", name, error)
        except (SchedulerError, ValueError, TemplateError) as error:
            log.warning("no pilot can be had, jobs are submitted by themselves: %s", error)
            self.refuse(group)
            with suppress(OSError):
                remove_tree(folder.path)
            return None
        log.info("%s: a pilot, submitted as %s", folder.path.name, pilot.native)
        self._pilots[pilot.id] = pilot
        return pilot

    def _facts(self, job: BatchJob) -> dict[str, Any]:
        """What a pilot is told (:class:`joblauncher.pilot.Pilot`)."""
        process, warm = self._settings.for_process(job.process), job.warm
        assert warm is not None
        assert warm.container is not None
        inside = warm.container
        is_folder = Path(inside.image).is_dir()
        return {
            "key": secrets.token_hex(32),
            "slots": process.container.pilot_slots,
            "jobs": process.container.pilot_jobs,
            "idle": process.container.pilot_idle,
            "walltime": of_pilot(process).walltime,
            "reserve": self._timing.pilot_reserve,
            "job_walltime": job.resources.walltime,
            "spool": inside.spool,
            "inside": {
                "paths": warm.paths,
                "network": inside.network,
                "writable": inside.writable,
                "changeable": None if is_folder else inside.shown,
            },
        }

    def _teach(self, folder: PilotDir, group: str) -> None:
        """Let a pilot begin with what an earlier one of its group has learned of imports."""
        for other in reversed(self.all()):
            if other.own["group"] == group:
                with suppress(OSError):
                    learned = read_plain(other.dir.inside / "learned.json")
                    atomic_write(folder.inside / "learned.json", learned)
                    return


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def group_of(job: BatchJob, warm: Warm, settings: Settings) -> str:
    """The key of the jobs that one pilot can run: the same settings, and the same image."""
    own = settings.for_process(job.process).container
    assert warm.container is not None
    facts = [
        *(warm.python, warm.paths, warm.options, dict(warm.environment), asdict(warm.container)),
        *(asdict(job.resources), _stamp(warm.container.image)),
        *(own.pilot_slots, own.pilot_jobs, own.pilot_idle, own.pilot_walltime),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _stamp(image: str) -> list[int]:
    """Which file an image is, where this host has it."""
    try:
        facts = os.stat(image)
    except OSError:
        return []
    return [facts.st_ino, facts.st_mtime_ns, facts.st_size]
