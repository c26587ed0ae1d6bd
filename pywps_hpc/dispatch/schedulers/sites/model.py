"""What a site allows, in the same terms for all batch systems: plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.dialect import Question
from pywps_hpc.dispatch.schedulers.text import first_line


@dataclass(frozen=True)
class Node:
    """What one node has for jobs. ``None``: not known.

    Attributes:
        name: of the node.
        cpus: processors.
        memory: MiB.
        gpus: GPUs of all types.
    """

    name: str
    cpus: int | None = None
    memory: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Queue:
    """A queue or partition.

    Attributes:
        name: of the queue.
        is_default: whether jobs that name none come here.
        closed: why no job starts here now, as the batch system says it; empty if jobs do.
        walltime: most seconds; ``None``: no limit, or not known.
        cpus, memory: most of one job (memory in MiB); ``None``: no limit, or not known.
        most_nodes: of one job; ``None``: no limit, or not known.
        accounts: that may use it; empty: all.
        refused_accounts: that may not.
        nodes: its nodes; empty: not known.
        environments: parallel environments (Grid Engine); ``None``: not used.
    """

    name: str
    is_default: bool = False
    closed: str = ""
    walltime: int | None = None
    cpus: int | None = None
    memory: int | None = None
    most_nodes: int | None = None
    accounts: frozenset[str] = frozenset()
    refused_accounts: frozenset[str] = frozenset()
    nodes: tuple[Node, ...] = ()
    environments: frozenset[str] | None = None


@dataclass(frozen=True)
class Association:
    """What an account lets a user do.

    Attributes:
        account: to charge.
        queue: the only one it counts for; empty: all.
        qos: names that jobs may use; empty: not known.
        walltime: most seconds; ``None``: no limit.
        jobs: most jobs that may wait and run at once; ``None``: no limit.
    """

    account: str
    queue: str = ""
    qos: frozenset[str] = frozenset()
    walltime: int | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class Site:
    """What is known of a site; one question gives a part of it. ``None``: not known.

    Attributes:
        queues: by name.
        nodes: by queue.
        associations: of the service's account.
        enforces_accounts: whether a job without an association is refused.
        array_size: the largest array index there may be.
        user_jobs: most jobs that one user may have at once.
        request_rate: requests a minute that a user may send for good.
        environments: parallel environments (Grid Engine).
        closed: queue -> why no job starts there now.
        hosts: nodes, where it is not told which queue they are of.
        associating: how its administrators make an association of ``{user}`` and ``{account}``.
        cluster: its name.
        default_queue: where jobs come that name none; empty: they are refused.
    """

    queues: Mapping[str, Queue] | None = None
    nodes: Mapping[str, tuple[Node, ...]] | None = None
    associations: tuple[Association, ...] | None = None
    enforces_accounts: bool | None = None
    array_size: int | None = None
    user_jobs: int | None = None
    request_rate: float | None = None
    environments: frozenset[str] | None = None
    closed: Mapping[str, str] | None = None
    hosts: tuple[Node, ...] | None = None
    associating: str | None = None
    cluster: str | None = None
    default_queue: str | None = None


def joined(parts: Iterable[Site]) -> Site:
    """The parts together, each queue with its nodes; of what several tell, the first counts."""
    known: dict[str, object] = {}
    for part in parts:
        for each in fields(Site):
            value = getattr(part, each.name)
            if value is not None:
                known.setdefault(each.name, value)
    site = Site(**known)  # type: ignore[arg-type]
    if site.queues is None:
        return site
    nodes, hosts, closed = site.nodes or {}, site.hosts or (), site.closed or {}
    queues = {
        name: replace(
            queue,
            nodes=queue.nodes or nodes.get(name, hosts),
            closed=queue.closed or closed.get(name, ""),
        )
        for name, queue in site.queues.items()
    }
    return replace(site, queues=queues)


def require_run(returncode: int, stderr: str) -> None:
    """See that a command ran: a login host may not allow it (126: its forced command).

    Raises:
        SchedulerUnavailable: it did not.
    """
    if returncode in (126, 127):
        raise SchedulerUnavailable(first_line(stderr) or f"exit status {returncode}")


@dataclass(frozen=True)
class SiteQuestions:
    """How a batch system is asked for its limits.

    Attributes:
        ask: from the account's name to the questions; each that is not answered (a site may not
            allow it) leaves its part unknown.
        verify: asks whether a script would be taken, without submitting it; the answer is why not,
            empty if it would. ``None``: the system cannot tell.
    """

    ask: Callable[[str], Iterable[Question[Site]]] = field(default=lambda user: ())
    verify: Callable[[str], Question[str]] | None = None
