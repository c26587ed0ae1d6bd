"""Do one thing beside the dispatcher's loop, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pywps_hpc.errors import LeadershipLost, TableUnavailable

log = logging.getLogger(__name__)


class Background:
    """Does one thing in a thread of its own, never twice at once.

    Args:
        what: to be done.
        trouble: what the log says if that is not possible.
    """

    def __init__(
        self, what: Callable[[], None], trouble: str = "the spool cannot be cleaned up"
    ) -> None:
        self._what, self._trouble = what, trouble
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_busy = self._again = False

    def start(self) -> None:
        """Begin, and do not wait for it; if it is being done, once more after that. Nothing waits
        for it when the program ends, either."""
        with self._lock:
            self._again = self._is_busy
            if not self._is_busy:
                self._is_busy = True
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> None:
        """Wait until it is done, for so many seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._do()
            with self._lock:
                self._is_busy, self._again = self._again, False
                if not self._is_busy:
                    return

    def _do(self) -> None:
        try:
            self._what()
        except LeadershipLost:
            pass  # whoever leads now goes on with it
        except TableUnavailable as error:
            log.warning("%s: %s", self._trouble, error)
        except OSError as error:
            log.warning("%s: %s", self._trouble, error.strerror)
        except Exception:
            log.exception("%s", self._trouble)
