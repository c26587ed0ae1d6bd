"""What ``web`` and ``dispatcher`` do to be watched, where ``[hpc.metrics]`` says so."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pywps_hpc.jobs import JobStore, TableUnavailable
from pywps_hpc.jobs.leader import can_ask
from pywps_hpc.metrics import endpoint, meters
from pywps_hpc.settings import Settings


@contextlib.contextmanager
def web(own: Settings, store: JobStore) -> Iterator[Callable[[], None]]:
    """Be asked for the metrics of all web workers, which share a folder until the end of this.

    Yields:
        What each worker calls when it begins.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if own.metrics.web is None:
        yield lambda: None
        return
    # prometheus_client decides by this variable when it is imported.
    folder, master = tempfile.mkdtemp(prefix="pywps-hpc-metrics-"), os.getpid()
    os.environ[meters.SHARED] = folder
    try:
        listening = endpoint.listen("web", own.metrics.web)

        def begin() -> None:
            from pywps_hpc.metrics.table import TableMetrics

            meters.start(meters.WEB)
            endpoint.answer(listening, TableMetrics(own, store), {})

        yield begin
    finally:
        if os.getpid() == master:  # a worker leaves through here, too
            shutil.rmtree(folder, ignore_errors=True)


def dispatcher(own: Settings, store: JobStore, is_turning: Callable[[], bool]) -> None:
    """Be asked for the metrics of this dispatcher, and whether it is well.

    Args:
        is_turning: whether its loop goes on.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if own.metrics.dispatcher is None:
        return
    listening = endpoint.listen("dispatcher", own.metrics.dispatcher)
    from pywps_hpc.metrics.table import TableMetrics

    def live() -> tuple[bool, Mapping[str, Any]]:
        return is_turning(), {"live": is_turning()}

    def ready() -> tuple[bool, Mapping[str, Any]]:
        try:
            leader = store.dispatcher()
        except TableUnavailable as error:
            return False, {"ready": False, "message": str(error)}
        is_ready = can_ask(leader, own.dispatcher_lease)
        message = leader.message if leader else "no dispatcher leads"
        return is_ready, {"ready": is_ready, "message": message}

    meters.start(meters.DISPATCHER)
    probes = {"/health/live": live, "/health/ready": ready}
    endpoint.answer(listening, TableMetrics(own, store), probes)
