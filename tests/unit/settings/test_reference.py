"""Model, reference, documentation and sample configuration name the same keys and defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

import pytest

from places import ROOT
from pywps_hpc.settings import ProcessSettings, keys, reference
from pywps_hpc.settings.model import PROCESS_PREFIX, SECTIONS
from pywps_hpc.settings.owners import Owner

KEYS = list(reference.entries())


@dataclass(frozen=True)
class Written:
    """A key in the sample configuration.

    Attributes:
        is_set: whether it has a value there; the others are commented out.
    """

    section: str
    name: str
    value: str
    is_set: bool


def sample() -> Iterator[Written]:
    section = ""
    for line in (ROOT / "pywps.cfg").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"(?:# )?\[([\w.:]+)\]", line):
            section = found[1]
        elif found := re.fullmatch(r"(# )?([a-z_]+) =(.*)", line):
            yield Written(section, found[2], found[3].strip(), not found[1])


WRITTEN = [key for key in sample() if key.section.split(".")[0] == "hpc"]


def test_the_documentation_is_what_the_settings_say_of_themselves() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference.markdown(), "run: make docs"


def test_every_key_of_the_model_is_in_the_reference_with_a_help_text() -> None:
    known = {(entry.section, entry.name): entry for entry in KEYS}
    for section, cls in {
        **SECTIONS,
        reference.PROCESS: ProcessSettings,
        reference.OWNER: Owner,
    }.items():
        for own in fields(cls):
            if "key" in own.metadata:
                entry = known.pop((section, own.name))
                assert entry.help.endswith("."), entry
                assert entry.form, entry
    assert not known


def test_what_a_section_is_for_is_said_in_whole_sentences() -> None:
    sections = re.findall(r"^## (`.*`)\n\n(.*)\n", reference.markdown(), re.MULTILINE)
    assert len(sections) == len(SECTIONS) + 2
    for section, about in sections:
        assert re.fullmatch(r"[A-Z].*[.:]", about), (section, about)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_sample_configuration_has_every_key_and_no_other(section: str) -> None:
    documented = {entry.name for entry in KEYS if entry.section == section}
    assert {key.name for key in WRITTEN if key.section == section} == documented


def test_the_sample_shows_what_one_process_may_have_of_its_own() -> None:
    shown = {key.name for key in WRITTEN if key.section.startswith(PROCESS_PREFIX)}
    own = {entry.name for entry in KEYS if entry.section == reference.PROCESS}
    both = own | {e.name for e in KEYS if e.section in ("hpc.resources", "hpc.container")}
    assert own <= shown <= both


def test_what_the_sample_has_commented_out_is_the_default() -> None:
    defaults = {(entry.section, entry.name): entry.default for entry in KEYS}
    for key in WRITTEN:
        default = defaults.get((key.section, key.name))
        if not key.is_set and default is not None:
            read = keys.keys_of(SECTIONS[key.section])[key.name].read
            assert read(key.value) == read(default), key
