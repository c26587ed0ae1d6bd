"""The loop that carries jobs from the table to the batch system and their ends back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.follow import Follower
from pywps_hpc.dispatch.lead import BEAT, Deposed, Lead
from pywps_hpc.dispatch.schedulers.base import Scheduler, SchedulerUnavailable
from pywps_hpc.dispatch.script import Scripts
from pywps_hpc.dispatch.submit import Submitter
from pywps_hpc.dispatch.sweep import Sweeper
from pywps_hpc.dispatch.wishes import Wishes
from pywps_hpc.jobs import Job, JobStore, State, Wish
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool

log = logging.getLogger(__name__)

#: Seconds between two looks at the table for new jobs and wishes.
NOTICE = 0.25
#: Factor by which the pause between two questions grows while nothing changes.
BACKOFF = 1.5


class Dispatcher:
    """Submits, follows and ends the jobs of one installation.

    Several may run: one leads, the others wait until its signs of life stop.

    Args:
        settings: of the installation.
        store: the job table.
        spool: the job folders.
        scheduler: the batch system.
        clock: seconds since the epoch.
        holder: name of this dispatcher, unique to it.

    Raises:
        SettingsError: no script can be written with these settings.
    """

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        spool: Spool,
        scheduler: Scheduler,
        *,
        clock: Callable[[], float] = time.time,
        holder: str = "",
    ) -> None:
        self.settings, self.store, self.scheduler = settings, store, scheduler
        self._lead = Lead(store, settings.dispatcher_lease, holder)
        scripts = Scripts(settings, scheduler.system, scheduler.header)
        scripts.check()
        context = Context(settings, store, spool, scheduler, scripts, clock, self._lead.beat)
        self._wishes = Wishes(context)
        self._submitter = Submitter(context)
        self._follower = Follower(context, self._wishes.was_cancelled)
        self._sweeper = Sweeper(context)
        self._waited_upon: set[tuple[str, Wish]] = set()
        self._due = 0.0
        self._pause = settings.poll_interval

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set. Jobs that were submitted go on without the dispatcher."""
        log.info("dispatcher %s: %s", self._lead.holder, self.scheduler.system)
        leading = False
        try:
            while not stop.is_set():
                try:
                    leading = self._turn(stop, leading)
                except Deposed:
                    log.warning("dispatcher %s: another one took over", self._lead.holder)
                    leading = False
                except Exception:
                    log.exception("dispatcher %s: this turn failed", self._lead.holder)
                    stop.wait(self.settings.poll_interval)
        finally:
            self._resign()

    def cycle(self, *, poll: bool = True) -> int:
        """Carry out wishes, submit what is accepted, follow what is submitted, sweep now and then.

        Args:
            poll: whether to ask the batch system where its jobs stand.

        Returns:
            How many jobs changed.

        Raises:
            Deposed: another dispatcher leads.
        """
        self._lead.beat()
        self._waited_upon = self._waiting()
        changed, trouble = 0, ""
        for part in (self._wishes, self._submitter, *((self._follower,) if poll else ())):
            try:
                changed += part.run()
            except SchedulerUnavailable as error:
                trouble = str(error)
        if poll or trouble:  # what was not asked has not begun to answer
            self._tell(trouble)
        self._sweeper.run()
        return changed

    def _turn(self, stop: threading.Event, leading: bool) -> bool:
        """One cycle and the pause after it; whether this dispatcher leads."""
        if not self._lead.take():
            stop.wait(BEAT)
            return False
        if not leading:
            log.info("dispatcher %s: leads", self._lead.holder)
            self._due = 0.0
        poll = time.monotonic() >= self._due
        self._plan(self.cycle(poll=poll), polled=poll)
        while not (stop.is_set() or self._submitter.more or time.monotonic() >= self._due):
            stop.wait(min(NOTICE, max(0.0, self._due - time.monotonic())))
            self._lead.beat()
            if self._waiting() - self._waited_upon:
                break
        return True

    def _plan(self, changed: int, *, polled: bool) -> None:
        """When to ask next: soon after a change, less and less often while nothing happens."""
        settings, now = self.settings, time.monotonic()
        if changed or self._follower.unsettled:
            self._pause = settings.poll_interval
        elif polled:
            self._pause = min(self._pause * BACKOFF, self._longest_pause)
        self._due = now + self._pause if polled else min(self._due, now + self._pause)

    @property
    def _longest_pause(self) -> float:
        # The embedded scheduler starts its next job when it is asked.
        cheap = self.scheduler.system == "local"
        return self.settings.poll_interval if cheap else self.settings.poll_backoff

    def _tell(self, trouble: str) -> None:
        """Show in the table what keeps the dispatcher from its work; log it when it changes."""
        if trouble == self._lead.message:
            return
        if trouble:
            log.warning("dispatcher %s: %s", self._lead.holder, trouble)
        else:
            log.info("dispatcher %s: the batch system answers again", self._lead.holder)
        self._lead.message = trouble
        self._lead.insist()

    def _waiting(self) -> set[tuple[str, Wish]]:
        """Who waits for the dispatcher rather than for the batch system."""
        jobs: list[Job] = self.store.in_state({State.ACCEPTED}) + self.store.wished()
        return {(job.id, job.wish) for job in jobs}

    def _resign(self) -> None:
        try:
            self._lead.resign()
        except Exception:
            log.exception("dispatcher %s: could not resign", self._lead.holder)
