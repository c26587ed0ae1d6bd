"""The settings as typed, frozen objects: one class a section of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from joblauncher.inputs.policy import SCHEMES
from pywps_hpc.settings import paths, readers
from pywps_hpc.systems import SYSTEMS

SCHEDULERS = ("local", *SYSTEMS, "drmaa")
CHANNELS = ("local", "ssh")
RUNTIMES = ("apptainer", "singularity", "none")
SECTIONS = (
    *("hpc", "hpc.ssh", "hpc.inputs", "hpc.retention"),
    *("hpc.container", "hpc.resources"),
)
PROCESS_PREFIX = "hpc.process."

#: What PyWPS takes for ``[server] url`` where nothing is set.
PYWPS_URL = "http://localhost/wps"

#: Sections as read from a file: section -> key -> text.
Sections = Mapping[str, Mapping[str, str]]


class SettingsError(ValueError):
    """A configuration that cannot be used; the message is one line for the administrator."""


def _key(parse: Callable[[str], Any], default: Any = MISSING) -> Any:
    """A dataclass field with the function that reads it from text."""
    metadata = {"parse": parse}
    if default is MISSING:
        return field(metadata=metadata)
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Resources:
    """``[hpc.resources]``: what one job asks the batch system for.

    Attributes:
        cpus: processor cores.
        memory: main memory in MiB (written ``2G``, ``512M``).
        walltime: limit of elapsed time in seconds (written ``HH:MM:SS``, ``D-HH:MM:SS``).
        gpus: graphics processors.
        queue: partition or queue; empty means the site's default.
        account: account or project to charge; empty means the user's default.
        requeue: whether the batch system may start a job again that it had to end (its node failed,
            other jobs needed its resources, an administrator wished it). ``local`` never does.
        extra: options in the batch system's own words, one a line; none of those that the service
            sets itself (see :mod:`~pywps_hpc.systems.options`).
    """

    cpus: int = _key(readers.integer(1), 1)
    memory: int = _key(readers.memory, 2048)
    walltime: int = _key(readers.walltime, 3600)
    gpus: int = _key(readers.integer(0), 0)
    queue: str = _key(readers.word, "")
    account: str = _key(readers.word, "")
    requeue: bool = _key(readers.boolean, False)
    extra: tuple[str, ...] = _key(readers.lines, ())


@dataclass(frozen=True)
class Container:
    """``[hpc.container]``: where the process runs.

    Attributes:
        runtime: ``apptainer``, ``singularity``, or ``none`` for sites that trust every process.
        image: absolute path of the image (SIF file or sandbox folder), on the compute nodes.
        python: interpreter that has ``joblauncher`` and the service's packages: inside the image,
            or on the node where the runtime is ``none`` (default there: the dispatcher's own).
        python_path: folders on the shared file system that hold the service's own modules, one a
            line; shown read-only. Better: install the modules in the image.
        binds: folders to show inside, one a line: ``/source[:/target][:ro|rw]``, default ``ro``.
        environment: variables of the job, one ``NAME=value`` a line.
        network: whether the process may use the network.
        options: further options of the runtime's ``exec``, one a line.
    """

    runtime: str = _key(readers.choice(*RUNTIMES), "apptainer")
    image: Path | None = _key(paths.absolute_path, None)
    python: Path | None = _key(paths.absolute_path, None)
    python_path: tuple[Path, ...] = _key(paths.paths, ())
    binds: tuple[paths.Bind, ...] = _key(paths.binds, ())
    environment: Mapping[str, str] = _key(readers.variables, {})
    network: bool = _key(readers.boolean, False)
    options: tuple[str, ...] = _key(readers.lines, ())


@dataclass(frozen=True)
class Ssh:
    """``[hpc.ssh]``: the login host on which the batch system's commands run.

    Attributes:
        host: its name or address, as ``known_hosts`` has it.
        port: TCP port of its SSH server.
        user: account there; the same person as this service on the shared file system.
        key: private key file without a passphrase, readable by this account only.
        known_hosts: file with the host's public keys (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT); no
            other keys count.
        timeout: seconds until a connection that is not made, or does not react, is given up.
        path_map: where the cluster finds folders of this host, one ``/here=/there`` a line; all
            others have the same path there.
    """

    host: str = _key(readers.word, "")
    port: int = _key(readers.port, 22)
    user: str = _key(readers.word, "")
    key: Path | None = _key(paths.private_file, None)
    known_hosts: Path | None = _key(paths.owned_file, None)
    timeout: float = _key(readers.seconds, 15.0)
    path_map: tuple[tuple[Path, Path], ...] = _key(paths.path_map, ())


@dataclass(frozen=True)
class Inputs:
    """``[hpc.inputs]``: inputs that a client gives by reference, and how many it may give.

    Attributes:
        fetch: who fetches: ``node``, the job itself when its process asks for the content, or
            ``server``, the dispatcher before it submits the job.
        schemes: of URLs; ``file`` means files in ``[server] allowedinputpaths``.
        allowed_networks: networks, addresses and host names that may be asked besides public ones.
        blocked_networks: the same, that may not be asked though they are public: the site's own.
            This service's host counts as one. What is allowed by name is not blocked.
        max_bytes: of one input; ``[server] maxsingleinputsize`` counts too.
        timeout: seconds for a connection, and for the next bytes on it.
        total_timeout: seconds for one input.
        max_bytes_per_job: of all inputs of a job together; 0 means no limit.
        total_timeout_per_job: seconds for all of them.
        min_rate: bytes a second below which a server is given up; 0 means no limit.
        redirects: how many are followed.
        proxy: ``http://host:port``; empty means none. The environment's does not count.
        downloads: how many jobs the dispatcher fetches inputs for at once. While jobs of several
            clients wait for it, none has more than one of them more than another.
        max_inputs: how many inputs one request may have.
    """

    fetch: str = _key(readers.choice("node", "server"), "node")
    schemes: tuple[str, ...] = _key(readers.words(*SCHEMES), SCHEMES)
    allowed_networks: tuple[str, ...] = _key(readers.networks, ())
    blocked_networks: tuple[str, ...] = _key(readers.networks, ())
    max_bytes: int = _key(readers.size, 2 << 30)
    timeout: float = _key(readers.seconds, 30.0)
    total_timeout: float = _key(readers.seconds, 1800.0)
    max_bytes_per_job: int = _key(readers.bound, 50 << 30)
    total_timeout_per_job: float = _key(readers.seconds, 3600.0)
    min_rate: int = _key(readers.bound, 1024)
    redirects: int = _key(readers.integer(0), 5)
    proxy: str = _key(readers.proxy, "")
    downloads: int = _key(readers.integer(1), 8)
    max_inputs: int = _key(readers.integer(1), 1000)


@dataclass(frozen=True)
class Retention:
    """``[hpc.retention]``: how long what is left of ended jobs is kept. 0 means no limit.

    Attributes:
        age: seconds since a job's end (written ``12h``, ``7d``).
        size: bytes in the folders of all ended jobs together; those that ended first go first.
    """

    age: float = _key(readers.duration, 0.0)
    size: int = _key(readers.bound, 0)


@dataclass(frozen=True)
class ProcessSettings:
    """What holds for one process: the two sections before, with its own changes.

    Attributes:
        max_active: how many of its jobs may be active at once; 0 means no limit.
    """

    resources: Resources = Resources()
    container: Container = Container()
    max_active: int = 0


@dataclass(frozen=True)
class Settings:
    """All settings of one installation.

    Attributes:
        spool: folder on the shared file system, at the same path on every node.
        scheduler: the batch system, spoken to by its own commands; or ``drmaa``.
        system: which batch system the DRMAA library speaks to.
        drmaa_library: absolute path of its ``libdrmaa.so``.
        channel: where these commands run: ``local`` (this host) or ``ssh`` (see :class:`Ssh`).
        database: SQLAlchemy URL of the job table; empty means SQLite in the spool.
        database_timeout: seconds to wait for a database server, and for a lock in it.
        templates: folder with the administrator's own job templates; ``None`` means the package's.
        allow_root: whether web server, dispatcher and jobs may run as root: in a container
            (Docker) that has nothing else in it. With ``scheduler = local`` only.
        job_prefix: first letter(s) of every job name, to tell services of one account apart.
        poll_interval: seconds between two questions while jobs change.
        poll_backoff: seconds at most between two questions while nothing changes.
        command_timeout: seconds until a scheduler command counts as hung.
        command_path: PATH for the scheduler's commands.
        command_environment: what these commands need (``SLURM_CONF=…``), one ``NAME=value`` a line.
        grace: seconds of absence from the scheduler's answers before a job counts as over: by its
            documents, or else as lost.
        submit_timeout: seconds for which a job is offered again that the batch system refuses for
            a reason that is not known to be final.
        sync_timeout: seconds that a synchronous Execute waits for its job.
        max_waiting: synchronous Executes that wait at once in one process of the web server; a
            further client is told at once where its job's status is. With another WSGI server than
            ``pywps-hpc serve``: fewer than the threads of a process.
        array_size: most jobs to hand over in one job array; 1 means none. At most the site's own
            limit less one (Slurm: ``MaxArraySize``; Grid Engine: ``max_aj_tasks``; TORQUE:
            ``max_job_array_size``).
        slots: processor cores for the ``local`` scheduler; 0 means all of this host.
        max_active: jobs accepted and not yet ended; 0 means no limit.
        max_active_per_owner: the same of one client: an account, or without one an address.
        max_dump_size: bytes of one job's dump: its process and all that the client sent; 0 means
            no limit.
        max_output_size: bytes of one job's outputs; 0 means no limit.
        retry_after: seconds that a client turned away as "busy" is told to wait.
        pass_headers: headers of a request that a job may see beside the ordinary ones of HTTP.
        pass_parameters: the same of parameters in its query, beside those of WPS.
        pass_options: options of the service's own sections that a job may see though they look like
            a secret, each as ``section.option``.
        processes: settings of processes that have a section of their own.
        defaults: settings of all others.
        ssh: the login host, for ``channel = ssh``.
        inputs: bounds of inputs by reference.
        retention: how long ended jobs are kept.
        input_paths: folders of ``file://`` inputs (``[server] allowedinputpaths``), read-only.
        url: the WPS endpoint (``[server] url``); empty if none is set.
    """

    spool: Path = _key(paths.absolute_path)
    scheduler: str = _key(readers.choice(*SCHEDULERS), "local")
    system: str = _key(readers.choice(*SYSTEMS), "")
    drmaa_library: Path | None = _key(paths.absolute_path, None)
    channel: str = _key(readers.choice(*CHANNELS), "local")
    database: str = _key(readers.database, "")
    database_timeout: float = _key(readers.seconds, 15.0)
    templates: Path | None = _key(paths.folder, None)
    allow_root: bool = _key(readers.boolean, False)
    job_prefix: str = _key(readers.job_prefix, "w")
    poll_interval: float = _key(readers.seconds, 2.0)
    poll_backoff: float = _key(readers.seconds, 10.0)
    command_timeout: float = _key(readers.seconds, 30.0)
    command_path: str = _key(readers.text, "/usr/local/bin:/usr/bin:/bin")
    command_environment: Mapping[str, str] = _key(readers.variables, {})
    grace: float = _key(readers.seconds, 60.0)
    submit_timeout: float = _key(readers.seconds, 3600.0)
    sync_timeout: float = _key(readers.seconds, 300.0)
    max_waiting: int = _key(readers.integer(0), 64)
    array_size: int = _key(readers.integer(1), 500)
    slots: int = _key(readers.integer(0), 0)
    max_active: int = _key(readers.integer(0), 0)
    max_active_per_owner: int = _key(readers.integer(0), 0)
    max_dump_size: int = _key(readers.bound, 0)
    max_output_size: int = _key(readers.bound, 0)
    retry_after: int = _key(readers.integer(1), 30)
    pass_headers: tuple[str, ...] = _key(readers.names, ())
    pass_parameters: tuple[str, ...] = _key(readers.names, ())
    pass_options: tuple[str, ...] = _key(readers.names, ())
    processes: Mapping[str, ProcessSettings] = field(default_factory=dict)
    defaults: ProcessSettings = ProcessSettings()
    ssh: Ssh = Ssh()
    inputs: Inputs = Inputs()
    retention: Retention = Retention()
    input_paths: tuple[Path, ...] = ()
    url: str = ""

    def for_process(self, identifier: str) -> ProcessSettings:
        """The settings that hold for the process of this identifier."""
        return self.processes.get(identifier, self.defaults)

    @property
    def dispatcher_lease(self) -> float:
        """Seconds of silence after which a dispatcher counts as dead: longer than the few commands
        that it may have to wait for between two signs of life."""
        return 4 * self.command_timeout

    @property
    def database_url(self) -> str:
        """The job table's SQLAlchemy URL, the default filled in."""
        return self.database or f"sqlite:///{self.spool / 'jobs.sqlite'}"
