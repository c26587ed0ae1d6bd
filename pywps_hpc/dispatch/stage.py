"""Fetch the inputs of jobs that were given by reference, before the jobs are submitted.

Each job has a thread of its own, a few at once, by turns among the clients; the loop of the
dispatcher never waits for them. What has arrived stands in the job's folder under its number.
Whoever is killed in between leaves the row at STAGING, and the next dispatcher fetches what is not
there yet.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue

from joblauncher.inputs.allowance import Allowance
from joblauncher.inputs.policy import Bounds, NotStored, Reference, Refused, Stopped
from joblauncher.shared import failpoint
from joblauncher.shared.files import size_of
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch import finish
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.decide import turns
from pywps_hpc.jobs import Cause, Job, State

log = logging.getLogger(__name__)

FAILED = "its inputs could not be fetched"


@dataclass
class _Fetching:
    """A job whose inputs are being fetched.

    Attributes:
        begun: when it was first begun with, on the monotonic clock.
        since: when it was begun with this time.
    """

    job: Job
    begun: float
    since: float
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Stopped:
    """A job whose inputs will be fetched later.

    Attributes:
        begun: when it was first begun with.
        spent: seconds that fetching took.
    """

    begun: float
    spent: float


class Stager:
    """Brings jobs from STAGING to ACCEPTED."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._line: tuple[float, ...] = ()
        self._at_work: dict[str, _Fetching] = {}
        self._stopped: dict[str, _Stopped] = {}
        #: The ids of jobs, and why their inputs cannot be had: empty if all are here, ``None`` if
        #: they are to be fetched later; and the cause of that failure.
        self._ended: SimpleQueue[tuple[str, str | None, Cause]] = SimpleQueue()

    def is_due(self) -> bool:
        """Whether a thread has come to its end."""
        return not self._ended.empty()

    def run(self) -> None:
        """One turn."""
        has_ended = self.is_due()
        while self.is_due():
            self._collect(*self._ended.get())
        self._context.changes.flush()  # whose inputs are here are asked for no more
        line = *self._context.store.line(State.STAGING), self._context.changes.made
        if line == self._line and not has_ended:
            return  # they have got their turns
        self._line = line
        wanted = {job.id: job for job in self._context.store.in_line(State.STAGING)}
        for job_id, fetching in self._at_work.items():
            if job_id not in wanted:
                fetching.stop.set()
        self._stopped = {job_id: had for job_id, had in self._stopped.items() if job_id in wanted}
        at_work = sorted(self._at_work.values(), key=lambda one: one.begun)
        begin, stop = turns.share(
            [job for job in wanted.values() if job.id not in self._at_work],
            [one.job for one in at_work if not one.stop.is_set()],
            [one.job for one in at_work if one.stop.is_set()],
            self._context.settings.inputs.downloads,
        )
        for one in stop:
            log.info("%s: its inputs are fetched later: other clients wait", one.id)
            self._at_work[one.id].stop.set()
        for job in self._context.store.those([one.id for one in begin]):
            self._begin(job)

    def _begin(self, job: Job) -> None:
        now = time.monotonic()
        had = self._stopped.pop(job.id, _Stopped(now, 0.0))
        fetching = self._at_work[job.id] = _Fetching(job, had.begun, now - had.spent)
        threading.Thread(target=self._work, args=(fetching, had.spent), daemon=True).start()

    def _collect(self, job_id: str, problem: str | None, cause: Cause) -> None:
        """A thread has come to its end."""
        fetching = self._at_work.pop(job_id)
        if problem is None:
            spent = time.monotonic() - fetching.since
            self._stopped[job_id] = _Stopped(fetching.begun, spent)
            return
        with self._context.guard(fetching.job):
            self._conclude(fetching.job, problem, cause)

    def _conclude(self, job: Job, problem: str, cause: Cause) -> None:
        context = self._context
        if problem:
            finish.end(context, job, State.FAILED, problem, rewrite=True, cause=cause)
            return
        log.info("%s: its inputs have been fetched", job.id)
        fetched = size_of(context.spool.open(job.id).fetched)
        context.changes.add(job, State.ACCEPTED, input_size=job.input_size + fetched)

    def _work(self, fetching: _Fetching, spent: float) -> None:
        job = fetching.job
        problem: str | None = FAILED
        cause = Cause.SYSTEM
        try:
            problem = stage(self._context.spool.open(job.id), fetching.stop, spent)
            cause = Cause.INPUT
        except Stopped:
            problem = None
        except NotStored as error:
            problem = str(error)
        except Exception:
            log.exception("%s: %s", job.id, FAILED)
        finally:
            self._ended.put((job.id, problem, cause))
            self._context.wake()


def stage(job: JobDir, stop: threading.Event, spent: float = 0.0) -> str:
    """Fetch what a job's note names.

    Args:
        job: its folder.
        stop: to give up for now; what has arrived stays.
        spent: seconds that this took before.

    Returns:
        Why that cannot be done, as a message for the user; empty once everything is there.

    Raises:
        Stopped: it was given up.
        NotStored: there is no room for it; as a message for the user.
    """
    try:
        note = json.loads(job.references.read_bytes())
    except FileNotFoundError:
        return ""  # done before, by a dispatcher that did not live to say so
    allowance = Allowance(Bounds.of(note["bounds"]), spent)
    job.fetched.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, entry in enumerate(note["references"]):
        target = job.fetched / str(number)
        if target.exists():
            allowance.count(target)
            continue
        reference = Reference(
            entry["url"],
            tuple((name, value) for name, value in entry["headers"]),
            entry["body"],
            entry["body_url"],
        )
        try:
            allowance.fetch(reference, target, stop.is_set)
            target.chmod(0o400)
        except Stopped:
            raise
        except NotStored as error:
            raise NotStored(f"input {entry['input']}: {error}") from None
        except Refused as error:
            return f"input {entry['input']}: {error}"
        failpoint.reach("stage.1")
    job.references.unlink(missing_ok=True)
    failpoint.reach("stage.2")
    return ""
