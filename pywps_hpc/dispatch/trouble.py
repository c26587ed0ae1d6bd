"""What keeps the dispatcher from its work: shown in the job table, logged when it changes, and told
to the administrator."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pywps_hpc.dispatch.leader import Leadership
from pywps_hpc.dispatch.notices import Notices
from pywps_hpc.dispatch.watch import Watch

log = logging.getLogger(__name__)


class TroubleReport:
    """Where the troubles of one dispatcher are reported.

    Args:
        leadership: whose heartbeats carry them into the job table.
        watch: knows whether the batch system answers.
        notices: to the administrator.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        leadership: Leadership,
        watch: Watch,
        notices: Notices,
        clock: Callable[[], float],
    ) -> None:
        self._leadership, self._watch, self._notices = leadership, watch, notices
        self._clock = clock
        self._table_trouble = ""

    def ask_first(self) -> None:
        """Ask whether the batch system answers before there is a job for it."""
        self._watch.ask()
        if self._watch.reach.reachable:
            log.info("dispatcher %s: %s answers", self._leadership.holder, self._watch.reach.system)
        else:
            log.warning("dispatcher %s: %s", self._leadership.holder, self._watch.trouble)
            self._leadership.message = self._watch.trouble

    def show(self, trouble: str) -> None:
        """Show in the table what keeps the dispatcher from its work; log it when it changes."""
        if (trouble, self._watch.reach) == (self._leadership.message, self._leadership.reach):
            return
        self._leadership.reach = self._watch.reach
        if trouble == self._leadership.message:
            pass
        elif trouble:
            log.warning("dispatcher %s: %s", self._leadership.holder, trouble)
        else:
            log.info("dispatcher %s: the problem is over", self._leadership.holder)
        self._leadership.message = trouble
        self._leadership.heartbeat_now()

    def notify(self) -> None:
        """Send notices that are due, beside the loop."""
        self._notices.look(self._watch.reach, self._watch.trouble, self._clock())

    def job_table(self, trouble: str) -> None:
        """Log when the job table cannot be reached, and when it answers again."""
        if trouble and not self._table_trouble:
            log.error("dispatcher %s: job table: %s", self._leadership.holder, trouble)
        elif self._table_trouble and not trouble:
            log.info("dispatcher %s: the job table is reachable again", self._leadership.holder)
        self._table_trouble = trouble
