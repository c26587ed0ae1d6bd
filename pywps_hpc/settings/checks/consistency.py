"""What only the whole of the settings can tell: keys that are missing, or contradict each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pywps_hpc.settings.keys import keys_of
from pywps_hpc.settings.model import OWNER_PREFIX, PROCESS_PREFIX, ProcessSettings, Settings
from pywps_hpc.settings.sections import Ssh
from pywps_hpc.systems import options
from pywps_hpc.timing import TIMING

#: Section, key, and what is wrong with it.
Problem = tuple[str, str, str]


def problems(settings: Settings) -> Iterator[Problem]:
    """What makes these settings unusable, wherever they are to be used."""
    yield from _folders(settings)
    if settings.allow_root and settings.scheduler != "local":
        yield "hpc", "allow_root", "is for scheduler = local only"
    if settings.channel == "ssh" and settings.scheduler in ("local", "drmaa"):
        problem = f"scheduler = {settings.scheduler} does not support channel = ssh"
        yield "hpc", "channel", problem
    if settings.user_header and not settings.trusted_proxies:
        problem = "is missing (user_header is set): name the proxies that may send that header"
        yield "hpc", "trusted_proxies", problem
    if settings.accel_location and not settings.trusted_proxies:
        problem = "is missing (accel_location is set): name the address from which nginx connects"
        yield "hpc", "trusted_proxies", problem
    if settings.callbacks.hosts and settings.callbacks.secret is None:
        problem = "is missing (hosts is set): name a file with a secret, which signs the messages"
        yield "hpc.callbacks", "secret", problem
    yield from _missing("hpc", settings, settings)
    yield from _missing("hpc.ssh", settings.ssh, settings)
    yield from _extra(settings)
    yield from _nodes(settings)
    yield from _amounts(settings)
    yield from _owners(settings)
    yield from _containers(settings)
    yield from _pilots(settings)


def _folders(settings: Settings) -> Iterator[Problem]:
    if not settings.spool.is_dir():
        yield "hpc", "spool", _no_folder(settings.spool)
    for path in settings.input_paths:
        if settings.spool.resolve().is_relative_to(path.resolve()):
            problem = f"{path} holds the spool: clients could read all jobs' folders"
            yield "server", "allowedinputpaths", problem


def _no_folder(path: Path) -> str:
    """What is there instead of a folder, and what to do."""
    if path.is_symlink():
        target = os.readlink(path)
        return f"{path} is a symbolic link to {target}, which is no folder; set it to another path"
    if path.exists():
        return f"{path} is not a folder, but a file; name a folder"
    if comment := re.search(r"\s+[#;].*", str(path)):
        told = "write a comment on a line of its own"
        return f"{path} is not a folder: {comment[0].strip()!r} is part of the value; {told}"
    return f"{path} is not a folder: install -d -m 700 {path}"


def _missing(section: str, own: Settings | Ssh, settings: Settings) -> Iterator[Problem]:
    """Keys of a section that the value of another key makes necessary."""
    for name, key in keys_of(type(own)).items():
        if key.required_with is not None and not getattr(own, name):
            other, value = key.required_with
            if getattr(settings, other) == value:
                yield section, name, f"is missing ({other} = {value})"


def _system(settings: Settings) -> str:
    return settings.system if settings.scheduler == "drmaa" else settings.scheduler


def _amounts(settings: Settings) -> Iterator[Problem]:
    """Rules have a bound, and the batch system supports what is set."""
    system = _system(settings)
    for section, own in _everyone(settings, "hpc.resources").items():
        need = own.resources
        for key in ("memory", "walltime"):
            most, least = getattr(need, f"max_{key}"), getattr(need, key)
            if not getattr(need, f"{key}_per_input"):
                continue
            if not most:
                yield section, key, f"a rule needs a bound; set max_{key}"
            elif least > most:
                yield section, f"max_{key}", f"is less than {key} for no input; set it higher"
        for field, key in (("gpu_type", "gpus"), *((k, k) for k in _OF_SOME_SYSTEMS)):
            if not getattr(need, field):
                continue
            if remedy := options.unsupported(system, field):
                yield section, key, f"is not supported: {remedy}"
            if option := options.duplicate_option(system, need.extra, field):
                yield section, "extra", f"{option}: {options.use_key(key)}, which is set, alone"


def _owners(settings: Settings) -> Iterator[Problem]:
    """What holds for owners must not be undone by an option of the administrator's."""
    told = settings.owners or settings.owners_file or settings.owner_command
    if settings.require_account and not told:
        problem = "nobody could send a job; set owners_file or owner_command, or sections"
        yield "hpc", "require_account", f"{problem} [{OWNER_PREFIX}NAME]"
    for name, owner in settings.owners.items():
        if owner.qos and (remedy := options.unsupported(_system(settings), "qos")):
            yield OWNER_PREFIX + name, "qos", f"is not supported: {remedy}"
    for section, own in _everyone(settings, "hpc.resources").items() if told else ():
        if option := options.duplicate_option(_system(settings), own.resources.extra, "qos"):
            problem = f"{option}: it would hold for every owner; {options.use_key('qos')}"
            yield section, "extra", problem


#: Keys that not every batch system supports.
_OF_SOME_SYSTEMS = ("qos", "reservation", "licenses")


def _extra(settings: Settings) -> Iterator[Problem]:
    """The batch system's own options must not contradict our keys."""
    system = _system(settings)
    for section, own in _everyone(settings, "hpc.resources").items():
        try:
            options.check(system, own.resources.extra, own.resources.gpus)
        except ValueError as error:
            yield section, "extra", str(error)


def _nodes(settings: Settings) -> Iterator[Problem]:
    """Jobs of several tasks: they are spread evenly, and over nodes of a cluster."""
    told: set[object] = set()
    for section, own in _everyone(settings, "hpc.resources").items():
        need = own.resources
        facts = (need.nodes, need.tasks, own.container.runtime, own.container.network)
        if facts in told:
            continue  # what a process has of the settings for all
        told.add(facts)
        if need.tasks and need.tasks % need.nodes:
            problem = f"{need.tasks} is not a multiple of nodes ({need.nodes})"
            yield section, "tasks", f"{problem}; set tasks to the same number for each node"
        if need.nodes > 1 and settings.scheduler == "local":
            yield section, "nodes", f"{need.nodes}: scheduler = local has one node; set nodes = 1"
        if need.nodes > 1 and own.container.runtime != "none" and not own.container.network:
            where = section.replace("hpc.resources", "hpc.container")
            problem = "the ranks of a job have to reach each other by the network (nodes > 1)"
            yield where, "network", f"{problem}; set network = yes"
        if need.parallel_environment and any(line.startswith("-pe") for line in need.extra):
            yield section, "extra", "-pe: set it by the key parallel_environment"


def _containers(settings: Settings) -> Iterator[Problem]:
    for section, own in _everyone(settings, "hpc.container").items():
        if own.container.runtime != "none" and own.container.image is None:
            yield section, "image", f"is missing (runtime = {own.container.runtime})"
        if own.container.runtime == "none" and settings.ssh.path_map:
            # Only a container can show the cluster's folders under the paths in the request.
            yield "hpc.ssh", "path_map", f"needs a container ([{section}])"


def _pilots(settings: Settings) -> Iterator[Problem]:
    """Warm starts on a cluster."""
    if settings.scheduler == "local":
        return
    for section, own in _everyone(settings, "hpc.container").items():
        if not own.container.warm:
            continue
        if own.container.runtime == "none":
            problem = "warm starts on a cluster need a container, which keeps jobs apart"
            yield section, "warm", f"{problem}: set runtime, or warm = no"
        reserve = int(TIMING.pilot_reserve)
        least = own.resources.walltime + reserve
        if 0 < own.container.pilot_walltime < least:
            problem = f"is too short for a job: walltime and {reserve} s make {least} s"
            yield section, "pilot_walltime", problem


def _everyone(settings: Settings, section: str) -> Mapping[str, ProcessSettings]:
    """The settings of all processes by the section that sets them; first those of most."""
    own = {PROCESS_PREFIX + name: process for name, process in settings.processes.items()}
    return {section: settings.defaults} | own
