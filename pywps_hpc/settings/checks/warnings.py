"""What is probably a mistake in a configuration that can be used all the same: one line each.

A service may have sections and keys of its own in the file, so only what looks like one of ours or
PyWPS's is told.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pywps_hpc.settings import synonyms
from pywps_hpc.settings.checks.mounts import file_system, is_network
from pywps_hpc.settings.checks.pywps_sections import PYWPS
from pywps_hpc.settings.keys import keys_of
from pywps_hpc.settings.model import (
    OWNER_PREFIX,
    PROCESS_PREFIX,
    PYWPS_URL,
    SECTIONS,
    Sections,
    Settings,
)
from pywps_hpc.systems import CALLED, SYSTEMS

#: How similar a name has to be to be taken for a typing error (difflib, ratio).
SIMILARITY = 0.85
_SECRET = re.compile(r"passw(or)?d|secret|token|webhook|credential|(api|access|private)_?key", re.I)


def of_sections(sections: Sections) -> Iterator[str]:
    """Sections and keys that look like misspelt ones.

    Args:
        sections: of all files together, ours included, which have been read already.
    """
    for section, keys in sections.items():
        if section in PYWPS:
            for key in keys:
                near = _similar(key, PYWPS[section], 0.8)
                if key not in PYWPS[section] and near:
                    yield f"[{section}] {key}: unknown key; did you mean {near}?"
        elif section == "DEFAULT":
            yield "[DEFAULT]: does not hold for pywps-hpc; write its keys into the sections"
        elif section.split(".")[0] != "hpc" and (near := _similar_section(section, keys)):
            yield f"[{section}]: unknown section; did you mean [{near}]?"


def of_doubled_processes(settings: Settings) -> Iterator[str]:
    """Sections of processes that differ in their letters' case or in blanks alone: one of them is
    of no process."""
    seen: dict[str, str] = {}
    for name in settings.processes:
        other = seen.setdefault("".join(name.split()).lower(), name)
        if other != name:
            sections = f"[{PROCESS_PREFIX}{other}] and [{PROCESS_PREFIX}{name}]"
            yield f"[{PROCESS_PREFIX}{name}]: {sections} differ in case or blanks only: one counts"


def section_meant(section: str) -> str:
    """Which section of ours was probably meant by one of another name; empty: none.

    Args:
        section: as it is written.
    """
    if surely := section_spelt(section):
        return surely
    first, *rest = re.split(r"[\s:./-]+", section.strip())
    if first.lower() != "hpc" or not rest:
        return ""
    kind, name = rest[0].lower(), ".".join(rest[1:])
    for prefix in (PROCESS_PREFIX, OWNER_PREFIX):
        own = prefix.split(".")[1]
        if kind in (own, own + "s", own + "es") and name:
            return prefix + name
    return _similar(".".join(("hpc", *rest)).lower(), SECTIONS, 0.8)


def section_spelt(section: str) -> str:
    """Which section of ours this is but for capital letters, blanks and signs between its words;
    empty: none of those with fixed names."""
    plain = ".".join(re.split(r"[\s:./-]+", section.strip())).lower()
    return plain if plain in SECTIONS else ""


#: Programs after which a section of ours may have been called.
_PROGRAMS = {
    **dict.fromkeys((*SYSTEMS, *CALLED), "hpc.resources"),
    **dict.fromkeys(("apptainer", "singularity"), "hpc.container"),
}


def _similar_section(section: str, keys: Collection[str]) -> str:
    if meant := section_meant(section):
        return meant
    first, dot, rest = section.strip().lower().partition(".")
    if sorted(first) == sorted("hpc"):
        known = "hpc" + dot + rest
        return (
            known
            if known.startswith((PROCESS_PREFIX, OWNER_PREFIX))
            else _similar(known, SECTIONS, 0.6) or "hpc"
        )
    for prefix in (PROCESS_PREFIX, OWNER_PREFIX):
        if f"hpc.{section.lower()}".startswith(prefix):
            return f"hpc.{section}"
    # A service may have a section of such a name itself, with keys of its own.
    ours = _PROGRAMS.get(section.lower(), f"hpc.{section.lower()}")
    if ours in SECTIONS and any(synonyms.key_named(key, keys_of(SECTIONS[ours])) for key in keys):
        return ours
    return _similar(section.lower(), [*SECTIONS, *PYWPS])


def _similar(name: str, known: Collection[str], ratio: float = SIMILARITY) -> str:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=ratio)), "")


def of_processes(settings: Settings, identifiers: Collection[str]) -> Iterator[str]:
    """Sections for processes that the service does not have.

    Args:
        identifiers: of those it has.
    """
    for identifier in settings.processes:
        if identifier not in identifiers:
            near = _similar(identifier, identifiers, 0.6)
            hint = f"; did you mean [{PROCESS_PREFIX}{near}]?" if near else ""
            yield f"[{PROCESS_PREFIX}{identifier}]: the service has no such process{hint}"


def of_files(files: Iterable[Path], sections: Sections) -> Iterator[str]:
    """Configuration files that everybody on this host can write, or read although a secret is in
    them.

    Args:
        files: that the sections are from.
    """
    found = next(iter(_secrets(sections)), "")
    for file in files:
        try:
            mode = file.stat().st_mode
        except OSError:
            continue
        if found and mode & stat.S_IROTH:
            yield f"{file}: everybody can read it, and {found} is in it: chmod o= {file}"
        elif mode & stat.S_IWOTH:
            yield f"{file}: everybody can write it, and so choose what runs: chmod o-w {file}"


def _secrets(sections: Sections) -> Iterator[str]:
    """Names of the keys whose values are secrets. One that only names a variable has none."""
    for section, keys in sections.items():
        for key, text in keys.items():
            value = re.sub(r"\$(\w+|\{\w+\})", "", text).strip()
            address = re.search(r"://[^/@\s]*:([^/@\s]+)@", value)
            if (address and address[1]) or (value and _SECRET.search(key)):
                yield f"[{section}] {key}"


def of_url(url: str) -> Iterator[str]:
    """An endpoint whose links clients cannot follow.

    Args:
        url: ``[server] url`` as it is used.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if url == PYWPS_URL or not url:
        yield "[server] url: is not set: clients are given links to http://localhost"
    elif re.search(r"\s", url):
        yield f"[server] url: {url!r} has white space in it: clients cannot follow links to it"
    elif "://" in url and not url.startswith(("http://", "https://")):
        yield f"[server] url: {url} begins neither with http:// nor with https://"
    elif not host or urlsplit(url).scheme not in ("http", "https"):
        yield f"[server] url: {url} names no host: clients cannot follow links to their results"
    elif problem := _authority(url):
        yield f"[server] url: {problem}"
    elif host in ("0.0.0.0", "::"):
        yield f"[server] url: {url} is not a host: clients cannot follow links to it"
    elif "?" in url or "#" in url:
        yield f"[server] url: {url} has more than a path in it"


def _authority(url: str) -> str:
    """What is wrong with account, host and port of an address; empty: nothing."""
    parts = urlsplit(url)
    if parts.username is not None:
        return "has an account in it, which every client would be given"
    host = parts.netloc.rpartition("@")[2]
    if host.count(":") > 1 and not host.startswith("["):
        return f"{host} is an IPv6 address without brackets: [2001:db8::1]"
    try:
        port = parts.port
    except ValueError:
        port = 0
    return f"{host} has no number from 1 to 65535 as its port" if port == 0 else ""


def of_database(settings: Settings) -> Iterator[str]:
    """A SQLite table on a network file system."""
    url = settings.database_url
    if not url.startswith("sqlite:///"):
        return
    path = Path(url.removeprefix("sqlite:///").partition("?")[0])
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    place, kind = file_system(Path(os.path.realpath(path.parent)), mounts)
    if is_network(kind):
        yield (
            f"[hpc] database: SQLite in {path.parent}, a network file system ({kind} at {place}), "
            "cannot rely on its locks: set database to a file on a local disk, or to PostgreSQL"
        )
