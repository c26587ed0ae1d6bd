"""The settings of one installation, and of one process, as frozen objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pywps_hpc.settings import paths, readers
from pywps_hpc.settings.keys import setting
from pywps_hpc.settings.owners import OWNER_PREFIX as OWNER_PREFIX
from pywps_hpc.settings.owners import Owner, owner_command, owners_file
from pywps_hpc.settings.resources import Resources
from pywps_hpc.settings.sections import (
    Callbacks,
    Container,
    Inputs,
    Metrics,
    Notices,
    Retention,
    Ssh,
)
from pywps_hpc.systems import ALIASES, SYSTEMS

SCHEDULERS = ("local", *SYSTEMS, "drmaa")
CHANNELS = ("local", "ssh")
PROCESS_PREFIX = "hpc.process."

#: What PyWPS takes for ``[server] url`` where nothing is set.
PYWPS_URL = "http://localhost/wps"

#: Sections as read from a file: section -> key -> text.
Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class ProcessSettings:
    """What holds for one process: the defaults, with the changes of its own section.

    Attributes:
        resources, container: the sections of these names, with these changes.
    """

    resources: Resources = Resources()
    container: Container = Container()
    max_active: int = setting(
        readers.integer(0), "0", "Jobs of this process that may be active at once; 0: no limit."
    )
    modes: tuple[str, ...] = setting(
        readers.choices("async", "sync"),
        None,
        "How clients may execute it: `async`, `sync`, or both. Where nothing is set, WPS offers "
        "both, and OGC API - Processes `async` alone.",
        unset=(),
    )


@dataclass(frozen=True)
class Settings:
    """``[hpc]``: what holds for the installation as a whole.

    With the other sections in it, the object has all of the settings.

    Attributes:
        processes: settings of processes that have a section of their own.
        defaults: settings of all others.
        owners: what holds for the jobs of owners with a section of their own.
        ssh, inputs, callbacks, notices, retention, metrics: the sections of these names.
        input_paths: folders of ``file://`` inputs (``[server] allowedinputpaths``), read-only.
        url: the WPS endpoint (``[server] url``); empty if none is set.
    """

    spool: Path = setting(
        paths.absolute_path,
        None,
        "Folder on the shared file system, at the same path on every host: one folder in it for "
        "each job. It belongs to the service's account, with mode 0700, and to one job table.",
    )
    scheduler: str = setting(
        readers.choice(*SCHEDULERS, aliases=ALIASES),
        "local",
        "The batch system, used through its own commands; `drmaa`: through its DRMAA library; "
        "`local`: none, jobs run on the dispatcher's host.",
    )
    system: str = setting(
        readers.choice(*SYSTEMS, aliases=ALIASES),
        None,
        "Which batch system the DRMAA library belongs to.",
        unset="",
        required_with=("scheduler", "drmaa"),
    )
    drmaa_library: Path | None = setting(
        paths.absolute_path,
        None,
        "Path of its `libdrmaa.so`.",
        unset=None,
        required_with=("scheduler", "drmaa"),
    )
    channel: str = setting(
        readers.choice(*CHANNELS),
        "local",
        "Where the batch system's commands run: on this host, or over SSH (see `[hpc.ssh]`).",
    )
    database: str = setting(
        readers.database,
        None,
        "The job table; unset: SQLite in the spool, `sqlite:///<spool>/jobs.sqlite`. SQLite needs "
        "a local disk.",
        unset="",
        needed="sites whose spool is on a network file system, and large ones (PostgreSQL)",
    )
    database_timeout: float = setting(
        readers.seconds,
        "15",
        "How long to wait for a database server, and for a lock in it; then clients get HTTP 503.",
    )
    templates: Path | None = setting(
        paths.folder,
        None,
        "Your own copies of files in `job_templates/`: each found here replaces the package's.",
        unset=None,
    )
    allow_root: bool = setting(
        readers.boolean,
        "no",
        "Whether web server, dispatcher and jobs may run as root.",
        needed="containers (Docker) with nothing else in them; only with `scheduler = local`",
    )
    job_prefix: str = setting(
        readers.job_prefix,
        "w",
        "How job names in the queue begin, to tell the services of one account apart.",
    )
    poll_interval: float = setting(
        readers.seconds, "2", "Time between two polls of the batch system while jobs change."
    )
    poll_backoff: float = setting(
        readers.seconds, "10", "Longest time between two polls while nothing changes."
    )
    command_timeout: float = setting(
        readers.seconds,
        "30",
        "After how long a command of the batch system counts as hung. A dispatcher without a "
        "heartbeat for four times as long is replaced by another.",
    )
    command_path: str = setting(
        readers.text,
        "/usr/local/bin:/usr/bin:/bin",
        "`PATH` for the batch system's commands.",
    )
    command_environment: Mapping[str, str] = setting(
        readers.variables,
        None,
        "Environment variables that these commands need (`SLURM_CONF=…`).",
        unset={},
    )
    grace: float = setting(
        readers.seconds,
        "60",
        "How long a job may be missing from the batch system's answers, accounting included, "
        "before it counts as over: by its own documents, or else as lost.",
    )
    submit_timeout: float = setting(
        readers.seconds,
        "3600",
        "How long a job is submitted again that the batch system refuses for a reason not known to "
        "be final. A full queue or a partition under maintenance is waited for without limit.",
    )
    sync_timeout: float = setting(
        readers.seconds, "300", "How long a synchronous Execute waits for its job."
    )
    max_waiting: int = setting(
        readers.integer(0),
        "64",
        "Synchronous Executes that wait at once in one process of the web server; a further client "
        "is told at once where its job's status is. With a WSGI server other than `pywps-hpc "
        "serve`: fewer than the threads of a process.",
    )
    young: float = setting(
        readers.seconds,
        "2",
        "Age up to which GetStatus and GetResult of WPS 2.0 wait for a job's end, so that whoever "
        "asks at once finds the results of a short job. Such a request counts in `max_waiting`.",
    )
    array_size: int = setting(
        readers.integer(1),
        "500",
        "Most jobs to submit as one job array; 1: no arrays. At most the site's own limit less one "
        "(Slurm: `MaxArraySize`; Grid Engine: `max_aj_tasks`; TORQUE: `max_job_array_size`; "
        "OpenPBS: `max_array_size`).",
    )
    slots: int = setting(
        readers.integer(0),
        "0",
        "Processor cores for jobs; 0: all of this host.",
        needed="only with `scheduler = local`",
    )
    max_active: int = setting(
        readers.integer(0), "0", "Jobs that may be accepted and not yet ended; 0: no limit."
    )
    max_active_per_owner: int = setting(
        readers.integer(0),
        "0",
        "The same for one client: an account or, where nobody logs in, an address.",
    )
    max_dump_size: int = setting(
        readers.bound, "0", "Size of one job's dump: its process and all that the client sent."
    )
    max_output_size: int = setting(readers.bound, "0", "Size of one job's outputs.")
    retry_after: int = setting(
        readers.integer(1), "30", "Seconds that a client turned away as busy is told to wait."
    )
    user_header: str = setting(
        readers.header,
        None,
        "Header in which a proxy that authenticates the clients names their account "
        "(`X-Remote-User`). It has to remove that header from what clients send. `REMOTE_USER`, "
        "where a server sets it, comes first.",
        unset="",
        needed="services behind a proxy that authenticates (mod_auth_openidc, oauth2-proxy)",
    )
    trusted_proxies: tuple[str, ...] = setting(
        readers.peers,
        None,
        "From which hosts a connection has to come for `user_header` and `accel_location` to "
        "count; `unix`: any that comes through a Unix socket.",
        unset=(),
        needed="required with `user_header` and `accel_location`",
    )
    accel_location: str = setting(
        readers.location,
        None,
        "Internal location of nginx that shows the spool: nginx sends the files of outputs from "
        "there (`X-Accel-Redirect`) when the service has seen that the client may have them.",
        unset="",
        needed="services behind nginx with large outputs",
    )
    administrators: tuple[str, ...] = setting(
        readers.users,
        None,
        "Accounts to which all jobs are shown, and which may dismiss, pause and remove them.",
        unset=(),
    )
    owners_file: Path | None = setting(
        owners_file,
        None,
        "Owners beside those with a section `[hpc.owner.NAME]`. It is read again when it changes.",
        unset=None,
        needed="sites that charge jobs to the projects of many owners",
    )
    owner_command: Path | None = setting(
        owner_command,
        None,
        "Program that tells of owners who are in none of these: it reads the name on one line, and "
        "writes `KEY = VALUE` lines with the keys of `[hpc.owner.<name>]`, or nothing for one that "
        "it does not know. It has `command_timeout`; its answer is remembered for a minute.",
        unset=None,
        needed="the same, where a directory or database knows the projects",
    )
    require_account: bool = setting(
        readers.boolean,
        "no",
        "Whether only owners for whom an account is told may send jobs.",
        needed="sites where each project has to pay for its own jobs",
    )
    keep_abandoned: bool = setting(
        readers.boolean,
        "no",
        "Whether a synchronous job continues when its client closes the connection before the "
        "end; otherwise it is dismissed.",
    )
    pages: bool = setting(
        readers.boolean,
        "yes",
        "Whether the service has web pages for people, at `ui/` beside the endpoint: forms for its "
        "processes, and the jobs of whoever looks.",
    )
    cors: str = setting(
        readers.choice("off", "*"),
        "off",
        "Whether scripts on web pages of other hosts may use OGC API - Processes: `*` allows all "
        "of them, without the cookies and passwords of this host.",
    )
    log_format: str = setting(
        readers.choice("text", "json"),
        "text",
        "How log lines are written: as text, or as one JSON object each. PyWPS's log file follows "
        "`json`.",
    )
    pass_headers: tuple[str, ...] = setting(
        readers.headers,
        None,
        "Headers of a request that a job may see beside the ordinary ones of HTTP.",
        unset=(),
    )
    pass_parameters: tuple[str, ...] = setting(
        readers.names,
        None,
        "Parameters of a request's query that a job may see beside those of WPS.",
        unset=(),
    )
    pass_options: tuple[str, ...] = setting(
        readers.options,
        None,
        "Options of the service's own sections, each as `section.option`, that a job may see "
        "though they look like a secret.",
        unset=(),
    )
    processes: Mapping[str, ProcessSettings] = field(default_factory=dict)
    defaults: ProcessSettings = ProcessSettings()
    owners: Mapping[str, Owner] = field(default_factory=dict)
    ssh: Ssh = Ssh()
    inputs: Inputs = Inputs()
    callbacks: Callbacks = Callbacks()
    notices: Notices = Notices()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    input_paths: tuple[Path, ...] = ()
    url: str = ""

    def for_process(self, identifier: str) -> ProcessSettings:
        """The settings that hold for the process of this identifier."""
        return self.processes.get(identifier, self.defaults)

    @property
    def dispatcher_lease(self) -> float:
        """Seconds without a heartbeat after which a dispatcher counts as dead: longer than the few
        commands that it may have to wait for between two of them."""
        return 4 * self.command_timeout

    @property
    def database_url(self) -> str:
        """The job table's SQLAlchemy URL, the default filled in."""
        return self.database or f"sqlite:///{self.spool / 'jobs.sqlite'}"


#: Section -> the class with its keys, in the order of the sample configuration.
SECTIONS: Mapping[str, type] = MappingProxyType(
    {
        "hpc": Settings,
        "hpc.ssh": Ssh,
        "hpc.inputs": Inputs,
        "hpc.callbacks": Callbacks,
        "hpc.notices": Notices,
        "hpc.retention": Retention,
        "hpc.metrics": Metrics,
        "hpc.container": Container,
        "hpc.resources": Resources,
    }
)
