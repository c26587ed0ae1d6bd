"""Tell those who want to hear of a job: at least once, and at most :data:`TRIES` times.

All of it is done beside the loop, which only says when to look: a receiver may be slow, or away.
Each host has one thread at most, and there are few. What was tried is in the job table, so that a
dispatcher that is started anew goes on with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from joblauncher.inputs.policy import Refused
from joblauncher.shared import storage
from pywps_hpc import callbacks
from pywps_hpc.dispatch import delivery
from pywps_hpc.dispatch.background import Background
from pywps_hpc.dispatch.context import Context
from pywps_hpc.errors import LeadershipLost, TableUnavailable
from pywps_hpc.jobs.callbacks import Callback
from pywps_hpc.ogc_json.results import ResultsGone

log = logging.getLogger(__name__)

#: How often one message is sent, at most.
TRIES = 5
#: Each pause before the next try is so many times as long as the one before.
_GROWTH = 6
#: Hosts that are sent something at once, and messages that are looked at for that.
HOSTS, ROUND = 4, 100


class Notifier:
    """Sends the callbacks that are due.

    Args:
        context: the dispatcher's surroundings.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._looking = Background(self._look, "callbacks cannot be sent")
        self._last = float("-inf")
        self._lock = threading.Lock()
        self._at_work: dict[str, threading.Thread] = {}  # by host
        self._resting: dict[str, float] = {}  # host -> until when, on the monotonic clock

    def run(self) -> None:
        """Begin to look for what is due, if it is time for that; waits for nothing."""
        now = time.monotonic()
        if self._context.settings.callbacks.hosts and (
            now - self._last >= self._context.timing.callback_look
        ):
            self._last = now
            self._looking.start()

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until what was begun is done, for so many seconds at most."""
        deadline = time.monotonic() + timeout
        self._looking.wait(timeout)
        with self._lock:
            threads = list(self._at_work.values())
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _look(self) -> None:
        context, timing = self._context, self._context.timing
        with self._lock:
            now = time.monotonic()
            self._resting = {host: end for host, end in self._resting.items() if end > now}
            besides, room = {*self._at_work, *self._resting}, HOSTS - len(self._at_work)
        if room <= 0:
            return
        longest = timing.callback_pause * _GROWTH**TRIES
        found = context.store.due_callbacks(context.clock(), longest, besides=besides, limit=ROUND)
        by_host: dict[str, list[Callback]] = {}
        for callback in found:
            by_host.setdefault(callback.host, []).append(callback)
        for host, own in list(by_host.items())[:room]:
            thread = threading.Thread(target=self._work, args=(host, own), daemon=True)
            with self._lock:
                self._at_work[host] = thread
            thread.start()

    def _work(self, host: str, due: Sequence[Callback]) -> None:
        """Send one host what is due for it, until it does not take something."""
        took = False
        try:
            took = all(self._tell(callback) for callback in due)
        except LeadershipLost:
            pass  # whoever leads now goes on with it
        except TableUnavailable as error:
            log.warning("callbacks cannot be sent: %s", error)
        except Exception:
            log.exception("callbacks cannot be sent")
        with self._lock:
            del self._at_work[host]
            if not took:
                rest = self._context.timing.callback_rest
                self._resting[host] = time.monotonic() + rest

    def _tell(self, callback: Callback) -> bool:
        """Send one message; whether its receiver can be sent others."""
        context, store = self._context, self._context.store
        row = store.get(callback.job)
        if row is None or callback.tries >= TRIES:
            self._give_up(callback, "its job was removed" if row is None else "it was interrupted")
            return True
        pause = context.timing.callback_pause * _GROWTH**callback.tries
        due = context.clock() + pause
        if not store.try_callback(callback, due):
            return True  # another event came meanwhile
        tried = Callback(callback.job, callback.event, callback.url, callback.tries + 1, due)
        try:
            body = delivery.content(context, callback, row)
        except ResultsGone as error:
            self._give_up(tried, str(error))
            return True
        except Exception as error:  # a process may have left anything
            self._fail(tried, storage.trouble(error) or f"it cannot be written: {error}")
            return True
        try:
            callbacks.check(callback.url, context.settings)
            signed = delivery.signature(self._secret(), int(context.clock()), body)
            bounds = callbacks.bounds(context.settings, context.timing)
            delivery.post(callback.url, delivery.headers(callback, row, signed), body, bounds)
        except (OSError, Refused) as error:
            self._fail(tried, str(getattr(error, "strerror", "") or error))
            return False
        log.info("%s: told %s (%s)", callback.job, callback.host, callback.event.value)
        store.close_callback(tried)
        return True

    def _secret(self) -> bytes:
        """Read each time: it can be replaced without a restart."""
        path = self._context.settings.callbacks.secret
        return path.read_bytes().strip() if path is not None else b""

    def _fail(self, tried: Callback, why: str) -> None:
        if tried.tries >= TRIES:
            self._give_up(tried, why)
            return
        what = tried.job, tried.host, tried.event.value, tried.tries, TRIES, why
        log.warning("%s: %s could not be told (%s), try %d of %d: %s", *what)

    def _give_up(self, callback: Callback, why: str) -> None:
        what = callback.job, callback.host, callback.event.value, why
        log.warning("%s: %s is not told (%s) any more: %s", *what)
        self._context.store.close_callback(callback)
