"""Why jobs wait, where the answer about the queue does not tell it: asked sparingly.

Only of jobs that have waited for a while, many in one question, seldom. What cannot be asked is
left out: nothing depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.base import JobStatus, Phase, SchedulerError
from pywps_hpc.dispatch.schedulers.dialect import Question
from pywps_hpc.timing import TIMING, Timing

Reasons = Mapping[str, str]
#: Jobs in one question, those that have waited longest.
MOST = 50


class Why:
    """What is known of the reasons.

    Args:
        question: asks about jobs, by native id; ``None`` where the queue's answer tells it.
        ask: puts a question to the batch system.
        hopeless: reasons of jobs that can never start as they stand.
    """

    def __init__(
        self,
        question: Callable[[Sequence[str]], Question[Reasons] | None],
        ask: Callable[[Question[Reasons]], Reasons],
        timing: Timing = TIMING,
        clock: Callable[[], float] = time.monotonic,
        hopeless: Collection[str] = (),
    ) -> None:
        self._hopeless = hopeless
        self._question, self._ask, self._timing, self._clock = question, ask, timing, clock
        self._since: dict[str, float] = {}
        self._known: Reasons = {}
        self._asked = float("-inf")

    def added(self, answer: dict[str, JobStatus]) -> dict[str, JobStatus]:
        """The answer about the queue, with the reasons that are known."""
        now = self._clock()
        waiting = [job for job, s in answer.items() if s.phase is Phase.QUEUED and not s.waits]
        self._since = {job: self._since.get(job, now) for job in waiting}
        long = [job for job in waiting if now - self._since[job] >= self._timing.why_after]
        if long and now - self._asked >= self._timing.why_pause:
            self._look(sorted(long, key=self._since.__getitem__)[:MOST], now)
        told = {job: self._known[job] for job in waiting if self._known.get(job)}
        return answer | {job: self._with(answer[job], why) for job, why in told.items()}

    def _with(self, status: JobStatus, why: str) -> JobStatus:
        if why not in self._hopeless:
            return replace(status, waits=why)
        return replace(status, waits=why, hopeless=True, detail=f"{status.detail} ({why})".strip())

    def _look(self, jobs: Sequence[str], now: float) -> None:
        self._asked = now
        question = self._question(jobs)
        if question is None:
            return
        try:
            self._known = self._ask(question)
        except SchedulerError:
            self._known = {}
