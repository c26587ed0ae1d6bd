"""Counters and histograms of this process; they do nothing until :func:`start`.

With several web workers each writes its own to a file in a folder that they share, and whichever
answers a scrape adds them up (prometheus_client, multiprocess mode).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Before the name of every metric.
PREFIX = "pywps_hpc_"
#: The variable that names the folder which several processes share.
SHARED = "PROMETHEUS_MULTIPROC_DIR"

_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86400.0, 7 * 86400.0)


@dataclass(frozen=True)
class Meter:
    """One metric.

    Attributes:
        name: without :data:`PREFIX`; one that ends in ``_total`` is a counter, others histograms.
        help: what it is.
        labels: their names.
        known: values of the label of a counter that are told before anything has been counted.
        buckets: upper bounds in seconds, of a histogram.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


#: Why a request was turned away, see :class:`pywps_hpc.web.errors.Busy`.
REASONS = ("busy", "dispatcher", "drained", "limit", "storage", "unavailable")

ACCEPT = Meter("accept_seconds", "Time from an Execute that was read to its job.", buckets=_SHORT)
REFUSALS = Meter("refusals_total", "Requests answered with HTTP 503.", ("reason",), REASONS)
POLL = Meter("poll_seconds", "Time that the batch system took to answer a poll.", buckets=_SHORT)
POLL_ERRORS = Meter("poll_errors_total", "Polls that the batch system did not answer.")
CYCLE = Meter("cycle_seconds", "Time of one turn of the leading dispatcher.", buckets=_SHORT)
QUEUE = Meter(
    "queue_seconds", "Time from submission to start, of jobs that began.", ("process",), (), _LONG
)
RUN = Meter("run_seconds", "Time from start to end, of jobs that ended.", ("process",), (), _LONG)
ENDED = Meter("jobs_ended_total", "Jobs that ended.", ("process", "state", "cause"))

WEB = (ACCEPT, REFUSALS)
DISPATCHER = (POLL, POLL_ERRORS, CYCLE, QUEUE, RUN, ENDED)

_made: dict[Meter, Any] = {}


def start(meters: tuple[Meter, ...]) -> None:
    """Measure these from now on, in this process and those that it forks."""
    from prometheus_client import CollectorRegistry, Counter, Histogram

    registry = CollectorRegistry()
    for meter in meters:
        name = PREFIX + meter.name
        if meter.buckets:
            _made[meter] = Histogram(
                name, meter.help, meter.labels, buckets=meter.buckets, registry=registry
            )
        else:
            _made[meter] = Counter(name, meter.help, meter.labels, registry=registry)
            for value in meter.known:
                _made[meter].labels(value)


def stop() -> None:
    """Measure nothing any more."""
    _made.clear()


def registry() -> Any:
    """What was measured, of all processes that share a folder."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    found = CollectorRegistry()
    if SHARED in os.environ:
        MultiProcessCollector(found)  # type: ignore[no-untyped-call]
        return found
    for made in _made.values():
        found.register(made)
    return found


def count(meter: Meter, *labels: str) -> None:
    """One more of these."""
    if made := _made.get(meter):
        (made.labels(*labels) if labels else made).inc()


def observe(meter: Meter, seconds: float, *labels: str) -> None:
    """It took so long. A time by two clocks may be less than none: it counts as none."""
    if made := _made.get(meter):
        (made.labels(*labels) if labels else made).observe(max(0.0, seconds))


@contextlib.contextmanager
def timed(meter: Meter) -> Iterator[None]:
    """Observe how long this takes, if it ends without an exception."""
    begun = time.monotonic()
    yield
    observe(meter, time.monotonic() - begun)
