"""The configuration files: whether they can be used, and what in them is probably a mistake.

The application may have PyWPS read further files; the dispatcher reads the one that it is given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.settings import ProcessSettings, Sections, Settings, SettingsError, build, read_files
from pywps_hpc.settings.checks import pywps_sections, warnings
from pywps_hpc.settings.keys import Key, keys_of
from pywps_hpc.settings.model import OWNER_PREFIX, PROCESS_PREFIX, SECTIONS
from pywps_hpc.settings.owners import Owner
from pywps_hpc.settings.resources import Resources
from pywps_hpc.settings.sections import Container
from pywps_hpc.timing import TIMING

#: A message of the settings: file, section with or without key, problem.
_MESSAGE = re.compile(
    r"(?:(?P<file>[^\[]*?): )?(?P<subject>\[[^\]]+\](?: \w+)?): (?P<what>.*)", re.S
)
#: Mistakes of one file that are told at once.
_MOST = 50
#: A problem that can follow from another one: a key that is missing since its value was wrong.
_FOLLOWS = re.compile(r"is missing|needs a container|did not|is for scheduler")
#: MiB below which Python and PyWPS alone find no room.
LEAST_MEMORY = 128


@dataclass(frozen=True)
class Configuration:
    """The files as they were read.

    Attributes:
        file: the one that all parts of the service are given.
        sections: as read from it.
        origin: the file of each ``section/key``.
        settings: ours.
    """

    file: Path
    sections: Sections
    origin: Mapping[str, str]
    settings: Settings

    def section_of(self, process: str, *keys: str) -> str:
        """Where one of these keys is set for a process: its own section, or that of all."""
        own = PROCESS_PREFIX + process
        if any(key in self.sections.get(own, {}) for key in keys):
            return own
        return "hpc.container" if keys[0] in keys_of(Container) else "hpc.resources"

    def everyone(self) -> Iterator[tuple[str, ProcessSettings]]:
        """The settings of all processes by name; first, without a name, those of most."""
        yield "", self.settings.defaults
        yield from self.settings.processes.items()


def read(file: Path) -> tuple[Configuration | None, list[Finding]]:
    """The configuration, or else all that keeps it from being used."""
    try:
        sections, origin = read_files([file])
    except SettingsError as problem:
        return None, [of_message(str(problem), "--config")]
    found: list[Finding] = []
    rest = {section: dict(keys) for section, keys in sections.items()}
    while len(found) < _MOST:
        try:
            own = build(rest, str(file), origin)
        except SettingsError as problem:
            finding = of_message(str(problem), str(file))
            # What is taken out may have been the default.
            if finding not in found and not (found and _FOLLOWS.search(finding.what)):
                found.append(finding)
            if not _taken_out(rest, finding.subject):
                break
            continue
        return (None, found) if found else (Configuration(file, sections, origin, own), [])
    return None, found


def _taken_out(sections: dict[str, dict[str, str]], subject: str) -> bool:
    """Leave out what a problem is about, so that the next one shows; whether that is possible."""
    section, _, key = subject.removeprefix("[").partition("]")
    if not key:
        return sections.pop(section, None) is not None
    return sections.get(section, {}).pop(key.strip(), None) is not None


def of_message(message: str, subject: str, remedy: str = "") -> Finding:
    """A message of the settings as a finding.

    Args:
        message: ``file: [section] key: problem``, or any other one.
        subject: of one that names no section.
        remedy: of one that tells none itself.
    """
    match = _MESSAGE.fullmatch(" ".join(message.split()))
    if match is None:
        what, told = _split(message.removeprefix(f"{subject}: "))
        return error(subject, what, told or remedy or _REPAIR)
    about = match["subject"]
    what, told = _split(match["what"])
    finding = error(about, what, told or remedy or _REMEDIES.get(about, "") or _form_of(about))
    return replace(finding, file=match["file"] or "")


_REPAIR = "correct the file; pywps.cfg, which comes with pywps-hpc, is a commented sample"
#: Where in a message the remedy begins.
_SPLIT = re.compile(
    r"(?P<what>.*?)(?:^|; |: |, )(?P<remedy>(?:did you mean|write |leave it out|chmod |set it "
    r"by|known:"
    r"|use |name |install |remove |set |needs? a|openssl )"
    r".*)"
)
#: What to do about keys of PyWPS's, of which the settings do not know how a value is written.
_REMEDIES = {
    "[processing] mode": "set mode = scheduler",
    "[logging] file": "correct the path, or make its folder, writable for the service's account",
    "[server] maxsingleinputsize": "write 20mb or 1gb",
    "[server] maxrequestsize": "write 20mb or 1gb",
    "[logging] level": "set it to DEBUG, INFO, WARNING or ERROR",
    "[hpc.container] image": "build one (pywps-hpc image build) and write its absolute path",
    "[server] allowedinputpaths": "name folders of inputs and of nothing else, by absolute paths",
}


def _split(message: str) -> tuple[str, str]:
    """What is wrong, and what to do, where a message tells both."""
    match = _SPLIT.fullmatch(message)
    if match is None:
        return message, "write '%%'" if "'%%'" in message else ""
    return match["what"] or "cannot be used as it is", match["remedy"]


def _form_of(subject: str) -> str:
    """How the value of a key is written."""
    section, _, name = subject.removeprefix("[").partition("] ")
    key = _key(section, name)
    return f"set it to: {key.read.form}".replace("`", "") if key else "see docs/configuration.md"


def _key(section: str, name: str) -> Key | None:
    kinds = (ProcessSettings, Resources, Container)
    classes = kinds if section.startswith(PROCESS_PREFIX) else (SECTIONS.get(section),)
    classes = (Owner,) if section.startswith(OWNER_PREFIX) else classes
    return next((keys_of(c)[name] for c in classes if c and name in keys_of(c)), None)


def look(known: Configuration) -> Iterator[Finding]:
    """What the files alone tell."""
    own, sections = known.settings, known.sections
    names = ", ".join(sorted({Path(file).name for file in known.origin.values()}))
    count = sum(len(keys) for keys in sections.values())
    yield ok("configuration", f"{count} keys in {len(sections)} sections of {names}")
    for line in warnings.of_sections(sections):
        yield _as(warning, line, "correct the name")
    for line in pywps_sections.problems(sections):
        yield _as(error, line)
    for line in warnings.of_files({known.file}, sections):
        yield _as(warning, line)
    for line in warnings.of_doubled_processes(own):
        yield _as(warning, line, "remove one of them")
    yield from _log_file(sections)
    yield from _ports(own)
    yield from _images(known)
    yield from _variables(sections)
    for process, settings in known.everyone():
        yield from _resources(known, process, settings)
    for who, settings in known.everyone():
        if settings.container.runtime == "none" and own.scheduler != "local":
            section = known.section_of(who, "runtime")
            yield warning(
                f"[{section}] runtime",
                "none: processes run on the nodes without a container, with all rights of the "
                "account",
                "build an image (pywps-hpc image build) and set runtime = apptainer",
            )
    if not own.retention.age and not own.retention.size:
        yield warning(
            "[hpc.retention] age",
            "nothing is ever removed: the spool grows with each job",
            "set age (30d), or size (500G)",
        )
    elif 0 < own.retention.age < TIMING.least_retention:
        yield warning(
            "[hpc.retention] age",
            f"results are removed {own.retention.age / 60:.0f} min after a job's end: clients that "
            "come later find nothing",
            "set it to some days (7d)",
        )
    else:
        yield ok("[hpc.retention]", "ended jobs are removed")


def _as(kind: Callable[[str, str, str], Finding], line: str, remedy: str = "") -> Finding:
    """A line of the settings' own checks: ``subject: what``, with the remedy in it or not."""
    match = _MESSAGE.fullmatch(line)
    subject, what = (match["subject"], match["what"]) if match else line.split(": ", 1)
    what, told = _split(what)
    return kind(subject, what, told or remedy or _REMEDIES.get(subject, "") or _form_of(subject))


def _log_file(sections: Sections) -> Iterator[Finding]:
    file = os.path.expandvars(sections.get("logging", {}).get("file", "")).strip()
    if file and not os.path.isabs(file):
        yield warning(
            "[logging] file",
            f"{file} is relative: it is where the service was started from, or cannot be made "
            "there",
            f"write an absolute path (/var/log/pywps/{Path(file).name})",
        )


def _ports(own: Settings) -> Iterator[Finding]:
    """Two parts that would listen at one address."""
    if own.metrics.web is not None and own.metrics.web == own.metrics.dispatcher:
        yield error(
            "[hpc.metrics] dispatcher",
            "is the address of web, too: only one of them can listen there",
            "give each a port of its own",
        )


def _images(known: Configuration) -> Iterator[Finding]:
    """What this host can tell of an image; compute nodes may have it where this host does not."""
    for process, own in known.everyone():
        image = own.container.image
        if own.container.runtime == "none" or image is None or not image.is_dir():
            continue
        if not any((image / name).exists() for name in ("bin", "usr", ".singularity.d")):
            section = known.section_of(process, "image")
            yield error(
                f"[{section}] image",
                f"{image} is a folder without a system in it",
                "name the .sif file that pywps-hpc image build has made",
            )


def _variables(sections: Sections) -> Iterator[Finding]:
    """Variables that have no value here: their names stand in the value as they are."""
    for section, keys in sections.items():
        if section.split(".")[0] != "hpc" and section not in pywps_sections.PYWPS:
            continue
        for key, text in keys.items():
            for name in re.findall(r"\$\{(\w+)\}", os.path.expandvars(text)):
                yield warning(
                    f"[{section}] {key}",
                    f"the environment variable {name} is not set",
                    f"set {name} where the service is started (Environment= of its systemd unit)",
                )


def _resources(known: Configuration, process: str, own: ProcessSettings) -> Iterator[Finding]:
    """Amounts that are a slip of the pen, whatever the site."""
    need = own.resources
    section = known.section_of(process, "memory")
    if process and not section.endswith(process):
        return
    if need.memory < LEAST_MEMORY:
        yield error(
            f"[{section}] memory",
            f"{known.sections.get(section, {}).get('memory', need.memory)} means {need.memory} "
            "MiB: "
            f"Python and PyWPS alone need about {LEAST_MEMORY} MiB",
            f"write a unit: {need.memory}G",
        )
    section = known.section_of(process, "walltime")
    if need.walltime < TIMING.least_walltime:
        yield warning(
            f"[{section}] walltime",
            f"{need.walltime} s: a job needs some seconds before its process begins",
            "write HH:MM:SS",
        )
