"""Configuration files: read, merged, and made into the settings.

A wrong file is refused in one line that names file, section and key; nothing is guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pywps_hpc.errors import SettingsError
from pywps_hpc.settings import ini, paths, synonyms
from pywps_hpc.settings.checks import consistency, host, pywps_sections, warnings
from pywps_hpc.settings.keys import Key, Split, keys_of, required
from pywps_hpc.settings.model import (
    OWNER_PREFIX,
    PROCESS_PREFIX,
    PYWPS_URL,
    SECTIONS,
    ProcessSettings,
    Sections,
    Settings,
)
from pywps_hpc.settings.owners import Owner
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

T = TypeVar("T")
#: What files say: their sections, and for each ``section/key`` the name of the file that set it.
Read = tuple[dict[str, dict[str, str]], dict[str, str]]


def read_files(files: Iterable[Path]) -> Read:
    """Read configuration files, later ones winning.

    Raises:
        SettingsError: a file is missing or not in INI form.
    """
    sections: dict[str, dict[str, str]] = {}
    origin: dict[str, str] = {}
    for file in files:
        try:
            parser = ini.parsed(file)
        except OSError as error:
            raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise SettingsError(f"{file}: {error}") from None
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


def load_to_run(config: Path, read: Read | None = None) -> Settings:
    """The settings for a part of the service, if it can run with them here.

    Args:
        read: what the file said when it was read, if that counts and not what it says now.

    Raises:
        SettingsError: it cannot.
    """
    sections, origin = read or read_files([config])
    own = build(sections, str(config), origin)
    try:
        host.check_to_run(own)
        host.check_places(own)
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from None
    return own


def load_to_serve(config: Path) -> Settings:
    """The same for a part that serves PyWPS."""
    own = load_to_run(config)
    sections, _ = read_files([config])
    pywps_sections.check_pywps(sections, str(config))
    return own


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
            section in SECTIONS or section.startswith((PROCESS_PREFIX, OWNER_PREFIX))
        ):
            ours = (*SECTIONS, f"{PROCESS_PREFIX}<identifier>", f"{OWNER_PREFIX}<name>")
            near = warnings.section_meant(section)
            told = f"known: {', '.join(ours)}{f'; did you mean [{near}]?' if near else ''}"
            key = section.removeprefix("hpc.")
            told = f"write {key} as a key of [hpc]" if key in keys_of(Settings) else told
            raise SettingsError(f"{name}: [{section}]: unknown section; {told}")
        if (meant := warnings.section_spelt(section)) not in ("", section):
            raise SettingsError(f"{name}: [{section}]: unknown section; write [{meant}]")
    defaults = ProcessSettings(
        resources=reader.read(Resources, "hpc.resources"),
        container=reader.read(Container, "hpc.container"),
    )
    settings = replace(
        reader.read(Settings, "hpc"),
        defaults=defaults,
        ssh=reader.read(Ssh, "hpc.ssh"),
        inputs=reader.read(Inputs, "hpc.inputs"),
        callbacks=reader.read(Callbacks, "hpc.callbacks"),
        notices=reader.read(Notices, "hpc.notices"),
        retention=reader.read(Retention, "hpc.retention"),
        metrics=reader.read(Metrics, "hpc.metrics"),
        processes=MappingProxyType(
            {
                section.removeprefix(PROCESS_PREFIX): reader.process(section, defaults)
                for section in sections
                if section.startswith(PROCESS_PREFIX)
            }
        ),
        owners=MappingProxyType(
            {
                section.removeprefix(OWNER_PREFIX): reader.owner(section)
                for section in sections
                if section.startswith(OWNER_PREFIX)
            }
        ),
        input_paths=reader.paths("server", "allowedinputpaths"),
        url=_url(sections.get("server", {}).get("url", "")),
    )
    for section, key, problem in consistency.problems(settings):
        raise reader.fail(section, key, problem)
    return settings


def _url(text: str) -> str:
    url = os.path.expandvars(text).strip()
    return "" if url == PYWPS_URL else url


def _only(found: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {name: found[name] for name in keys if name in found}


def _place_of(name: str, known: Collection[str]) -> str:
    """What may have been meant by a key that a section does not have."""
    if f"max_{name}" in known and name not in known:
        return f"; did you mean max_{name}?"
    for section, cls in SECTIONS.items():
        if name in keys_of(cls):
            return f"; write it in [{section}]"
    if f"hpc.{name}" in SECTIONS:
        return f"; write it as a section of its own, [hpc.{name}]"
    near = synonyms.key_meant(name, known)
    return f"; did you mean {near}?" if near else f"; known: {', '.join(sorted(known))}"


def _slip(text: str) -> str:
    """What is probably the matter with a value that cannot be read."""
    if re.search(r"\s[#;]", text):
        return "; write a comment on a line of its own, not behind a value"
    if "\n" in text:
        return "; write each key at the beginning of its line: indented, it goes with the one above"
    return "; write it without quotes" if re.match(rf"\s*([\"']|{ini.QUOTES})", text) else ""


class _Reader:
    """Reads dataclasses from sections and knows where every value came from."""

    def __init__(self, sections: Sections, name: str, origin: Mapping[str, str]) -> None:
        self.sections, self.name, self.origin = sections, name, origin

    def fail(self, section: str, key: str, problem: str) -> SettingsError:
        where = self.origin.get(f"{section}/{key}", self.name)
        return SettingsError(f"{where}: [{section}] {key}: {problem}")

    def read(self, cls: type[T], section: str) -> T:
        """The object that a section describes."""
        found = self.values(section, keys_of(cls))
        for name in required(cls):
            if name not in found:
                raise self.fail(section, name, "is missing")
        return cls(**found)

    def values(self, section: str, known: Mapping[str, Key]) -> dict[str, Any]:
        """The values of the keys that a section sets."""
        found: dict[str, Any] = {}
        for name, text in self.sections.get(section, {}).items():
            if name not in known:
                raise self.fail(section, name, f"unknown key{_place_of(name, known)}")
            try:
                value = known[name].read(os.path.expandvars(text).strip())
            except ValueError as error:
                raise self.fail(section, name, f"{error}{_slip(text)}") from None
            found |= {name: value.own, **value.rest} if isinstance(value, Split) else {name: value}
        return found

    def process(self, section: str, defaults: ProcessSettings) -> ProcessSettings:
        """``[hpc.process.x]``: the defaults, changed by whatever this section sets."""
        if not section.removeprefix(PROCESS_PREFIX):
            problem = f"the process identifier is missing; write [{PROCESS_PREFIX}IDENTIFIER]"
            raise SettingsError(f"{self.name}: [{section}]: {problem}")
        own, resources, container = map(keys_of, (ProcessSettings, Resources, Container))
        found = self.values(section, {**resources, **container, **own})
        return replace(
            defaults,
            resources=replace(
                defaults.resources, **_only(found, (field.name for field in fields(Resources)))
            ),
            container=replace(defaults.container, **_only(found, container)),
            **_only(found, own),
        )

    def owner(self, section: str) -> Owner:
        """``[hpc.owner.x]``."""
        if not section.removeprefix(OWNER_PREFIX):
            problem = f"the owner's name is missing; write [{OWNER_PREFIX}NAME]"
            raise SettingsError(f"{self.name}: [{section}]: {problem}")
        return self.read(Owner, section)

    def paths(self, section: str, key: str) -> tuple[Path, ...]:
        text = os.path.expandvars(self.sections.get(section, {}).get(key, ""))
        if "\n" in text.strip():
            raise self.fail(section, key, "is of several lines; write ':' between folders")
        try:
            return tuple(paths.absolute_path(p) for p in text.split(os.pathsep) if p.strip())
        except ValueError as error:
            raise self.fail(section, key, str(error)) from None
