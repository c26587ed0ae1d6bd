"""The sections of the configuration beside ``[hpc]`` itself, as frozen objects.

A field that an administrator can set carries how it is read, its default as it would be written,
and its help. :mod:`~pywps_hpc.settings.reference` makes ``docs/configuration.md`` from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from joblauncher.inputs.policy import SCHEMES
from pywps_hpc.settings import paths, readers
from pywps_hpc.settings.keys import setting

RUNTIMES = ("apptainer", "singularity", "none")


@dataclass(frozen=True)
class Container:
    """``[hpc.container]``: where the process runs."""

    runtime: str = setting(
        readers.choice(*RUNTIMES),
        "apptainer",
        "Container runtime on the compute nodes; `none` for sites that trust every process.",
    )
    image: Path | None = setting(
        paths.absolute_path,
        None,
        "The image, a SIF file or a sandbox folder, on the compute nodes.",
        unset=None,
        needed="required unless `runtime = none`",
    )
    python: Path | None = setting(
        paths.absolute_path,
        None,
        "Interpreter that has `joblauncher` and the service's packages: in the image, or on the "
        "node with `runtime = none` (default there: the dispatcher's own).",
        unset=None,
    )
    python_path: tuple[Path, ...] = setting(
        paths.paths,
        None,
        "Folders on the shared file system with the service's own modules, shown read-only. "
        "Better: install the modules in the image.",
        unset=(),
        needed="services whose modules are not in the image",
    )
    binds: tuple[paths.Bind, ...] = setting(
        paths.binds,
        None,
        "Folders and files of the node to show in the container; read-only (`ro`) unless `rw`.",
        unset=(),
    )
    environment: Mapping[str, str] = setting(
        readers.variables,
        None,
        "Environment variables of the job. Nothing of the server's environment reaches it.",
        unset={},
    )
    network: bool = setting(
        readers.boolean,
        "no",
        "Whether the process may use the network.",
        needed="jobs that fetch inputs themselves (`fetch = node`)",
    )
    options: tuple[str, ...] = setting(
        readers.lines, None, "Further options of the runtime's `exec`.", unset=()
    )
    gpu_support: str = setting(
        readers.choice("nv", "rocm"),
        "nv",
        "Which driver's libraries the container of a job with GPUs is shown: `nv` (NVIDIA, option "
        "`--nv` of the runtime) or `rocm` (AMD, `--rocm`).",
    )
    warm: bool | None = setting(
        readers.boolean,
        None,
        "Whether jobs start as forks of a process that has imported the service's modules. Unset: "
        "with `scheduler = local` only. On a cluster `yes` has jobs run in *pilots*: batch jobs "
        "that take one job after the other.",
        unset=None,
        needed="short jobs whose imports take long, on a cluster",
    )
    pilots: int = setting(
        readers.integer(1), "4", "Pilots with the same settings that may wait or run at once."
    )
    pilot_slots: int = setting(
        readers.integer(1),
        "1",
        "Jobs that one pilot runs at once. It asks for the processors and memory of one job so "
        "many times, and 512 MiB for the modules.",
    )
    pilot_jobs: int = setting(readers.integer(1), "1000", "Jobs after which a pilot ends.")
    pilot_idle: float = setting(
        readers.seconds, "300", "Time without a job after which a pilot ends."
    )
    pilot_walltime: int = setting(
        readers.walltime,
        None,
        "Time limit of a pilot, which takes a job only while there is enough of it left for the "
        "job's `walltime`. Unset: twice that and 30 minutes.",
        unset=0,
    )


@dataclass(frozen=True)
class Ssh:
    """``[hpc.ssh]``: the login host on which the batch system's commands run."""

    host: str = setting(
        readers.host,
        None,
        "Its name or address, as in `known_hosts`.",
        unset="",
        required_with=("channel", "ssh"),
    )
    port: int = setting(readers.port, "22", "TCP port of its SSH server.")
    user: str = setting(
        readers.word,
        None,
        "The account there; on the shared file system the same as this service's.",
        unset="",
        required_with=("channel", "ssh"),
    )
    key: Path | None = setting(
        paths.private_key,
        None,
        "Private key without a passphrase.",
        unset=None,
        required_with=("channel", "ssh"),
    )
    known_hosts: Path | None = setting(
        paths.owned_file,
        None,
        "The host's public keys (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT); no other key is accepted.",
        unset=None,
        required_with=("channel", "ssh"),
    )
    timeout: float = setting(
        readers.seconds,
        "15",
        "How long to wait for a connection, or for an answer on it, before it is given up.",
    )
    path_map: tuple[tuple[Path, Path], ...] = setting(
        paths.path_map,
        None,
        "Where the cluster has folders of this host; all others have the same path there.",
        unset=(),
        needed="clusters that mount the file system elsewhere; with a container only",
    )


@dataclass(frozen=True)
class Inputs:
    """``[hpc.inputs]``: inputs that a client gives by reference, and how many it may give."""

    fetch: str = setting(
        readers.choice("node", "server"),
        "node",
        "Who fetches them: `node`, the job itself when its process asks for the content, or "
        "`server`, the dispatcher before it submits the job.",
    )
    schemes: tuple[str, ...] = setting(
        readers.choices(*SCHEMES),
        ", ".join(SCHEMES),
        "Schemes of URLs; `file` means files in `[server] allowedinputpaths`.",
    )
    allowed_networks: tuple[str, ...] = setting(
        readers.networks,
        None,
        "Hosts and networks that inputs may come from besides public addresses.",
        unset=(),
        needed="services whose inputs are on the site's own hosts, or are outputs of this service",
    )
    blocked_networks: tuple[str, ...] = setting(
        readers.networks,
        None,
        "Public addresses that inputs must not come from: the site's own. This service's host "
        "is always among them. What `allowed_networks` names is not blocked.",
        unset=(),
        needed="sites with hosts on public addresses",
    )
    max_bytes: int = setting(
        readers.size, "2G", "Size of one input; `[server] maxsingleinputsize` counts, too."
    )
    timeout: float = setting(
        readers.seconds, "30", "Time for a connection, and for the next bytes on it."
    )
    total_timeout: float = setting(readers.seconds, "1800", "Time for one input.")
    max_bytes_per_job: int = setting(readers.bound, "50G", "Size of all inputs of a job together.")
    total_timeout_per_job: float = setting(
        readers.seconds, "3600", "Time for all inputs of a job together."
    )
    min_rate: int = setting(
        readers.bound, "1K", "Bytes per second at least; a slower server is given up."
    )
    redirects: int = setting(readers.integer(0), "5", "Most redirects to follow.")
    proxy: str = setting(
        readers.proxy, None, "HTTP proxy. That of the environment is not used.", unset=""
    )
    downloads: int = setting(
        readers.integer(1),
        "8",
        "Jobs for which the dispatcher fetches inputs at once. Clients take turns: none has two "
        "jobs more there than another client that waits.",
        needed="only with `fetch = server`",
    )
    max_inputs: int = setting(readers.integer(1), "1000", "How many inputs one request may have.")


@dataclass(frozen=True)
class Callbacks:
    """``[hpc.callbacks]``: who may be told of a job by a message of this service."""

    hosts: tuple[str, ...] = setting(
        readers.receivers,
        None,
        "Host names, and networks of addresses, that messages may be sent to; `*`: all that are "
        "public. Unset: nobody is called back, and a request with a `subscriber` is refused.",
        unset=(),
        needed="services whose clients want to be called back",
    )
    secret: Path | None = setting(
        paths.secret_file,
        None,
        "File with the secret, at least 16 bytes, by which each message is signed.",
        unset=None,
        needed="required with `hosts`",
    )


@dataclass(frozen=True)
class Notices:
    """``[hpc.notices]``: what the service's administrators are told, and how. There is one message
    a minute at most."""

    events: tuple[str, ...] = setting(
        readers.choices("failed", "ended", "unreachable"),
        "failed, unreachable",
        "What they are told of: jobs that failed; all jobs that ended, dismissed ones too; that "
        "the batch system has not answered for a minute, and when it answers again.",
    )
    webhook: str = setting(
        readers.http_address,
        None,
        "Address to which a message is sent as JSON (`text`, `notices`), by POST, signed as those "
        "of `[hpc.callbacks]` if there is a `secret`.",
        unset="",
        needed="sites that have a chat or an alert manager",
    )
    mail: tuple[str, ...] = setting(
        readers.mail_addresses, None, "Addresses to which it is sent as mail.", unset=()
    )
    smtp: tuple[str, int] = setting(
        readers.listening, "localhost:25", "Host and port of the server that takes the mail."
    )
    sender: str = setting(
        readers.mail_address, None, "The sender's address; unset: `pywps-hpc@` this host.", unset=""
    )


@dataclass(frozen=True)
class Retention:
    """``[hpc.retention]``: how long what is left of ended jobs is kept."""

    age: float = setting(readers.duration, "0", "Time since a job's end.")
    size: int = setting(
        readers.bound,
        "0",
        "Size of the folders of all ended jobs together; those that ended first are removed first.",
    )


@dataclass(frozen=True)
class Metrics:
    """``[hpc.metrics]``: where Prometheus asks what the service does."""

    web: tuple[str, int] | None = setting(
        readers.listening,
        None,
        "Address at which `pywps-hpc web` answers scrapes (`/metrics`), for all of its workers.",
        unset=None,
        needed="sites that watch the service",
    )
    dispatcher: tuple[str, int] | None = setting(
        readers.listening,
        None,
        "The same of the dispatcher, which also tells there whether it is well (`/health/live`, "
        "`/health/ready`).",
        unset=None,
        needed="sites that watch the service",
    )
