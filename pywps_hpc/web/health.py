"""Whether the service can look after jobs now: its storage, its dispatcher, the batch system."""

from __future__ import annotations

import logging

from pywps_hpc.jobs import JobStore, TableUnavailable, drain
from pywps_hpc.jobs.identity import are_apart, service_mark, tie
from pywps_hpc.jobs.leader import can_ask
from pywps_hpc.settings import Settings, SettingsError
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import Busy

LOGGER = logging.getLogger(__name__)

NO_DISPATCHER = "Jobs cannot be run now: the dispatcher is not running."


def require_open(settings: Settings, store: JobStore) -> None:
    """Make sure that the administrator lets the service take new jobs.

    Raises:
        Busy: it is drained.
    """
    if (drained := drain.of(store)) is not None:
        raise Busy(str(drained), drained.retry_after or settings.retry_after, "drained")


def require_dispatcher(settings: Settings, store: JobStore) -> None:
    """Make sure that somebody will submit jobs.

    Raises:
        Busy: there is no dispatcher, or only that of another service.
    """
    leader = store.dispatcher()
    if leader is None or not leader.is_alive(settings.dispatcher_lease):
        raise Busy(NO_DISPATCHER, settings.retry_after, "dispatcher")
    if are_apart(leader.service, service_mark(settings)):
        LOGGER.error("[hpc] spool, database: the dispatcher of another service uses them")
        raise Busy(NO_DISPATCHER, settings.retry_after, "dispatcher")


def require_spool(service: Context) -> None:
    """Make sure that the spool is there, and the one that the job table belongs to.

    Raises:
        Busy: it is not.
    """
    try:
        if not service.spool.is_recognised:  # the table could not be asked at start
            tie(service.store, service.spool)
        service.spool.require()
        return
    except OSError as error:
        LOGGER.error("the spool cannot be used: %s", error.strerror)
    except SettingsError as error:
        LOGGER.error("the spool cannot be used: %s", error)
    message = "The service cannot reach its jobs now: their storage is missing."
    raise Busy(message, service.settings.retry_after, "storage")


def is_batch_system_reachable(service: Context) -> bool:
    """Whether somebody can ask the batch system now, as far as is known."""
    try:
        return can_ask(service.store.dispatcher(), service.settings.dispatcher_lease)
    except TableUnavailable:  # nothing is known of it
        return True
