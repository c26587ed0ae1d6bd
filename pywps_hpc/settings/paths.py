"""Readers of configuration values that name paths and files, and how paths map to the cluster's."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pywps_hpc.settings.readers import lines, reads, text


@dataclass(frozen=True)
class Bind:
    """A folder or file of the host shown inside the container.

    Attributes:
        source: absolute path on the compute node.
        target: absolute path inside; by default the same.
        writable: whether the process may change it.
    """

    source: Path
    target: Path
    writable: bool = False


@reads("absolute path")
def absolute_path(value: str) -> Path:
    """An absolute path; it may exist on the compute nodes only."""
    path = Path(text(value).strip())
    if not path.is_absolute():
        raise ValueError(f"{value!r} is not an absolute path")
    return path


@reads("absolute paths, one per line")
def paths(value: str) -> tuple[Path, ...]:
    """Absolute paths, one per line."""
    return tuple(absolute_path(line) for line in lines(value))


@reads("absolute path of a folder on this host")
def folder(value: str) -> Path:
    """An absolute path of a folder that exists here."""
    path = absolute_path(value)
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    return path


@reads("absolute path of a file that only this account (or root) can change")
def owned_file(value: str) -> Path:
    """An absolute path of a file that nobody but this account (and root) can change."""
    path = absolute_path(value)
    try:
        facts = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"{path} is not a file")
    if os.geteuid() != 0 and facts.st_uid not in (0, os.geteuid()):
        raise ValueError(f"{path} belongs to another account (number {facts.st_uid})")
    if facts.st_mode & 0o022:
        mode = stat.S_IMODE(facts.st_mode)
        raise ValueError(f"{path} can be changed by others (mode {mode:04o}): chmod go-w {path}")
    return path


@reads("absolute path of a file that only this account (or root) can read")
def private_file(value: str) -> Path:
    """An absolute path of a file that nobody but this account (and root) can read, as a private
    key has to be (ssh(1), FILES)."""
    path = owned_file(value)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ValueError(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")
    return path


@reads("absolute path of a file that only this account (or root) can read")
def private_key(value: str) -> Path:
    """As :func:`private_file`, with a private key in it."""
    path = owned_file(value)
    with path.open("rb") as file:
        begin = file.read(200)
    if re.match(rb"(sk-)?(ssh-|ecdsa-)", begin):
        named = path.with_suffix("") if path.suffix == ".pub" else "the other file of the two"
        raise ValueError(f"{path} is a public key; name the private one: {named}")
    return private_file(value)


#: Bytes of a secret: 128 bits, if each of them is drawn.
_SECRET = 16


@reads("absolute path of a file that only this account (or root) can read")
def secret_file(value: str) -> Path:
    """As :func:`private_file`, with a secret of some length in it."""
    path = private_file(value)
    if path.stat().st_size < _SECRET:
        raise ValueError(
            f"{path} has less than {_SECRET} bytes: openssl rand -hex 32 > {path} makes a secret"
        )
    return path


@reads("`/source[:/target][:ro|rw]`, one per line or separated by commas")
def binds(value: str) -> tuple[Bind, ...]:
    """``/source[:/target][:ro|rw]``, one per line or separated by commas."""
    found = []
    for entry in (part.strip() for line in lines(value) for part in line.split(",")):
        parts = entry.split(":")
        mode = parts.pop() if parts[-1] in ("ro", "rw") else "ro"
        if len(parts) not in (1, 2):
            raise ValueError(f"{entry!r} is not of the form /source[:/target][:ro|rw]")
        paths = [absolute_path(part) for part in parts]
        found.append(Bind(paths[0], paths[-1], mode == "rw"))
    return tuple(found)


@reads("`/here=/there`, one per line")
def path_map(value: str) -> tuple[tuple[Path, Path], ...]:
    """``/here=/there``, one per line; the longest path first."""
    found: dict[Path, Path] = {}
    for line in lines(value):
        here, equals, there = line.partition("=")
        if not equals or not there.strip():
            raise ValueError(f"{line!r} is not of the form /here=/there")
        if (source := absolute_path(here)) in found:
            raise ValueError(f"{source} is mapped twice")
        found[source] = absolute_path(there)
    return tuple(sorted(found.items(), key=lambda pair: len(pair[0].parts), reverse=True))


def map_path(path: Path, mapping: Iterable[tuple[Path, Path]]) -> Path:
    """Where a path of this host is found on another one.

    Args:
        path: absolute.
        mapping: pairs ``(here, there)`` of folders, as :func:`path_map` gives them: the first that
            holds the path counts. A path that none of them holds is the same on both.
    """
    # "/spool/../x" lies in /spool by its letters only.
    plain = Path(os.path.normpath(path))
    for here, there in mapping:
        if plain.is_relative_to(here):
            return there / plain.relative_to(here)
    return path
