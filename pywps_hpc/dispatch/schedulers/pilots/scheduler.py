"""A scheduler whose warm jobs go to pilots; everything else passes through to the batch system.

The id of such a job names its pilot. A job that its pilot does not take goes on elsewhere, in
another pilot or by itself, under its first id: whoever asks for it is told of the latter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from joblauncher.shared.pilotdir import BACK, CANCEL, ENDED, HELD, PAUSE, PILOTS, TAKEN, WAITING
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    SubmissionUncertain,
    Warm,
)
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.fleet import Fleet, group_of
from pywps_hpc.dispatch.schedulers.pilots.follow import PilotFollower
from pywps_hpc.dispatch.schedulers.pilots.lookup import ID
from pywps_hpc.dispatch.schedulers.pilots.moves import Moves
from pywps_hpc.dispatch.schedulers.pilots.pilot import Look, Pilot
from pywps_hpc.settings import Settings

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
        context: the batch system, and what else pilots need.
    """

    def __init__(self, context: Context) -> None:
        self._inner, self._settings = context.scheduler, context.settings
        self.system, self.arrays = self._inner.system, self._inner.arrays
        self.remedies = self._inner.remedies
        self._clock = context.clock
        self._fleet = Fleet(context)
        self._follower = PilotFollower(context, self._fleet)
        self._moves = Moves(context, self._fleet)

    @property
    def unasked(self) -> Collection[str]:  # type: ignore[override]
        return self._moves.first_ids(self._inner.unasked)

    @property
    def unpolled(self) -> Collection[str]:  # type: ignore[override]
        return self._moves.first_ids(self._inner.unpolled)

    @property
    def forgotten(self) -> Collection[str]:  # type: ignore[override]
        return self._moves.first_ids(self._inner.forgotten)

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
            asked = {target for job in own if not ID.fullmatch(target := self._moves.target(job))}
            natives = {pilot.native for pilot in self._fleet.alive() if pilot.native}
            now = self._clock()
            answer = self._inner.poll(others | asked | natives)
            self._follower.take_answer(answer, now)
            looks = self._moves.tend()
            found = {job: answer[job] for job in others if job in answer}
            for job in own:
                status = self._status(self._moves.target(job), answer, asked, looks)
                if status is not None:
                    found[job] = status
            return found

    @property
    def reports_ends(self) -> bool:
        return any(pilot.open for pilot in self._fleet.remembered)

    def reported_ends(self) -> dict[str, JobStatus]:
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
            targets = {job: self._moves.target(job) for job in ids}
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

    def _places(self, ids: Collection[str], native: set[str]) -> Iterator[tuple[Pilot, str]]:
        """The pilot of each job, and the job's name there.

        Args:
            ids: of jobs; those of pilots that are forgotten are over.
            native: gets the ids of those that the batch system has by themselves.
        """
        for job in ids:
            target = self._moves.target(job)
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


@contextmanager
def _folders() -> Iterator[None]:
    """Folders that cannot be used say nothing about any job."""
    try:
        yield
    except OSError as error:
        why = f"the folders of pilots cannot be used: {error.strerror}"
        raise SchedulerUnavailable(why) from error
