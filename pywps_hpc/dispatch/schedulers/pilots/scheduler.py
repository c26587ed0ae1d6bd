"""A scheduler whose warm jobs go to pilots; everything else passes through to the batch system.

The id of such a job names its pilot. A job that its pilot does not take goes on elsewhere, in
another pilot or by itself, under its first id: whoever asks for it is told of the latter.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from joblauncher.shared.pilotdir import BACK, CANCEL, ENDED, HELD, PAUSE, PILOTS, TAKEN, WAITING
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionRefused,
    SubmissionUncertain,
    Warm,
)
from pywps_hpc.dispatch.schedulers.pilots.fleet import Fleet, group_of
from pywps_hpc.dispatch.schedulers.pilots.lookup import ID, MOST_MOVES
from pywps_hpc.dispatch.schedulers.pilots.pilot import Look, Pilot
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing

log = logging.getLogger(__name__)

Found = dict[tuple[str, int], list[str]]


def has_pilots(settings: Settings) -> bool:
    """Whether any process is marked for pilots, or was: jobs may still have ids of theirs, which
    mean nothing to the batch system."""
    if settings.scheduler == "local":
        return False
    everyone = (settings.defaults, *settings.processes.values())
    return any(own.container.warm for own in everyone) or (settings.spool / PILOTS).is_dir()


class PilotScheduler(Scheduler):
    """A batch system, with pilots in it.

    Args:
        scheduler: the batch system.
        settings: of the installation.
        clock: seconds, never set back.
        timing: durations.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        timing: Timing = TIMING,
    ) -> None:
        self._inner, self._settings = scheduler, settings
        self._clock, self._timing = clock, timing
        self.system, self.arrays = scheduler.system, scheduler.arrays
        self.remedies = scheduler.remedies
        scripts = Scripts(settings, scheduler.system, scheduler.header)
        self._fleet = Fleet(scheduler, scripts, settings, clock, timing)
        self._targets: dict[str, str] = {}  # a job's id -> the id under which it went on
        self._retry: dict[str, float] = {}  # job name -> when it is submitted again

    @property
    def unasked(self) -> Collection[str]:  # type: ignore[override]
        return self._ours(self._inner.unasked)

    @property
    def unpolled(self) -> Collection[str]:  # type: ignore[override]
        return self._ours(self._inner.unpolled)

    @property
    def forgotten(self) -> Collection[str]:  # type: ignore[override]
        return self._ours(self._inner.forgotten)

    def header(self, job: BatchJob) -> Sequence[str]:
        return self._inner.header(job)

    def takes_arrays(self, need: Resources) -> bool:
        return self._inner.takes_arrays(need)

    def probe(self) -> str:
        return self._inner.probe()

    def explain(self, log_tail: str) -> Outcome | None:
        return self._inner.explain(log_tail)

    def close(self) -> None:
        self._inner.close()

    def submit(self, job: BatchJob) -> list[str]:
        if not job.array_indices and (warm := job.warm) is not None and warm.container is not None:
            try:
                earlier = next(self._fleet.having(job.name), None)
                if earlier is not None:
                    return [earlier.job_id(job.name)]
                if native := self._give(job, warm):
                    return [native]
            except OSError as error:
                why = f"the folders of pilots cannot be used: {error.strerror}"
                raise SubmissionUncertain(why) from error  # its order may be there
        return self._inner.submit(job)

    def find(self, name: str, array_index: int = 0) -> list[str]:
        return [*self._in_pilots(name, array_index), *self._inner.find(name, array_index)]

    def find_all(
        self, wanted: Collection[tuple[str, int]]
    ) -> tuple[Found, SchedulerUnavailable | None]:
        found, unasked = self._inner.find_all(wanted)
        return {key: [*self._in_pilots(*key), *ids] for key, ids in found.items()}, unasked

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        with _folders():
            own = {job for job in ids if ID.fullmatch(job)}
            others = set(ids) - own
            asked = {target for job in own if not ID.fullmatch(target := self._target(job))}
            natives = {pilot.native for pilot in self._fleet.alive() if pilot.native}
            answer = self._inner.poll(others | asked | natives)
            self._hear_of_pilots(answer)
            looks = self._tend()
            found = {job: answer[job] for job in others if job in answer}
            for job in own:
                status = self._status(self._target(job), answer, asked, looks)
                if status is not None:
                    found[job] = status
            return found

    @property
    def is_telling(self) -> bool:
        return any(pilot.open for pilot in self._fleet.remembered)

    def told(self) -> dict[str, JobStatus]:
        found: dict[str, JobStatus] = {}
        for pilot in self._fleet.remembered:
            with suppress(OSError):  # the next poll says that, or is told
                names = pilot.dir.names(ENDED) - pilot.told if pilot.open else set()
                if not names:
                    continue
                look = pilot.look()
                for name in names:
                    status = pilot.job_status(name, look)
                    if status is not None and status.phase is Phase.FINISHED:
                        found[pilot.job_id(name)] = status
                        pilot.told |= {name}
        return found

    def history(self, ids: Collection[str]) -> dict[str, JobStatus]:
        with _folders():
            targets = {job: self._target(job) for job in ids}
            native = {target for target in targets.values() if not ID.fullmatch(target)}
            answer = self._inner.history(native) if native else {}
            return {job: answer[to] for job, to in targets.items() if to in answer}

    def cancel(self, ids: Collection[str]) -> None:
        native: set[str] = set()
        with _folders():
            for pilot, name in self._places(ids, native):
                pilot.dir.request(name, CANCEL)
                if not pilot.take_back(name) and pilot.phase is not Phase.RUNNING:
                    pilot.dir.move(name, TAKEN, BACK)  # it would only be cancelled when it begins
        if native:
            self._inner.cancel(native)

    def pause(self, ids: Collection[str]) -> None:
        native: set[str] = set()
        with _folders():
            for pilot, name in self._places(ids, native):
                if not pilot.dir.move(name, WAITING, HELD):
                    pilot.dir.request(name, PAUSE)
        if native:
            self._inner.pause(native)

    def resume(self, ids: Collection[str]) -> None:
        native: set[str] = set()
        with _folders():
            for pilot, name in self._places(ids, native):
                pilot.dir.request(name, PAUSE, wanted=False)
                pilot.dir.move(name, HELD, WAITING)
        if native:
            self._inner.resume(native)

    def _give(self, job: BatchJob, warm: Warm) -> str:
        group = group_of(job, warm, self._settings)
        return self._fleet.take(job, group)

    def _in_pilots(self, name: str, array_index: int) -> list[str]:
        with _folders():
            return [] if array_index else [p.job_id(name) for p in self._fleet.having(name)]

    def _ours(self, native: Collection[str]) -> Collection[str]:
        """These ids, and those of jobs that went on under them."""
        return {*native, *(job for job, target in self._targets.items() if target in native)}

    def _target(self, job: str) -> str:
        """The id under which a job went on, if it did."""
        target = self._targets.get(job, job)
        for _ in range(MOST_MOVES):
            match = ID.fullmatch(target)
            pilot = self._fleet.get(match[1]) if match else None
            moved = pilot.moved_to(match[2]) if pilot is not None and match else ""
            if not moved:
                break
            target = self._targets[job] = moved
        return target

    def _places(self, ids: Collection[str], native: set[str]) -> Iterator[tuple[Pilot, str]]:
        """The pilot of each job, and the job's name there.

        Args:
            ids: of jobs; those of pilots that are forgotten are over.
            native: gets the ids of those that the batch system has by themselves.
        """
        for job in ids:
            target = self._target(job)
            match = ID.fullmatch(target)
            if match is None:
                native.add(target)
            elif (pilot := self._fleet.get(match[1])) is not None:
                yield pilot, match[2]

    def _status(
        self,
        target: str,
        answer: dict[str, JobStatus],
        asked: Collection[str],
        looks: dict[str, Look],
    ) -> JobStatus | None:
        match = ID.fullmatch(target)
        if match is None:
            # One that went on just now was not asked about.
            return answer.get(target) if target in asked else JobStatus(Phase.QUEUED)
        pilot = self._fleet.get(match[1])
        if pilot is None:
            return None
        look = looks.get(pilot.id) or pilot.look()
        looks[pilot.id] = look
        return pilot.job_status(match[2], look)

    def _hear_of_pilots(self, answer: dict[str, JobStatus]) -> None:
        """Take over what the batch system says of the pilots."""
        now, missing = self._clock(), []
        for pilot in list(self._fleet.alive()):
            status = answer.get(pilot.native)
            if not pilot.native:
                self._look_up(pilot, now)
            elif status is not None and status.name in ("", pilot.own["name"]):
                pilot.missing_since = 0.0
                self._set(pilot, status)
            elif pilot.native not in self._inner.unpolled:
                missing.append(pilot)
        if not missing:
            return
        try:
            ended = self._inner.history([pilot.native for pilot in missing])
        except SchedulerUnavailable:
            return
        for pilot in missing:
            pilot.missing_since = pilot.missing_since or now
            status = ended.get(pilot.native)
            if status is not None and status.name in ("", pilot.own["name"]):
                self._set(pilot, status)
            elif now - pilot.missing_since > self._settings.grace:
                lost = "the batch system does not know the pilot any more"
                self._set(pilot, JobStatus(Phase.FINISHED, Outcome.UNKNOWN, detail=lost))

    def _look_up(self, pilot: Pilot, now: float) -> None:
        """Find a pilot whose submission had no clear answer."""
        pilot.missing_since = pilot.missing_since or now
        found = self._inner.find(pilot.own["name"])
        if found:
            pilot.submitted_as(found[0])
            pilot.missing_since = 0.0
        elif now - pilot.missing_since > self._timing.pilot_shows:
            lost = "the batch system did not accept the pilot"
            self._set(pilot, JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail=lost))

    def _set(self, pilot: Pilot, status: JobStatus) -> None:
        if status.phase is not Phase.FINISHED:
            if status.hopeless and not (pilot.status and pilot.status.hopeless):
                log.warning(
                    "%s: the pilot can never start, jobs are submitted by themselves: %s",
                    pilot.id,
                    status.detail,
                )
                self._fleet.refuse(pilot.own["group"])
                self._inner.cancel([pilot.native])
            pilot.status = status
            return
        pilot.ended(status)
        log.info("%s: the pilot has ended: %s", pilot.id, status.detail or status.outcome)
        reason = pilot.refusal()
        if reason:
            log.warning(
                "no warm starts on %s, jobs are submitted by themselves: %s. It takes user "
                "namespaces for plain users and Linux 5.2; [hpc.container] warm = no stops trying.",
                pilot.node(),
                reason,
            )
        elif not pilot.dir.closed.exists() and not pilot.dir.names(TAKEN):
            reason = "it ended before it could take a job"
            log.warning("%s: %s: see %s/job.log", pilot.id, reason, pilot.dir.path)
        if reason:
            self._fleet.refuse(pilot.own["group"])

    def _tend(self) -> dict[str, Look]:
        """Let jobs go on elsewhere that wait for a pilot in vain; what there is in each folder."""
        now, looks = self._clock(), {}
        for pilot in self._fleet.all():
            if pilot.is_settled:
                if now - pilot.missing_since > self._timing.pilot_known:
                    self._fleet.forget(pilot)
                continue
            look = pilot.look()
            waiting = {name: pilot.first_seen.get(name, now) for name in look.waiting}
            pilot.first_seen = waiting
            is_hopeless = pilot.status is not None and pilot.status.hopeless
            is_closed = pilot.is_closed() or is_hopeless
            if is_closed:
                late = set(waiting)
            elif pilot.phase is Phase.RUNNING:
                patience = self._timing.pilot_patience
                late = {name for name, since in waiting.items() if now - since > patience}
            else:
                late = set()
            for name in sorted(look.stranded | {name for name in late if pilot.take_back(name)}):
                self._go_on(pilot, name, now, alone=not is_closed)
            if late or look.stranded:
                look = pilot.look()
            looks[pilot.id], pilot.told = look, look.ended
            if pilot.is_over and not (look.waiting or look.held or look.stranded):
                pilot.settle()
                pilot.missing_since = now
        return looks

    def _go_on(self, pilot: Pilot, name: str, now: float, *, alone: bool) -> None:
        """Submit a job that was taken back.

        Args:
            alone: whether by itself, rather than in another pilot.
        """
        if now < self._retry.get(name, 0.0):
            return
        try:
            others = [other for other in self._fleet.having(name) if other is not pilot]
            native = others[0].job_id(name) if others else ""
            job = pilot.batch_job(name)
            if not native and not alone and not pilot.dir.refused.exists():
                native = self._fleet.take(job, pilot.own["group"], but=pilot)
            if not native:
                native = next(iter(self._inner.find(name)), "") or self._inner.submit(job)[0]
        except SubmissionRefused as error:
            end = {"outcome": Outcome.COULD_NOT_START.value, "detail": str(error)}
            pilot.dir.write_end(name, end)
        except (SchedulerError, ValueError) as error:
            log.warning("%s: cannot be submitted by itself now: %s", name, error)
            self._retry[name] = now + self._timing.pilot_retry
        else:
            self._retry.pop(name, None)
            pilot.move(name, native)
            log.info("%s: goes on as %s", pilot.job_id(name), native)


@contextmanager
def _folders() -> Iterator[None]:
    """Folders that cannot be used say nothing about any job."""
    try:
        yield
    except OSError as error:
        why = f"the folders of pilots cannot be used: {error.strerror}"
        raise SchedulerUnavailable(why) from error
