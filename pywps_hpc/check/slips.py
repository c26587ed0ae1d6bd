"""Values that can be read and were meant otherwise."""

from __future__ import annotations

import os
import platform
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from pywps_hpc.check import unused
from pywps_hpc.check.configuration import LEAST_MEMORY, Configuration
from pywps_hpc.check.findings import Finding, error, warning
from pywps_hpc.settings import Settings
from pywps_hpc.settings.ini import QUOTES
from pywps_hpc.settings.model import OWNER_PREFIX

#: Bytes below which a size lacks its unit.
LEAST_SIZE = 1024
#: The same of a job's dump.
LEAST_DUMP = 32 * 1024
#: How the file of an image begins: SIF (behind a line for the shell), SquashFS.
_IMAGES = re.compile(rb"hsqs|.{32}SIF_MAGIC|.{1080}\x53\xef", re.DOTALL)

#: Architecture in the header of a SIF (github.com/apptainer/sif) -> as uname(1) has it.
_MACHINES = {"02": "x86_64", "04": "aarch64", "05": "ppc64", "06": "ppc64le", "11": "s390x"}


def look(known: Configuration, offline: bool) -> Iterator[Finding]:
    """All of them.

    Args:
        offline: whether nobody will look for the commands themselves, and start the image.
    """
    yield from _texts(known)
    yield from _sizes(known)
    yield from unused.look(known)
    yield from _addresses(known)
    yield from _commands(known.settings) if offline else ()
    yield from _places(known)
    yield from _images(known) if offline else ()
    yield from _rights(known)


def _texts(known: Configuration) -> Iterator[Finding]:
    """Quotes and comments that are part of a value."""
    for section, keys in known.sections.items():
        if section.split(".")[0] not in ("hpc", "server", "processing"):
            continue
        for key, text in keys.items():
            subject, value = f"[{section}] {key}", text.strip()
            if comment := re.search(r"\s[#;]\s.*", value):
                yield warning(
                    subject,
                    f"{comment.group().strip()!r} is part of the value",
                    "write a comment on a line of its own",
                )
            elif re.search(QUOTES, value) or (
                section in ("server", "hpc") and re.fullmatch("([\"']).*\\1", value)
            ):
                yield error(subject, f"{value}: the quotes are part of it", "write it without them")


def _sizes(known: Configuration) -> Iterator[Finding]:
    """Amounts without their unit."""
    own = known.settings
    for section, key, number in (
        ("hpc", "max_output_size", own.max_output_size),
        ("hpc.inputs", "max_bytes", own.inputs.max_bytes),
        ("hpc.inputs", "max_bytes_per_job", own.inputs.max_bytes_per_job),
        ("hpc.retention", "size", own.retention.size),
    ):
        if 0 < number < LEAST_SIZE:
            what = f"{number} means {number} bytes"
            yield warning(f"[{section}] {key}", what, f"write a unit: {number}G")
    if 0 < own.max_dump_size < LEAST_DUMP:
        yield warning(
            "[hpc] max_dump_size",
            f"{own.max_dump_size} bytes: hardly a process and its request are that small",
            "write more, with a unit: 100M",
        )
    for process, settings in known.everyone():
        allowed = settings.resources.client_memory
        section = known.section_of(process, "client_memory")
        if allowed and allowed[0] < LEAST_MEMORY and (not process or section.endswith(process)):
            yield warning(
                f"[{section}] client_memory",
                f"{allowed[0]} MiB are permitted: Python and PyWPS alone need about {LEAST_MEMORY}",
                "write units: 1G..16G",
            )
    for name, owner in own.owners.items():
        if 0 < owner.max_memory < LEAST_MEMORY:
            yield warning(
                f"[{OWNER_PREFIX}{name}] max_memory",
                f"{owner.max_memory} means {owner.max_memory} MiB: no job of this owner can run",
                f"write a unit: {owner.max_memory}G",
            )


def _addresses(known: Configuration) -> Iterator[Finding]:
    """Addresses to listen on that are none of this host."""
    for key in ("web", "dispatcher"):
        address = getattr(known.settings.metrics, key)
        if address is None:
            continue
        try:
            kind = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            with socket.socket(kind, socket.SOCK_STREAM) as probe:
                probe.bind((address[0], 0))
        except OSError as problem:
            yield warning(
                f"[hpc.metrics] {key}",
                f"nothing can listen on {address[0]} here: {problem.strerror or problem}",
                "name an address of the host on which that part runs, or 0.0.0.0",
            )


def _commands(own: Settings) -> Iterator[Finding]:
    """Where the batch system's commands cannot be."""
    for place in own.command_path.split(os.pathsep) if own.channel == "local" else ():
        if place and not os.path.isabs(place):
            what = f"{place} is relative: it would be where the dispatcher is started from"
            yield warning("[hpc] command_path", what, "write an absolute path")
        elif place and not Path(place).is_dir():
            what = f"{place} is not a folder on this host"
            yield warning("[hpc] command_path", what, "correct it: folders, with ':' between")


def _places(known: Configuration) -> Iterator[Finding]:
    """Paths that are something else than they should be, as far as this host sees them."""
    for process, settings in known.everyone():
        container = settings.container
        for place in container.python_path:
            if place.is_file() and place.suffix not in (".zip", ".egg", ".whl"):
                yield error(
                    f"[{known.section_of(process, 'python_path')}] python_path",
                    f"{place} is a file",
                    "name the folder that has it",
                )
        for option in container.options:
            if not option.startswith("-"):
                yield error(
                    f"[{known.section_of(process, 'options')}] options",
                    f"{option}: no option: the runtime would take it for the image",
                    "write one a line, from a '-' on",
                )
            elif re.match(r"--?[\w-]+\s+\S", option):
                yield error(
                    f"[{known.section_of(process, 'options')}] options",
                    f"{option}: the runtime would take the line for one option",
                    "write one a line, and a value of it behind a =",
                )


def _images(known: Configuration) -> Iterator[Finding]:
    """Files that are no images; one that this host cannot read, the nodes may be able to."""
    for process, settings in known.everyone():
        image = settings.container.image
        if settings.container.runtime == "none" or image is None or not image.is_file():
            continue
        try:
            with image.open("rb") as file:
                begin = file.read(2048)
        except OSError:
            continue
        if not _IMAGES.match(begin):
            yield error(
                f"[{known.section_of(process, 'image')}] image",
                f"{image} does not begin as an image does ({len(begin) or 'no'} bytes were read)",
                "name the .sif file that pywps-hpc image build has made",
            )
        elif (machine := _machine(begin)) and machine != platform.machine():
            yield warning(
                f"[{known.section_of(process, 'image')}] image",
                f"{image} is for {machine}, and this host is {platform.machine()}",
                "build it on a machine of the nodes' architecture",
            )


def _machine(begin: bytes) -> str:
    """For which processors an image in SIF is; empty: it does not tell."""
    match = re.match(rb".{32}SIF_MAGIC\0.{3}(\d\d)\0", begin, re.DOTALL)
    return _MACHINES.get(match[1].decode(), "") if match else ""


def _rights(known: Configuration) -> Iterator[Finding]:
    """What decides who pays, and what runs, and can be written by everybody."""
    own = known.settings
    for key in ("owners_file", "owner_command", "templates"):
        path: Path | None = getattr(own, key)
        try:
            if path is None or not path.stat().st_mode & stat.S_IWOTH:
                continue
        except OSError:
            continue
        what = f"{path} can be written by everybody"
        yield warning(f"[hpc] {key}", what, f"chmod o-w {path}")
