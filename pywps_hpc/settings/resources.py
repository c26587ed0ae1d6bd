"""The section ``[hpc.resources]``, which the batch systems' dialects read: it imports no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from pywps_hpc.settings import amounts, readers
from pywps_hpc.settings.keys import setting


@dataclass(frozen=True)
class Resources:
    """``[hpc.resources]``: what one job asks the batch system for.

    Attributes:
        memory_per_input, walltime_per_input: of a rule, what each MiB of input adds: MiB, seconds;
            0: there is no rule.
        gpu_type: of the GPUs; empty: any.
    """

    cpus: int = setting(readers.integer(1), "1", "Processor cores of each task.")
    memory: int = setting(
        amounts.memory, "2G", "Main memory on each node, in MiB unless a unit is given."
    )
    walltime: int = setting(amounts.walltime, "01:00:00", "Limit of elapsed time.")
    gpus: int = setting(amounts.gpus, "0", "GPUs on each node.")
    nodes: int = setting(
        readers.integer(1),
        "1",
        "Nodes. The process runs on the first one and starts its ranks on all of them.",
        needed="MPI over several nodes; not with `scheduler = local`",
    )
    tasks: int = setting(
        readers.integer(1),
        None,
        "Tasks (MPI ranks) on all nodes together, the same number on each; unset: one a node.",
        unset=0,
    )
    parallel_environment: str = setting(
        readers.word,
        None,
        "The parallel environment of jobs with several slots (`qconf -spl`), for batch systems "
        "that have them. Unset: the one that `extra` names (`-pe NAME`), or else `smp`. For "
        "several nodes it needs `control_slaves TRUE` and the slots of one node as its "
        "`allocation_rule`.",
        unset="",
        needed="batch systems with parallel environments",
    )
    queue: str = setting(
        readers.word, None, "Partition or queue; unset: the site's default.", unset=""
    )
    account: str = setting(
        readers.word, None, "Account or project to charge; unset: the user's default.", unset=""
    )
    qos: str = setting(
        readers.word, None, "Quality of service; unset: the account's default.", unset=""
    )
    reservation: str = setting(
        readers.word, None, "Reservation of nodes in which the job runs.", unset=""
    )
    licenses: tuple[tuple[str, int], ...] = setting(
        amounts.licenses, None, "Licenses that the batch system counts.", unset=()
    )
    max_memory: int = setting(
        readers.memory,
        None,
        "Most memory that a rule by the size of the inputs asks for.",
        unset=0,
        needed="required where `memory` is a rule",
    )
    max_walltime: int = setting(
        readers.walltime,
        None,
        "Longest time that a rule by the size of the inputs asks for.",
        unset=0,
        needed="required where `walltime` is a rule",
    )
    client_cpus: amounts.Range | None = setting(
        amounts.range_of(readers.integer(1), "1..16"),
        None,
        "Processor cores that a client may ask for, by the input `hpc_cpus`.",
        unset=None,
    )
    client_memory: amounts.Range | None = setting(
        amounts.range_of(readers.memory, "1G..64G"),
        None,
        "Memory that a client may ask for, by the input `hpc_memory` (MiB).",
        unset=None,
    )
    client_walltime: amounts.Range | None = setting(
        amounts.range_of(readers.walltime, "00:10:00..1-00:00:00"),
        None,
        "Time that a client may ask for, by the input `hpc_walltime` (seconds).",
        unset=None,
    )
    client_queue: tuple[str, ...] = setting(
        amounts.queues,
        None,
        "Queues or partitions that a client may choose from, by the input `hpc_queue`.",
        unset=(),
    )
    requeue: bool = setting(
        readers.boolean,
        "no",
        "Whether the batch system may start a job again that it had to end: its node failed, other "
        "jobs needed its resources, an administrator requeued it. `scheduler = local` never does.",
    )
    extra: tuple[str, ...] = setting(
        readers.lines,
        None,
        "Further options of the batch system, in its own syntax. Options that the service sets "
        "itself, or by one of the keys above, are refused at start.",
        unset=(),
    )
    memory_per_input: float = 0.0
    walltime_per_input: float = 0.0
    gpu_type: str = ""

    @property
    def ranks(self) -> int:
        """Tasks on all nodes together."""
        return self.tasks or self.nodes

    @property
    def ranks_per_node(self) -> int:
        """Tasks on each node."""
        return self.ranks // self.nodes

    @property
    def cpus_per_node(self) -> int:
        """Processor cores of all tasks of one node."""
        return self.cpus * self.ranks_per_node
