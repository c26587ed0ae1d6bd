"""Whether the service can look after jobs now: its storage, its dispatcher, the batch system."""

from __future__ import annotations

import logging

from pywps_hpc.jobs import JobStore, TableUnavailable, drain
from pywps_hpc.jobs.drain import Drain
from pywps_hpc.jobs.identity import are_apart, service_mark, tie
from pywps_hpc.jobs.leader import Leader, can_ask
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
    if (found := drain.of(store)) is not None:
        raise drained(settings, found)


def drained(settings: Settings, drain: Drain) -> Busy:
    """The answer to a client of a service that is drained."""
    return Busy(str(drain), drain.retry_after or settings.retry_after, "drained")


def require_dispatcher(settings: Settings, store: JobStore) -> None:
    """Make sure that somebody will submit jobs.

    Raises:
        Busy: there is no dispatcher, or only that of another service.
    """
    require_alive(settings, store.dispatcher())


def require_alive(settings: Settings, leader: Leader | None) -> None:
    """As :func:`require_dispatcher`, of what the job table said."""
    if leader is None or not leader.is_alive(settings.dispatcher_lease):
        raise Busy(NO_DISPATCHER, settings.retry_after, "dispatcher")
    # Of the same address it is no other service's; the whole mark takes its time to make.
    is_same_url = leader.service.partition(" ")[2] == settings.url
    if not is_same_url and are_apart(leader.service, service_mark(settings)):
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
