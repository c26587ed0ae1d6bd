"""One typed, frozen object for everything an administrator can set.

Our sections live in the service's own PyWPS configuration file: ``[hpc]``, ``[hpc.ssh]``,
``[hpc.container]``, ``[hpc.resources]`` and, for one process, ``[hpc.process.<identifier>]``, which
may hold any key of the two sections before it. A wrong file is refused at start, in one line that
names file, section and key; nothing is guessed.
"""

from __future__ import annotations

import configparser
import difflib
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from joblauncher.inputs.policy import SCHEMES
from joblauncher.shared import account
from pywps_hpc.settings import readers
from pywps_hpc.systems import SYSTEMS, options

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
T = TypeVar("T")


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
    image: Path | None = _key(readers.absolute_path, None)
    python: Path | None = _key(readers.absolute_path, None)
    python_path: tuple[Path, ...] = _key(readers.paths, ())
    binds: tuple[readers.Bind, ...] = _key(readers.binds, ())
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
    key: Path | None = _key(readers.private_file, None)
    known_hosts: Path | None = _key(readers.owned_file, None)
    timeout: float = _key(readers.seconds, 15.0)
    path_map: tuple[tuple[Path, Path], ...] = _key(readers.path_map, ())


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

    spool: Path = _key(readers.absolute_path)
    scheduler: str = _key(readers.choice(*SCHEDULERS), "local")
    system: str = _key(readers.choice(*SYSTEMS), "")
    drmaa_library: Path | None = _key(readers.absolute_path, None)
    channel: str = _key(readers.choice(*CHANNELS), "local")
    database: str = _key(readers.database, "")
    database_timeout: float = _key(readers.seconds, 15.0)
    templates: Path | None = _key(readers.folder, None)
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


def refuse_root(settings: Settings) -> None:
    """See to it that what serves or dispatches is not root: the jobs would be, too.

    Raises:
        SettingsError: with the way out.
    """
    if account.is_root() and not settings.allow_root:
        raise SettingsError(
            "this is root, and so would be every process: start it as the service's account "
            "(User= of a systemd unit; or runuser -u ACCOUNT -- pywps-hpc ...). In a container "
            "that has nothing else in it: [hpc] allow_root = yes"
        )


def refuse_open_spool(settings: Settings) -> None:
    """See to it that the spool is this account's own: whoever can list it knows all jobs, and
    whoever can write to it can put folders of his own in the place of theirs.

    Raises:
        SettingsError: with the way out.
    """
    facts, account_number = settings.spool.stat(), os.geteuid()
    if account_number not in (0, facts.st_uid):
        raise SettingsError(
            f"[hpc] spool: {settings.spool} belongs to another account (number {facts.st_uid}), "
            f"this one is number {account_number}: it has to be the account's own"
        )
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o077 or mode & 0o700 != 0o700:
        raise SettingsError(
            f"[hpc] spool: {settings.spool} has mode {mode:04o}; it has to be open to its account "
            f"and to nobody else: chmod 700 {settings.spool}"
        )


def check_to_run(settings: Settings) -> None:
    """What has to hold where jobs are accepted or run.

    Raises:
        SettingsError: with the way out.
    """
    refuse_root(settings)
    refuse_open_spool(settings)


def _is_required(key: Field[Any]) -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def read_files(files: Iterable[Path]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Read configuration files, later ones winning.

    Returns:
        The sections, and for each ``section/key`` the name of the file that set it.

    Raises:
        SettingsError: a file is missing or not in INI form.
    """
    sections: dict[str, dict[str, str]] = {}
    origin: dict[str, str] = {}
    for file in files:
        # No interpolation: PyWPS expands environment variables when it reads a value, so do we.
        parser = configparser.RawConfigParser(default_section="\0")
        try:
            parser.read_string(file.read_text(encoding="utf-8"), source=str(file))
        except OSError as error:
            raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{file}: {' '.join(str(error).split())}") from None
        for section in parser.sections():
            for key, text in parser.items(section):
                sections.setdefault(section, {})[key] = text
                origin[f"{section}/{key}"] = str(file)
            sections.setdefault(section, {})
    return sections, origin


def load(files: Sequence[Path]) -> Settings:
    """The settings in these files.

    Raises:
        SettingsError: with file, section and key.
    """
    sections, origin = read_files(files)
    name = ", ".join(str(f) for f in files) or "no configuration file given"
    return build(sections, name, origin)


def build(sections: Sections, name: str, origin: Mapping[str, str] | None = None) -> Settings:
    """The settings in these sections.

    Args:
        sections: as :func:`read_files` gives them; sections of others are passed over.
        name: what to call the source in a message.
        origin: file of each ``section/key``, where known.

    Raises:
        SettingsError: with file, section and key.
    """
    reader = _Reader(sections, name, origin or {})
    for section in sections:
        if section.split(".")[0] == "hpc" and not (
            section in SECTIONS or section.startswith(PROCESS_PREFIX)
        ):
            ours = (*SECTIONS, f"{PROCESS_PREFIX}<identifier>")
            raise SettingsError(f"{name}: [{section}]: unknown section; known: {', '.join(ours)}")
    settings: Settings = reader.read(Settings, "hpc")
    defaults = ProcessSettings(
        resources=reader.read(Resources, "hpc.resources"),
        container=reader.read(Container, "hpc.container"),
    )
    processes = {
        section.removeprefix(PROCESS_PREFIX): reader.process(section, defaults)
        for section in sections
        if section.startswith(PROCESS_PREFIX)
    }
    settings = replace(
        settings,
        defaults=defaults,
        ssh=reader.read(Ssh, "hpc.ssh"),
        inputs=reader.read(Inputs, "hpc.inputs"),
        retention=reader.read(Retention, "hpc.retention"),
        processes=MappingProxyType(processes),
        input_paths=reader.paths("server", "allowedinputpaths"),
        url=_url(sections.get("server", {}).get("url", "")),
    )
    reader.check(settings)
    return settings


def _url(text: str) -> str:
    url = os.path.expandvars(text).strip()
    return "" if url == PYWPS_URL else url


class _Reader:
    """Reads dataclasses from sections and knows where every value came from."""

    def __init__(self, sections: Sections, name: str, origin: Mapping[str, str]) -> None:
        self.sections, self.name, self.origin = sections, name, origin

    def fail(self, section: str, key: str, problem: str) -> SettingsError:
        where = self.origin.get(f"{section}/{key}", self.name)
        return SettingsError(f"{where}: [{section}] {key}: {problem}")

    def read(self, cls: type[T], section: str, *, known: Iterable[str] = ()) -> T:
        """Build ``cls`` from a section; keys in ``known`` belong to somebody else."""
        parsers = {f.name: f.metadata["parse"] for f in fields(cls) if "parse" in f.metadata}  # type: ignore[arg-type]
        found = self.values(section, parsers, known)
        for f in fields(cls):  # type: ignore[arg-type]
            if f.name in parsers and f.name not in found and _is_required(f):
                raise self.fail(section, f.name, "is missing")
        return cls(**found)

    def values(
        self, section: str, parsers: Mapping[str, Callable[[str], Any]], known: Iterable[str] = ()
    ) -> dict[str, Any]:
        found = {}
        for key, text in self.sections.get(section, {}).items():
            if key in known:
                continue
            if key not in parsers:
                near = difflib.get_close_matches(key, [*parsers, *known], n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise self.fail(section, key, f"unknown key{hint}")
            try:
                found[key] = parsers[key](os.path.expandvars(text).strip())
            except ValueError as error:
                raise self.fail(section, key, str(error)) from None
        return found

    def process(self, section: str, defaults: ProcessSettings) -> ProcessSettings:
        """``[hpc.process.x]``: the defaults, changed by whatever this section sets."""
        if not section.removeprefix(PROCESS_PREFIX):
            raise SettingsError(f"{self.name}: [{section}]: the process identifier is missing")
        groups = {"resources": Resources, "container": Container}
        parsers = {f.name: f.metadata["parse"] for cls in groups.values() for f in fields(cls)}
        parsers["max_active"] = readers.integer(0)
        found = self.values(section, parsers)
        changed = {
            group: replace(
                getattr(defaults, group),
                **{f.name: found[f.name] for f in fields(cls) if f.name in found},
            )
            for group, cls in groups.items()
        }
        return ProcessSettings(**changed, max_active=found.get("max_active", 0))

    def _check_extra(self, settings: Settings) -> None:
        """Options in the batch system's own words must not contradict our keys."""
        system = settings.system if settings.scheduler == "drmaa" else settings.scheduler
        everyone = {"hpc.resources": settings.defaults} | {
            PROCESS_PREFIX + identifier: own for identifier, own in settings.processes.items()
        }
        for section, own in everyone.items():
            try:
                options.check(system, own.resources.extra, own.resources.gpus)
            except ValueError as error:
                raise self.fail(section, "extra", str(error)) from None

    def paths(self, section: str, key: str) -> tuple[Path, ...]:
        text = os.path.expandvars(self.sections.get(section, {}).get(key, ""))
        try:
            return tuple(readers.absolute_path(p) for p in text.split(os.pathsep) if p.strip())
        except ValueError as error:
            raise self.fail(section, key, str(error)) from None

    def check(self, settings: Settings) -> None:
        """What only the whole can tell."""
        if not settings.spool.is_dir():
            raise self.fail("hpc", "spool", f"{settings.spool} is not a folder")
        for path in settings.input_paths:
            if settings.spool.resolve().is_relative_to(path.resolve()):
                problem = f"{path} holds the spool: clients could read all jobs' folders"
                raise self.fail("server", "allowedinputpaths", problem)
        if settings.allow_root and settings.scheduler != "local":
            raise self.fail("hpc", "allow_root", "is for scheduler = local only")
        if settings.scheduler == "drmaa":
            for key in ("system", "drmaa_library"):
                if not getattr(settings, key):
                    raise self.fail("hpc", key, "is missing (scheduler = drmaa)")
        if settings.channel == "ssh":
            if settings.scheduler in ("local", "drmaa"):
                raise self.fail("hpc", "channel", f"scheduler = {settings.scheduler} knows no ssh")
            for key in ("host", "user", "key", "known_hosts"):
                if not getattr(settings.ssh, key):
                    raise self.fail("hpc.ssh", key, "is missing (channel = ssh)")
        self._check_extra(settings)
        everyone = {"hpc.container": settings.defaults} | {
            PROCESS_PREFIX + identifier: own for identifier, own in settings.processes.items()
        }
        for section, own in everyone.items():
            if own.container.runtime != "none" and own.container.image is None:
                raise self.fail(section, "image", f"is missing (runtime = {own.container.runtime})")
            if own.container.runtime == "none" and settings.ssh.path_map:
                # Only a container can show the cluster's folders under the paths in the request.
                raise self.fail("hpc.ssh", "path_map", f"needs a container ([{section}])")
