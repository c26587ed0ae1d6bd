"""One installation on a chaotic cluster: a real dispatcher, job table and spool, clock by hand."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import random
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sqlalchemy as sa
from sqlalchemy.engine import Connection

import invariants
from chaotic_scheduler import ChaoticScheduler
from dispatcher_harness import ACCEPTED, GRACE
from invariants import Broken, Violation
from joblauncher.shared import dump, outcome, status_xml
from joblauncher.shared.files import atomic_write
from joblauncher.shared.pilotdir import PilotDir
from kill_points import Fragile, Hooks, Killed
from pywps_hpc.dispatch import finish
from pywps_hpc.dispatch.dispatcher import Dispatcher
from pywps_hpc.dispatch.leader import LeadershipLost
from pywps_hpc.dispatch.schedulers.base import Outcome
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.scheduler import PilotScheduler
from pywps_hpc.dispatch.scripts import script
from pywps_hpc.jobs import TERMINAL, ControlRequest, Job, JobStore, State, job_name, rows
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.schema import jobs as table
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings
from pywps_hpc.spool import Spool
from pywps_hpc.web.wps1 import status
from simulated_cluster import Entry
from simulated_pilots import ClusterWithPilots
from status_readers import Witnessed

#: The logger that is told of each end; that of the context is told of errors.
TELLS_ENDS = finish.log.name
#: For jobs that go to pilots.
PILOTS = Container(image=Path("/image.sif"), warm=True, pilots=2, pilot_slots=2, pilot_jobs=4)
#: Memory, where there is any: no schedule waits for a disk.
MEMORY = Path("/dev/shm")
#: Rounds of 20 s in which everything must have ended once the faults are over.
ROUNDS = 60


class QuickStore(JobStore):
    """The job table in memory, without what takes most of the time there: its transactions share
    one connection, and the two questions that are asked in each turn are put in words once."""

    _connection: Connection | None = None

    def in_state(
        self, states: Collection[State], *, limit: int | None = None, known: Any = None
    ) -> list[Job]:
        return self._repeat(frozenset(states), limit)

    def requested(self) -> list[Job]:
        return self._repeat(None, None)

    def _repeat(self, states: frozenset[State] | None, limit: int | None) -> list[Job]:
        with self._begin() as connection:
            found = connection.execute(self._question(states, limit)).mappings()
            return [rows.to_job(row) for row in found]

    @functools.cache  # noqa: B019  (there is one)
    def _question(self, states: frozenset[State] | None, limit: int | None) -> Any:
        """What :class:`JobStore` itself would ask."""
        asked: list[Any] = []
        with mock.patch.object(self, "_select", lambda *what, **more: asked.append((what, more))):
            super().requested() if states is None else super().in_state(states)
        (((condition,), _),) = asked
        order = (table.c.created, table.c.id)
        return sa.select(table).where(condition).order_by(*order).limit(limit)

    @contextmanager
    def _begin(
        self, *, write: bool = False, single: bool = False, lock: object = None
    ) -> Iterator[Connection]:
        if self._connection is None:
            self._connection = self.engine.connect()
        connection = self._connection.execution_options(write=write)
        with connection.begin():
            if write:
                self._require_leadership(connection)
            yield connection


class Machine:
    """What all schedules of this process share: the table's engine, and counts of what happened.

    Attributes:
        schedules, steps, jobs: how many there were.
        seen: how often each fault was met.
        places: how many places a dispatcher or launcher could have been killed at were passed.
    """

    def __init__(self) -> None:
        self.schedules = self.steps = self.jobs = self.places = 0
        self.seen: Counter[str] = Counter()
        self.store = QuickStore("sqlite://")  # in memory, for this thread
        self.store.create()
        self.hooks = Hooks()
        self.now = time.time()
        self.chance = random.Random(0)
        self.dead: set[str] = set()
        self.errors: list[str] = []
        self.ends: list[str] = []

    def met(self) -> Counter[str]:
        """All counts by name."""
        figures = {
            "schedules": self.schedules,
            "steps": self.steps,
            "jobs": self.jobs,
            "places to be killed at": self.places,
        }
        return Counter(figures) + self.seen

    @contextmanager
    def running(self) -> Iterator[None]:
        """The process's clock, file system and identifiers are the machine's."""
        clock = SimpleNamespace(
            time=lambda: self.now,
            monotonic=lambda: self.now,
            clock_gettime=lambda which: self.now,
            CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        )
        tokens = SimpleNamespace(
            token_hex=lambda size: f"{self.chance.getrandbits(8 * size):0{2 * size}x}"
        )
        patches = [
            mock.patch("joblauncher.publisher.time", clock),
            mock.patch("pywps_hpc.jobs.changes.time", clock),
            mock.patch("pywps_hpc.jobs.leadership.time", clock),
            mock.patch("pywps_hpc.jobs.database.time", clock),
            mock.patch("pywps_hpc.spool.Spool.now", self._file_clock),
            mock.patch("pywps_hpc.dispatch.leader.time", clock),
            mock.patch("pywps_hpc.dispatch.pending.time", clock),
            mock.patch("pywps_hpc.dispatch.leader.is_dead", lambda name: name in self.dead),
            mock.patch("pywps_hpc.dispatch.submission.new_id", self.new_id),
            mock.patch("pywps_hpc.dispatch.schedulers.pilots.fleet.new_id", self.new_id),
            mock.patch("pywps_hpc.dispatch.schedulers.pilots.fleet.secrets", tokens),
            mock.patch.object(PilotDir, "move", self.hooks.around(PilotDir.move)),
            mock.patch.object(PilotDir, "request", self.hooks.around(PilotDir.request)),
            mock.patch.object(PilotDir, "take_lease", self.hooks.around(PilotDir.take_lease)),
            mock.patch("pywps_hpc.dispatch.clean.Background.start", lambda aside: aside._what()),
            # Reading templates is the larger part of starting a dispatcher.
            mock.patch.object(script, "environment", functools.cache(script.environment)),
            self.hooks.installed(),
            self._listening(),
        ]
        with ExitStack() as stack:
            for patch in patches:
                stack.enter_context(patch)
            yield

    def _file_clock(self) -> float:
        return self.now

    def new_id(self) -> str:
        """A job id that the seed decides."""
        return str(uuid.UUID(int=self.chance.getrandbits(128)))

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Keep what the dispatcher's log tells of ends and of errors, and nothing else."""
        ends, errors = self.ends, self.errors

        class Listener(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.levelno >= logging.ERROR and record.exc_info:
                    errors.append(self.format(record))
                elif record.name == TELLS_ENDS:
                    ends.append(record.getMessage())

        listener = Listener()
        loud, quiet = (
            [logging.getLogger(name) for name in (TELLS_ENDS, "pywps_hpc.dispatch.context")],
            [logging.getLogger(name) for name in ("pywps_hpc", "joblauncher", "PYWPS")],
        )
        before = [(logger, logger.level, logger.propagate) for logger in (*loud, *quiet)]
        for logger in quiet:
            logger.setLevel(logging.CRITICAL)
        for logger in loud:
            logger.setLevel(logging.INFO)
            logger.propagate = False
            logger.addHandler(listener)
        try:
            yield
        finally:
            for logger in loud:
                logger.removeHandler(listener)
            for logger, level, propagate in before:
                logger.setLevel(level)
                logger.propagate = propagate


class World:
    """One installation on one cluster.

    Args:
        machine: what it shares with those before.
        seed: of all that no rule says.
        arrays: whether the batch system takes job arrays.
        pilots: whether jobs go to pilots.
    """

    def __init__(self, machine: Machine, seed: int, *, arrays: bool, pilots: bool = False) -> None:
        self.machine = machine
        machine.chance = self.chance = random.Random(seed)
        for found in (machine.dead, machine.errors, machine.ends):
            found.clear()
        with machine.store.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM hpc_jobs")
            connection.exec_driver_sql("DELETE FROM hpc_dispatcher")
            connection.exec_driver_sql("DELETE FROM hpc_facts")
        self.root = Path(
            tempfile.mkdtemp(prefix="schedule-", dir=MEMORY if MEMORY.is_dir() else None)
        )
        self.spool = Spool(self.root)
        self.settings = Settings(
            spool=self.root,
            database="sqlite://",
            grace=GRACE,
            command_timeout=30.0,
            defaults=ProcessSettings(
                Resources(memory=2048, walltime=600),
                PILOTS if pilots else Container(runtime="none"),
            ),
            scheduler="slurm" if pilots else "local",
        )
        self.pilots = pilots
        self.scheduler = (ClusterWithPilots if pilots else ChaoticScheduler)(
            spool=self.spool,
            chance=self.chance,
            hooks=machine.hooks,
            clock=lambda: machine.now,
            patience=GRACE,
        )
        self.scheduler.arrays = arrays
        self.accepted: list[str] = []
        self.states: dict[str, State] = {}
        self.witnessed = Witnessed()
        machine.hooks.on_document = self._saw
        self.dismissed: set[str] = set()
        self.overwritten: set[str] = set()  # by processes that the batch system had lost
        self.told: dict[str, status_xml.Status] = {}
        self._asked: dict[str, object] = {}
        self.found: list[Violation] = []
        self.broken = self.unrecorded = False
        self._count = 0
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(self) -> Dispatcher:
        """One that was just started."""
        self._count += 1
        hooks = self.machine.hooks
        scheduler: Any = Fragile(self.scheduler, hooks, ("header", "explain"))
        if self.pilots:
            scheduler = PilotScheduler(
                Context(scheduler, self.settings, clock=lambda: self.machine.now)
            )
        return Dispatcher(
            self.settings,
            Fragile(self.machine.store, hooks),  # type: ignore[arg-type]
            Fragile(self.spool, hooks, ("job_ids", "root")),  # type: ignore[arg-type]
            scheduler,
            clock=lambda: self.machine.now,
            uptime=lambda: self.machine.now,
            holder=f"dispatcher-{self._count}",
        )

    # What happens

    def accept(self, *, recorded: bool = True) -> None:
        """What the web server does, or a part of it."""
        job_id = self.machine.new_id()
        folder = self.spool.create(job_id)
        atomic_write(folder.status, ACCEPTED)
        outcome.Report(job=job_id, process="hello").write(folder)
        header = dump.Header(job=job_id, process="hello", **dump.versions())
        packed = dump.pack(header, None)
        atomic_write(folder.dump, packed)
        folder.inputs.mkdir(exist_ok=True)
        (folder.inputs / "0").touch()
        if not recorded:
            os.utime(folder.path, (self.machine.now, self.machine.now))
            return
        digest, now = dump.digest(packed), self.machine.now
        job = Job(job_id, job_name("w", job_id), "hello", digest, created=now)
        self.machine.store.add(job)
        self.accepted.append(job_id)
        self.states[job_id] = State.ACCEPTED
        self.machine.jobs += 1

    def request(self, job_id: str, request: ControlRequest) -> None:
        """Somebody asks for something, and is told whether that was recorded."""
        if self.machine.store.request(job_id, request):
            self.machine.seen[f"request: {request.value}"] += 1
            if request is ControlRequest.DISMISS:
                self.dismissed.add(job_id)

    def cycle(self, count: int = 0, action: Callable[[], None] | None = None) -> None:
        """One turn of the dispatcher.

        Args:
            count: the place at which something happens.
            action: what.
        """
        machine, scheduler, dispatcher = self.machine, self.scheduler, self.dispatcher
        holder = dispatcher._leadership.holder
        before, scheduler.asker = scheduler.asker, holder
        try:
            with machine.hooks.armed(count or 1 << 60, action or machine.hooks.kill):
                if dispatcher.lead():
                    dispatcher.cycle()
        except Killed:
            machine.dead.add(holder)
            machine.seen["dispatcher killed"] += 1
            if self.dispatcher is dispatcher:
                self.dispatcher = self.new_dispatcher()
        except LeadershipLost:
            dispatcher.leads = False
            machine.seen["dispatcher lost its leadership"] += 1
        finally:
            scheduler.asker = before

    def overtake(self, cycles: int) -> None:
        """The dispatcher is held up for longer than its lease; another one takes over.

        The one that was held up goes on afterwards with what it was just doing, but it is
        :attr:`dispatcher` no longer.
        """
        self.machine.seen["dispatcher overtaken"] += 1
        self.machine.now += self.settings.dispatcher_lease + 1
        self.dispatcher = self.new_dispatcher()
        for _ in range(cycles):
            self.cycle()
            self.scheduler.work(3)
            self.machine.now += 20
        self.scheduler.taken_back = True

    def give_back(self, dispatcher: Dispatcher) -> None:
        """Whoever overtook it is gone: a dispatcher that was held up leads once more, with whatever
        it remembers from before."""
        self.machine.seen["dispatcher leads again"] += 1
        self.machine.now += self.settings.dispatcher_lease + 1
        self.dispatcher = dispatcher

    # What must hold all the while

    def check(self) -> None:
        """Raise if a promise is broken already."""
        rows = {job.id: job for job in self.machine.store.in_state(set(State))}
        for job_id, before in self.states.items():
            if before in TERMINAL and (job_id not in rows or rows[job_id].state is not before):
                self._add(Broken.TURNED_BACK, job_id, f"its row said {before.value}")
        for job in rows.values():
            self._ask(job.id)
            if job.state in TERMINAL and self.states.get(job.id) not in TERMINAL:
                self._ended(job)
            self.states[job.id] = job.state
        for life in self.scheduler.lives:
            if life.lacked_input:
                self._add(Broken.INPUT_GONE, life.job.job_id, f"at start {life.attempt}")
        results = Counter(life.job.job_id for life in self.scheduler.lives if life.ended)
        for job_id, count in results.items():
            if count > 1:
                self._add(Broken.RAN_TWICE, job_id, f"{count} processes published an end")
        for error in self.machine.errors:
            self._add(Broken.DISAGREE, "", f"the dispatcher could not: {error}")
        self.machine.errors.clear()
        found = [*self.found, *self.scheduler.found, *self.witnessed.found()]
        self.broken = bool(found)
        invariants.require(found)

    def finish(self) -> None:
        """The faults end, time passes, and everything must be in order."""
        scheduler, machine = self.scheduler, self.machine
        scheduler.faults.clear()
        for _ in range(ROUNDS):
            scheduler.settle()
            self.cycle()
            self.check()
            machine.now += 20
            active = machine.store.in_state(set(State) - TERMINAL)
            for job in active:
                if job.state is State.PAUSED and job.control is ControlRequest.NONE:
                    machine.store.request(job.id, ControlRequest.RESUME)
            if not active:
                break
        scheduler.settle()
        machine.now += 4000
        self.cycle()
        self.check()
        again = {e.job_id for e in scheduler.entries.values() if e.attempt}
        again |= {life.job.job_id for life in scheduler.lives if life.attempt}  # with their pilots
        spoilt = {life.job.job_id for life in scheduler.zombies if life.spoilt}
        facts = invariants.facts_of(
            machine.store,
            self.spool,
            self.accepted,
            queue=scheduler.left(),
            ends=invariants.ends_in("\n".join(machine.ends)),
            restarted=frozenset(again),
            overwritten=frozenset(self.overwritten | spoilt),
            log_has_gaps=self._count > 1,  # else it was never killed nor overtaken
        )
        invariants.require(invariants.violations(facts))

    def remove(self) -> None:
        """Leave nothing behind."""
        self.machine.seen.update(self.scheduler.seen)
        self.machine.places += self.machine.hooks.passed
        self.machine.hooks.passed = 0
        shutil.rmtree(self.root, ignore_errors=True)

    def _ended(self, job: Job) -> None:
        entry = self.scheduler.entries.get(job.native_id)
        if job.state is State.DISMISSED:
            for other in self.scheduler.entries.values():
                shown = other.alive and other.appears <= self.machine.now
                if other.job_id == job.id and shown and not self._may_end(job, other):
                    self._add(Broken.IN_QUEUE, job.id, f"dismissed, but {other.number} is there")
        elif entry is not None and entry.alive and not self._may_end(job, entry):
            words = f"{job.state.value} ({job.message}), but the batch system has it alive"
            self._add(Broken.ENDED_EARLY, job.id, words)
        elif isinstance(self.scheduler, ClusterWithPilots):
            for life in self.scheduler.running_in_pilots():
                if life.job.job_id == job.id and life.took and not (life.closed or life.over):
                    self._add(Broken.ENDED_EARLY, job.id, f"{job.state.value}, but a pilot runs it")
        lives = [life for life in self.scheduler.lives if life.job.job_id == job.id]
        if job.state is State.SUCCEEDED and entry is not None:
            genuine = any(life.ended == outcome.SUCCEEDED for life in lives)
            if not genuine and not self._cannot_be_told(entry):
                self._add(Broken.FORGED, job.id, f"ended as {entry.status}")

    def _cannot_be_told(self, entry: Entry) -> bool:
        """Whether nothing that the batch system says contradicts a success.

        That includes exit code 0 of a launcher that was killed: it had no chance to say that the
        document is not its process's, and the process could write every file that it leaves. One
        that came to its end itself is not excused.
        """
        innocent = (Outcome.NODE_FAILURE, Outcome.PREEMPTED)
        killed = entry.life is not None and entry.life.over and entry.life.code is None
        unknown = not entry.listed and entry.known_from > self.machine.now - GRACE
        accounting = {"accounting off", "accounting late"} & set(self.scheduler.seen)
        exit_0 = killed and entry.status.exit_code == 0
        silent = entry.status.outcome in innocent or unknown or bool(accounting)
        return silent or exit_0 or self._was_interrupted(entry)

    def _was_interrupted(self, entry: Entry) -> bool:
        """Whether the batch system itself ended a start that had forged an end, and no other took
        over: each further one finds the job over, and refuses. After a genuine end it is the same.
        """
        if entry.life is not None and entry.attempt in entry.life.job.attempts():
            return False
        return any(
            life.forged and life.attempt < entry.attempt
            for life in self.scheduler.lives
            if life.job.job_id == entry.job_id
        )

    def _may_end(self, job: Job, entry: Entry) -> bool:
        if entry.life is not None and entry.life.over:
            return True
        if job.state is State.DISMISSED:
            return False
        # Another start of the same job may have told its end: one that lives on, or a double.
        return self._was_interrupted(entry) or any(
            life.ended for life in self.scheduler.lives if life.job.job_id == job.id
        )

    def _saw(self, job_id: str, document: bytes) -> None:
        lost = [life for life in self.scheduler.zombies if life.job.job_id == job_id]
        if any(life.forging for life in lost):
            self.overwritten.add(job_id)
        if job_id not in self.overwritten:
            self.witnessed.saw(job_id, document)
        self._ask(job_id)

    def _ask(self, job_id: str) -> None:
        """What a client is told now: an end stays what it is."""
        row = self.machine.store.get(job_id)
        if row is None:  # its client has no address yet
            return
        store, folder = self.machine.store, self.spool.open(job_id)
        with contextlib.suppress(OSError):
            files = [file.lstat() for file in (folder.status, folder.report)]
            seen = [(facts.st_ino, facts.st_mtime_ns) for facts in files]
            now = (row, job_id in self.dismissed, *seen)
            if self._asked.get(job_id) == now:
                return
            self._asked[job_id] = now
        view = look(row, folder, scheduler="chaos")
        if view.is_ending:
            store.saw_end(job_id)
        document = status.status_document(view, folder)
        told, before = status_xml.parse(document), self.told.get(job_id)
        self.told[job_id] = told
        if job_id in self.dismissed and not told.message.startswith("dismissed"):
            self._add(Broken.UNDISMISSED, job_id, f"told: {told.state}, {told.message}")
        elif before and before.state in outcome.TERMINAL and told.state != before.state:
            self._add(Broken.TURNED_BACK, job_id, f"told: {before.state}, then {told.state}")
        elif told.state in outcome.TERMINAL and not (row.is_dismissed or row.state in TERMINAL):
            self._add(Broken.ENDED_EARLY, job_id, f"told: {told.state}, its row: {row.state.value}")

    def _add(self, kind: Broken, job: str, words: str) -> None:
        self.found.append(Violation(kind, job, words))
