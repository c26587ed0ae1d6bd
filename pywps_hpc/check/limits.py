"""What each process asks for, held against what the site allows.

A job that could never start is an error here, before a client waits for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

from pywps_hpc.check.asked import Asked, asked, most_asked
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, error, ok, warning, worst
from pywps_hpc.dispatch.schedulers.sites.model import Association, Node, Queue, Site
from pywps_hpc.durations import clock_with_days
from pywps_hpc.settings import Resources


def look(known: Configuration, site: Site, user: str) -> Iterator[Finding]:
    """All processes against the site.

    Args:
        known: the configuration.
        site: what is known of it.
        user: the account by which jobs are submitted.
    """
    own, told = known.settings, 0
    everyone = asked(known)
    for each in everyone:
        for finding in of_one(each, site, user):
            told += finding.level.value
            yield finding
    for most in most_asked(known):
        for finding in filter(None, map(most.of, of_one(most.asked, site, user))):
            told += finding.level.value
            yield finding
    if site.array_size is not None and own.array_size > site.array_size:
        told += 1
        yield warning(
            "[hpc] array_size",
            f"{own.array_size} is more than the site allows ({site.array_size}): larger arrays are "
            "refused and go in halves",
            f"set array_size to at most {site.array_size}",
        )
    yield from _submissions(known, site)
    if not told and site.queues:
        names = _listed({name for each in everyone for name in _queues(each.need, site)})
        yield ok("limits", f"what each process asks for fits the queues it uses ({names})")


def of_one(each: Asked, site: Site, user: str) -> Iterator[Finding]:
    """The jobs of one kind against the site."""
    yield from _account(each, site, user)
    if site.queues is None:
        return
    names = _queues(each.need, site)
    if not names and site.queues:
        yield error(
            each.key("queue"),
            f"is not set, and the site has no default queue{each.whose}",
            f"set queue to one of: {_listed(site.queues)}",
        )
    unknown = [name for name in names if name not in site.queues]
    for name in unknown:
        near = difflib.get_close_matches(name, site.queues, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield error(
            each.key("queue"),
            f"there is no queue or partition {name}{hint}",
            f"set queue to one of: {_listed(site.queues)}",
        )
    # Where several will do, one in which the job can start is enough.
    found = [
        list(_in_queue(each, site.queues[name], site)) for name in names if name not in unknown
    ]
    if found and not unknown:
        yield from min(found, key=lambda findings: worst(findings).value)


def _in_queue(each: Asked, queue: Queue, site: Site) -> Iterator[Finding]:
    need = each.need
    if queue.closed:
        others = _listed(name for name, other in (site.queues or {}).items() if not other.closed)
        yield warning(
            each.key("queue"),
            f"{queue.name} is closed ({queue.closed}): jobs wait until its administrators open it"
            + each.whose,
            "ask them" + (f", or set queue to another one: {others}" if others else ""),
        )
    if need.account and (
        (queue.accounts and need.account not in queue.accounts)
        or need.account in queue.refused_accounts
    ):
        yield error(
            each.key("account", "queue"),
            f"{need.account} may not use {queue.name}{each.whose}",
            f"it is open to: {_listed(queue.accounts) or 'others'}; choose one, or another queue",
        )
    if queue.walltime is not None and need.walltime > queue.walltime:
        longer = [
            f"{other.name} ({_time(other.walltime)})"
            for other in (site.queues or {}).values()
            if other.walltime is None or other.walltime >= need.walltime
        ]
        yield error(
            each.key("walltime", "queue"),
            f"{_time(need.walltime)} is more than {queue.name} allows "
            f"({_time(queue.walltime)}): such "
            f"a job never starts{each.whose}",
            f"set walltime to at most {_time(queue.walltime)}"
            + (f", or queue to {_listed(longer)}" if longer else ""),
        )
    yield from _sizes(each, queue)
    if queue.environments is not None and need.nodes * need.cpus_per_node > 1:
        yield from _environment(each, queue, site)


def _sizes(each: Asked, queue: Queue) -> Iterator[Finding]:
    """Processors, memory and GPUs, which one node has to have."""
    need, told = each.need, False
    for key, wanted, of_queue, unit in (
        ("cpus", need.cpus_per_node, queue.cpus, ""),
        ("memory", need.memory, queue.memory, " MiB"),
        ("gpus", need.gpus, None, ""),
    ):
        known = [size for node in queue.nodes if (size := getattr(node, key)) is not None]
        limits = [size for size in (of_queue, max(known, default=None)) if size is not None]
        if wanted and limits and wanted > min(limits):
            told = True
            most = min(limits)
            yield error(
                each.key(key, "queue"),
                f"{wanted}{unit} is more than any node of {queue.name} has ({most}{unit}): "
                "such a job "
                f"never starts{each.whose}",
                f"set {key} to at most {most}{unit.replace(' MiB', 'M')}, or use another queue"
                if most
                else f"set {key} to 0, or use another queue",
            )
    fitting = sum(_fits(need, node) for node in queue.nodes)
    if told or not queue.nodes:
        return
    if not fitting:
        yield error(
            each.key("cpus", "memory", "gpus", "queue"),
            f"no node of {queue.name} has {need.cpus_per_node} cpus, {need.memory} MiB and "
            f"{need.gpus} gpus together: such a job never starts{each.whose}",
            "ask for less of one of them, or use another queue",
        )
    elif need.nodes > fitting:
        yield error(
            each.key("nodes", "tasks", "cpus", "queue"),
            f"{need.nodes} is more than the nodes of {queue.name} that have {need.cpus_per_node} "
            f"cpus, {need.memory} MiB and {need.gpus} gpus ({fitting}): such a job never "
            f"starts{each.whose}",
            f"set nodes to at most {fitting}, or use another queue",
        )
    elif queue.most_nodes is not None and need.nodes > queue.most_nodes:
        yield error(
            each.key("nodes", "queue"),
            f"{need.nodes} is more than one job may have in {queue.name} ({queue.most_nodes}): "
            f"such a job never starts{each.whose}",
            f"set nodes to at most {queue.most_nodes}, or use another queue",
        )


def _fits(need: Resources, node: Node) -> bool:
    return all(
        has is None or wanted <= has
        for wanted, has in (
            (need.cpus_per_node, node.cpus),
            (need.memory, node.memory),
            (need.gpus, node.gpus),
        )
    )


def _environment(each: Asked, queue: Queue, site: Site) -> Iterator[Finding]:
    """Grid Engine's parallel environment, without which no job has several processors."""
    options = [option.split() for option in each.need.extra]
    named = next((w[1] for w in options if len(w) == 2 and w[0] == "-pe"), "smp")
    name = each.need.parallel_environment or named
    known = site.environments or frozenset()
    slots = each.need.nodes * each.need.cpus_per_node
    remedy = (
        f"set parallel_environment (known: {_listed(known) or 'none'}), or ask for one processor"
    )
    if site.environments is not None and name not in known:
        what = f"{slots} cpus need the parallel environment {name}, which does not exist"
        yield error(each.key("cpus", "tasks", "nodes", "extra"), what + each.whose, remedy)
    elif name not in (queue.environments or ()):
        what = f"{queue.name} does not offer the parallel environment {name}"
        yield error(each.key("cpus", "tasks", "nodes", "extra", "queue"), what + each.whose, remedy)


def _account(each: Asked, site: Site, user: str) -> Iterator[Finding]:
    """Who pays, where the batch system refuses a job that nobody pays for."""
    if site.associations is None or not site.enforces_accounts:
        return
    mine, account = site.associations, each.need.account
    accounts = sorted({one.account for one in mine})
    if not mine:
        yield error(
            each.key("account"),
            f"the user {user} has no association with any account: each of its jobs is refused",
            f"have it made: {_made(site, user, account or 'ACCOUNT')}",
        )
        return
    if account and account not in accounts:
        near = difflib.get_close_matches(account, accounts, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield error(
            each.key("account"),
            f"the user {user} may not charge {account}{hint}",
            f"set account to one of: {_listed(accounts)}; or have it made: "
            f"{_made(site, user, account)}",
        )
        return
    yield from _association(each, site, [one for one in mine if account in ("", one.account)])


def _made(site: Site, user: str, account: str) -> str:
    """How a site's administrators let a user charge an account."""
    return (site.associating or "ask the site's administrators").format(user=user, account=account)


def _association(each: Asked, site: Site, mine: list[Association]) -> Iterator[Finding]:
    queue, need = _queues(each.need, site), each.need
    here = [one for one in mine if one.queue in ("", *queue)]
    if queue and not here:
        yield error(
            each.key("account", "queue"),
            f"the account counts for {_listed(one.queue for one in mine)} only, not for "
            f"{', '.join(queue)}",
            "choose one of these as queue, or have the association made",
        )
    limits = [one.walltime for one in here]
    if limits and None not in limits and need.walltime > max(filter(None, limits)):
        most = _time(max(filter(None, limits)))
        yield error(
            each.key("walltime", "account"),
            f"{_time(need.walltime)} is more than the account allows ({most}){each.whose}",
            f"set walltime to at most {most}, or charge another account",
        )
    allowed = frozenset().union(*(one.qos for one in here))
    if (qos := qos_of(need)) and allowed and qos not in allowed:
        yield error(
            each.key("qos" if need.qos else "extra"),
            f"the QOS {qos} is not one that the account may use{each.whose}",
            f"use one of: {_listed(allowed)}",
        )


def qos_of(need: Resources) -> str:
    """The QOS, by its key or in the further options of Slurm; empty if there is none."""
    if need.qos:
        return need.qos
    options = " ".join(need.extra).replace("=", " ").split()
    return next((value for option, value in pairwise(options) if option in ("--qos", "-q")), "")


def _submissions(known: Configuration, site: Site) -> Iterator[Finding]:
    """How many jobs may wait at once."""
    limits = [one.jobs for one in site.associations or () if one.jobs is not None]
    most = min([*limits, *([site.user_jobs] if site.user_jobs is not None else [])], default=None)
    if most is None or not limits:
        return
    active = known.settings.max_active
    if not active or active > most:
        yield warning(
            "[hpc] max_active",
            f"the site takes {most} jobs of this account at once; the service accepts "
            f"{active or 'any number'}: the others wait in the service, not in the queue",
            f"set max_active to at most {most}, or ask for a higher limit (MaxSubmitJobs)",
        )


def _queues(need: Resources, site: Site) -> list[str]:
    """Where a job may come that asks for this: Slurm and Grid Engine take several."""
    if need.queue:
        return [name.partition("@")[0] for name in need.queue.split(",")]
    if site.default_queue is not None:
        return [site.default_queue] if site.default_queue else []
    queues = site.queues or {}
    return [name for name, queue in queues.items() if queue.is_default] or (
        list(queues) if len(queues) == 1 else []
    )


def _time(seconds: int | None) -> str:
    return clock_with_days(seconds) if seconds is not None else "no limit"


def _listed(names: Iterable[str] | Collection[str], most: int = 8) -> str:
    known = sorted(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more
