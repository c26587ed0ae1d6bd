"""What is handed to a batch system: a job or an array, and how one starts without its script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pywps_hpc.settings.resources import Resources


@dataclass(frozen=True)
class WarmContainer:
    """The container in which such a process runs, with its own folder at the spool's place.

    Attributes:
        program, arguments: of its command, before and after the bind of that folder.
        exports: variables for the command.
        image: what it runs; another file there is another container.
        spool: where the jobs' folders are.
        network: whether jobs use the network.
        shown: folders of this host that are bound, by their paths inside.
        writable: those of them to write to.
        prefix: under which the command looks for variables of the container.
    """

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    exports: Mapping[str, str]
    image: str
    spool: str
    network: bool
    shown: tuple[str, ...]
    writable: tuple[str, ...]
    prefix: str


@dataclass(frozen=True)
class Warm:
    """What a process that has imported everything already needs to become a job's launcher, as the
    batch script would start it.

    Attributes:
        python: the interpreter.
        paths: folders with modules of the service.
        options, arguments: of the launcher: the same for jobs with these settings, and this job's.
        environment: the job's, as far as it is declared.
        home: its ``HOME`` unless that is.
        folder: where it starts.
        container: in which it starts; ``None``: in none.
    """

    python: str
    paths: tuple[str, ...]
    options: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    home: str
    folder: str
    container: WarmContainer | None = None


@dataclass(frozen=True)
class BatchJob:
    """One job, or one array of jobs, to hand to a batch system.

    Attributes:
        name: the name it carries in the queue: a letter and at most 14 more of ``[a-z0-9]``, which
            all batch systems accept. It is the job's identity: :meth:`Scheduler.find` looks for it.
        comment: the full job id, shown where the batch system has a field for it.
        script: the complete shell script, header lines included.
        path: absolute path, on the execution host, of the script's copy in the job's folder, for
            the ways of submission that take no text (DRMAA).
        log: absolute path, on the execution host, that receives standard output and error; for an
            array the folder in which ``log-7`` belongs to the element of index 7.
        array_indices: the indices of an array's elements, ascending, from 1 on; empty: one job. The
            batch system may be given all indices between the first and the last.
        resources: the same resources that the script's header states, for paths that cannot use
            the header (DRMAA's native specification).
        warm: how it is started without the script; ``None``: by the script only.
        process: whose section has its settings; empty: the defaults.
    """

    name: str
    script: str
    log: str
    path: str = ""
    comment: str = ""
    array_indices: tuple[int, ...] = ()
    resources: Resources = field(default_factory=Resources)
    warm: Warm | None = None
    process: str = ""
