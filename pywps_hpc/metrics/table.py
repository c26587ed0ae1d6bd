"""What the job table and the spool say, at each scrape: it is true of the installation, whichever
process tells it.

A scrape costs a few queries along indexes and one count of all rows. What they found is told for a
while, longer if they took long, so that scrapes take no more than a bounded part of the database's
time.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from pywps_hpc.errors import TableError
from pywps_hpc.jobs import JobStore, State, drain
from pywps_hpc.metrics.meters import PREFIX
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing


class TableMetrics:
    """Collects what the table says (prometheus_client, custom collectors).

    Args:
        settings: of the installation.
        store: the job table.
    """

    def __init__(self, settings: Settings, store: JobStore, timing: Timing = TIMING) -> None:
        self._settings, self._store, self._timing = settings, store, timing
        self._lock = threading.Lock()
        self._found: list[Any] = []
        self._until = float("-inf")

    def collect(self) -> list[Any]:
        """All of it, as it is now or was a short while ago."""
        with self._lock:
            begun = time.monotonic()
            if begun >= self._until:
                self._found = list(self._look())
                ended = time.monotonic()
                timing = self._timing
                kept = max(timing.scrape_kept, timing.scrape_share * (ended - begun))
                self._until = ended + kept
            return self._found

    def _look(self) -> Iterator[Any]:
        begun = time.monotonic()
        try:
            found = list(self._table())
        except TableError:
            yield _gauge("table_up", "Whether the job table answers.", 0)
        else:
            yield _gauge("table_up", "Whether the job table answers.", 1)
            yield from found
            took = time.monotonic() - begun
            yield _gauge("table_scrape_seconds", "What asking the job table took.", took)
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(self._settings.spool)
            yield _gauge("spool_size_bytes", "Size of the spool's file system.", usage.total)
            yield _gauge("spool_free_bytes", "What this account may still write there.", usage.free)

    def _table(self) -> Iterator[Any]:
        store, now = self._store, time.time()
        jobs = _family("jobs", "Jobs in the job table.", ["process", "state"])
        for (process, state), number in sorted(store.count_by_process().items()):
            jobs.add_metric([process, state], number)
        yield jobs
        waiting = store.oldest(State.ACCEPTED, "created")
        yield _gauge(
            "dispatcher_lag_seconds",
            "For how long the oldest accepted job has not been submitted.",
            max(0.0, now - waiting) if waiting else 0.0,
        )
        queued = store.oldest(State.QUEUED, "submitted")
        yield _gauge(
            "oldest_queued_seconds",
            "For how long the oldest job waits in the batch system.",
            max(0.0, now - queued) if queued else 0.0,
        )
        leader = store.dispatcher()
        alive = leader is not None and leader.is_alive(self._settings.dispatcher_lease)
        yield _gauge("dispatcher_alive", "Whether a dispatcher leads.", alive)
        if leader is not None:
            told = "Seconds since the leading dispatcher's last heartbeat."
            yield _gauge("dispatcher_silence_seconds", told, leader.silence)
        reachable = alive and leader is not None and leader.reach.reachable is True
        yield _gauge("batch_system_reachable", "Whether the batch system answers.", reachable)
        drained = drain.of(store) is not None
        yield _gauge("drained", "Whether an administrator lets no new jobs in.", drained)
        told = "Size of the folders of ended jobs, as far as they have been measured."
        yield _gauge("spool_ended_bytes", told, store.ended_size())


def _family(name: str, told: str, labels: list[str]) -> Any:
    return GaugeMetricFamily(PREFIX + name, told, labels=labels)


def _gauge(name: str, told: str, value: float) -> Any:
    return GaugeMetricFamily(PREFIX + name, told, value=float(value))
