"""The loop that carries jobs from the table to the batch system and their ends back."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial

from pywps_hpc.dispatch.clean import Sweeper
from pywps_hpc.dispatch.context import Context
from pywps_hpc.dispatch.control import Controller
from pywps_hpc.dispatch.ends import EndWatch
from pywps_hpc.dispatch.events import Either, Event
from pywps_hpc.dispatch.follow import Follower
from pywps_hpc.dispatch.leader import Leadership, LeadershipLost
from pywps_hpc.dispatch.notices import Notices
from pywps_hpc.dispatch.notify import Notifier
from pywps_hpc.dispatch.pace import Pace
from pywps_hpc.dispatch.schedulers.base import Scheduler, SchedulerUnavailable
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.dispatch.stage import Stager
from pywps_hpc.dispatch.submit import Submitter
from pywps_hpc.dispatch.trouble import TroubleReport
from pywps_hpc.dispatch.watch import Watch
from pywps_hpc.errors import ForeignSpool
from pywps_hpc.jobs import JobStore, TableUnavailable, Waiting
from pywps_hpc.jobs.clock import boottime
from pywps_hpc.jobs.identity import service_mark, tie
from pywps_hpc.jobs.wakeup import Listener, wake
from pywps_hpc.lifecycle import announce_ready
from pywps_hpc.metrics import meters
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING, Timing

log = logging.getLogger(__name__)


class Dispatcher:
    """Submits, follows and ends the jobs of one installation.

    Several may run: one leads, the others wait until its heartbeats stop.

    Args:
        settings: of the installation.
        store: the job table.
        spool: the job folders.
        scheduler: the batch system.
        clock: seconds since the epoch.
        uptime: seconds by a clock that nobody can set.
        holder: name of this dispatcher, unique to it.
        timing: how long things take.

    Raises:
        SettingsError: no script can be written with these settings, or the spool is another job
            table's.

    Attributes:
        leads: whether it has taken the leadership, and has not noticed that it lost it.
    """

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        spool: Spool,
        scheduler: Scheduler,
        *,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = boottime,
        holder: str = "",
        timing: Timing = TIMING,
    ) -> None:
        self.settings, self.scheduler, self._timing = settings, scheduler, timing
        self._leadership = Leadership(store, settings.dispatcher_lease, holder, timing)
        scripts = Scripts(settings, scheduler.system, scheduler.header)
        scripts.check()
        self.store = store.led_by(self._leadership.holder)
        heartbeat = self._leadership.heartbeat
        wake_up = partial(wake, self._leadership.holder)
        self._notices = Notices(settings, timing)
        context = Context(
            *(settings, self.store, spool, scheduler, scripts, clock, uptime, heartbeat, timing),
            wake=wake_up,
            ended=self._notices.ended,
        )
        self._changes = context.changes
        self._controller = Controller(context)
        self._stager = Stager(context)
        self._submitter = Submitter(context)
        self._follower = Follower(context)
        self._sweeper, self._notifier = Sweeper(context), Notifier(context)
        self._table, self._spool = store, spool
        self._watch = Watch(settings, scheduler, clock, timing)
        self._report = TroubleReport(self._leadership, self._watch, self._notices, clock)
        self._waited_upon = Waiting(0.0, frozenset())
        self._ends = EndWatch(context)
        self._listener: Listener | None = None
        # The embedded scheduler starts its next job when it is asked.
        self._pace = Pace(settings, timing, is_cheap=scheduler.system == "local")
        self.leads = False
        self._offset = _offset()
        self._turned = time.monotonic()
        self._leadership.service = service_mark(settings)
        with contextlib.suppress(TableUnavailable):
            self._tie()
            self._leadership.refuse_two_services(settings)

    @property
    def holder(self) -> str:
        """Its name."""
        return self._leadership.holder

    @property
    def is_turning(self) -> bool:
        """Whether its loop goes on, rather than hangs: for as long as another dispatcher would let
        it lead without a heartbeat."""
        return time.monotonic() - self._turned <= self.settings.dispatcher_lease

    def run(self, stop: Event, hangup: Event | None = None) -> bool:
        """Work until ``stop`` is set. Jobs that were submitted go on without the dispatcher.

        Args:
            hangup: if it is set, this ends between two turns; whoever leads goes on leading.

        Returns:
            Whether it was the hangup that ended it.
        """
        log.info("dispatcher %s: %s", self._leadership.holder, self.scheduler.system)
        try:
            while not stop.is_set():
                self._turned = time.monotonic()
                try:
                    self._turn(Either(stop, hangup, self._timing.table_look))
                except LeadershipLost:
                    log.warning("dispatcher %s: another one took over", self._leadership.holder)
                    self.leads = False
                except ForeignSpool:
                    raise
                except TableUnavailable as error:
                    announce_ready()  # there is nothing else to wait for
                    self._report.job_table(str(error))
                    stop.wait(self.settings.poll_interval)
                except Exception:
                    log.exception("dispatcher %s: this cycle failed", self._leadership.holder)
                    stop.wait(self.settings.poll_interval)
                else:
                    self._report.job_table("")
                # After a turn at least: however often it comes, the work goes on.
                if hangup is not None and hangup.is_set() and not stop.is_set():
                    return True
        except BaseException:
            self.resign()
            raise
        finally:
            self._stop_listening()
        self.resign()
        return False

    def _listen(self) -> None:
        """Hear from now on when there is something to do. Whoever cannot be heard waits until the
        table is looked at."""
        if self._listener is None:
            try:
                self._listener = Listener(self._leadership.holder, self._timing)
            except OSError as error:
                log.warning(
                    "dispatcher %s: cannot be woken, looks every %.2f s: %s",
                    self._leadership.holder,
                    self._timing.table_look,
                    error.strerror,
                )

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def cycle(self, *, poll: bool = True) -> int:
        """Carry out control requests, submit, follow what was submitted, sweep now and then.

        Args:
            poll: whether to ask the batch system where its jobs stand.

        Returns:
            How many jobs changed, or about how many the batch system was told something.

        Raises:
            LeadershipLost: another dispatcher leads.
        """
        self._leadership.heartbeat()
        self._changes.forget()
        if self._watch.reach.reachable is None:
            self._report.ask_first()
            self._report.show(self._watch.trouble)
        self._waited_upon = self.store.waiting()
        made, trouble = self._changes.made, self._spool_trouble()
        if trouble:  # no job is judged by what is not in a spool that is not there
            self._report.show(trouble)
            return 0
        parts = [self._controller.run, self._stager.run, self._submitter.run]
        parts += [self._follower.end_reported, *([self._follower.run] if poll else [])]
        for part in parts:
            try:
                part()
            except SchedulerUnavailable as error:
                trouble = str(error)
            self._changes.flush()
        if trouble or (poll and self._watch.is_due()):
            self._leadership.heartbeat()
            self._watch.ask()
        if poll or trouble:  # what was not asked has not begun to answer
            self._report.show(self._watch.trouble or trouble)
        self._sweeper.run()
        self._notifier.run()
        self._report.notify()
        return self._changes.made - made + self._controller.ordered

    def lead(self) -> bool:
        """Take the leadership, if nobody has it, or keep it; whether this dispatcher leads. To be
        done between two cycles: what is known of the jobs is of no use after another one led.

        Raises:
            LeadershipLost: it led, and does no more.
        """
        if self.leads:
            self._leadership.heartbeat()
            return True
        if not self._leadership.take():
            return False
        self._pace.start_anew()
        self.store.forget_absences()
        log.info("dispatcher %s: leads", self._leadership.holder)
        self.leads = True  # whatever becomes of its first cycle
        return True

    def _turn(self, stop: Either) -> None:
        """One cycle, if this dispatcher leads, and the pause after it."""
        self._tie()
        led = self.leads
        leads = self.lead()
        announce_ready()
        if not leads:
            if self._watch.reach.reachable is None:
                self._report.ask_first()
            stop.wait(self._timing.heartbeat)
            return
        if not led:
            self._listen()
        self._watch_clock()
        begun, woken = time.monotonic(), False
        poll = self._pace.begin_turn()
        with meters.timed(meters.CYCLE):
            changed = self.cycle(poll=poll)
        self._plan(changed, polled=poll)
        if not poll:  # there may be no pause for long, while very many jobs are submitted
            self._hurry(self._waited_upon)
        while not stop.is_set() and (pause := self._idle_for()) > 0:
            if self._wait(stop, pause):
                break
            self._leadership.heartbeat()
            waiting, woken = self.store.waiting(), woken or stop.woken
            self._hurry(waiting)
            self._notifier.run()
            self._report.notify()
            # A job may be recorded later than one that was accepted after it.
            unseen = woken and time.monotonic() - begun >= self._timing.table_look
            if unseen or waiting.has_more_than(self._waited_upon):
                break

    def _hurry(self, waiting: Waiting) -> None:
        """Poll soon for jobs that have told their ends."""
        self._pace.hurry(waiting.ends, told=self._ends.look())

    def _wait(self, stop: Either, seconds: float) -> bool:
        """Wait, unless woken or stopped; whether jobs have told their ends meanwhile."""
        deadline = time.monotonic() + seconds
        while self.scheduler.reports_ends:
            left = deadline - time.monotonic()
            if left <= 0 or stop.wait(min(left, self._timing.pilot_look), self._listener):
                return False
            if stop.woken or self._follower.collect_ends():
                return not stop.woken
        stop.wait(deadline - time.monotonic(), self._listener)
        return False

    def _idle_for(self) -> float:
        """Seconds until there is something to do, or the table is to be looked at; not positive if
        there is something already."""
        if self._stager.is_due():
            return 0.0
        return min(self._timing.table_look, self._pace.due_in(), self._submitter.due_in())

    def _tie(self) -> None:
        """Make sure, once, that spool and job table belong together."""
        if not self._spool.is_recognised:
            tie(self._table, self._spool)

    def _spool_trouble(self) -> str:
        """Why the spool cannot be used; empty if it can."""
        try:
            self._tie()
            self._spool.require()
        except OSError as error:
            return f"the spool cannot be used: {error.strerror}"
        return ""

    def _watch_clock(self) -> None:
        """A clock that is set must not make a job's grace pass."""
        offset = _offset()
        if abs(offset - self._offset) > self._timing.clock_step:
            log.warning("the clock was set by %+.0f s", offset - self._offset)
            self.store.forget_absences()
            self._offset = offset

    def _plan(self, changed: int, *, polled: bool) -> None:
        """When to poll next."""
        self._ends.follow(*self._follower.may_have_ended())
        if polled:
            self._pace.took = self._follower.took
        self._pace.end_turn(
            polled=polled,
            active=bool(changed or self._follower.unsettled),
            ends_expected=self._ends.are_expected(),
        )

    def say(self, text: str, *values: object) -> None:
        """Log an error of this dispatcher's."""
        log.error(f"dispatcher %s: {text}", self._leadership.holder, *values)

    def resign(self) -> None:
        """Let a standby take over at once."""
        try:
            self._leadership.resign()
        except TableUnavailable as error:
            log.error(
                "dispatcher %s: could not release the leadership: %s",
                self._leadership.holder,
                error,
            )
        except Exception:
            log.exception(
                "dispatcher %s: could not release the leadership", self._leadership.holder
            )


def _offset() -> float:
    """Between the clock that can be set and the one that cannot."""
    return time.time() - time.monotonic()
