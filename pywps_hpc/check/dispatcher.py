"""The dispatcher: whether one works, and how often it asks the batch system."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.jobs import JobStore
from pywps_hpc.jobs.identity import are_apart, service_mark
from pywps_hpc.jobs.leader import Leader
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING

#: Requests a minute to a controller that many share, above which its administrators may complain.
MANY = 60.0


def look(own: Settings, store: JobStore | None) -> Iterator[Finding]:
    """Who dispatches."""
    if store is None:
        yield ok("dispatcher", "has not run yet: pywps-hpc serve, or pywps-hpc dispatcher")
        return
    yield of_leader(own, store.dispatcher())


def is_alive(own: Settings, store: JobStore | None) -> bool:
    """Whether a dispatcher works."""
    leader = store.dispatcher() if store else None
    return leader is not None and leader.is_alive(own.dispatcher_lease)


def of_leader(own: Settings, leader: Leader | None) -> Finding:
    """The dispatcher in charge."""
    start = "start it: pywps-hpc serve, or pywps-hpc dispatcher"
    if leader is None:
        return error("dispatcher", "none runs: clients get HTTP 503", start)
    who = f"{leader.host}, pid {leader.pid}"
    if not leader.is_alive(own.dispatcher_lease):
        what = f"{who} has been silent for {leader.silence:.0f} s: clients get HTTP 503"
        return error("dispatcher", what, start)
    if are_apart(leader.service, service_mark(own)):
        return error(
            "[hpc] spool, database",
            f"the dispatcher of another service uses them ({who}, "
            f"{leader.service.partition(' ')[2]})",
            "give each service a spool and a database of its own",
        )
    if leader.reach.reachable is False:
        return error(
            "dispatcher",
            f"{who} cannot reach the batch system: {leader.message or 'see its log'}",
            "see the lines about the batch system here, and the dispatcher's log",
        )
    if leader.message:
        return warning("dispatcher", f"{who} says: {leader.message}", "see the dispatcher's log")
    return ok("dispatcher", f"{who} leads")


def polling(own: Settings, limit: float | None) -> Iterator[Finding]:
    """How often the batch system is asked.

    Args:
        limit: requests a minute that the site allows a user for good; ``None``: not known.
    """
    if own.scheduler == "local":
        return
    busy, quiet = 60 / own.poll_interval, 60 / max(own.poll_backoff, own.poll_interval)
    what = (
        f"the batch system is asked {busy:.0f} times a minute while jobs change, {quiet:.0f} else"
    )
    slower = _slower(min(limit or MANY, MANY))
    if limit is not None and quiet > limit:
        yield error(
            "[hpc] poll_interval",
            f"{what}; the site allows {limit:.0f} a minute",
            slower,
        )
    elif busy > MANY:
        yield warning("[hpc] poll_interval", what, slower)
    elif own.poll_interval > TIMING.rare_poll:
        yield warning(
            "[hpc] poll_interval",
            f"the batch system is asked every {own.poll_interval:.0f} s only: a job that it killed "
            "is shown as running for so long",
            f"set poll_interval to at most {TIMING.rare_poll:.0f}",
        )
    else:
        yield ok("[hpc] poll_interval", what)
    if own.poll_backoff < own.poll_interval:
        yield warning(
            "[hpc] poll_backoff",
            f"{own.poll_backoff:g} s is less than poll_interval ({own.poll_interval:g} s): it does "
            "not count",
            "set it to at least poll_interval, or remove it",
        )


def _slower(limit: float) -> str:
    return f"set poll_interval to {60 / limit * 2:.0f} or more, and poll_backoff no lower"


def names(own: Settings, queued: dict[str, str], known: set[str]) -> Iterator[Finding]:
    """Jobs in the queue that another service submitted under the same prefix.

    Args:
        queued: native id -> name, of all jobs of this account.
        known: names in the job table.
    """
    pattern = re.compile(rf"{own.job_prefix}[0-9a-f]{{8,14}}")
    foreign = [name for name in queued.values() if pattern.fullmatch(name) and name not in known]
    if foreign:
        yield warning(
            "[hpc] job_prefix",
            f"{own.job_prefix!r} also begins the names of jobs which are not this service's "
            f"({foreign[0]}): the two cannot be told apart in the queue",
            "give each service of the account a job_prefix of its own",
        )
