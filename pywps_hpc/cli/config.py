"""``config``: the settings that are in force, and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from pywps_hpc import settings
from pywps_hpc.cli import selection
from pywps_hpc.cli.common import CONFIG, columns, load
from pywps_hpc.secret_values import HIDDEN, hide, is_secret_name
from pywps_hpc.settings import reference
from pywps_hpc.settings.model import OWNER_PREFIX, PROCESS_PREFIX

#: Sections of which there may be many.
_OF_SOME = (reference.PROCESS, reference.OWNER)
#: Where a value comes from that no file sets.
DEFAULT = "default"


@dataclass(frozen=True)
class Value:
    """A value that is in force.

    Attributes:
        section, key: what it is.
        value: as it would be written, variables filled in; secrets are hidden.
        source: the file that sets it, or :data:`DEFAULT`.
    """

    section: str
    key: str
    value: str
    source: str


@click.command("config")
@CONFIG
@click.option("--set-only", is_flag=True, help="Only what a file sets.")
@selection.AS_JSON
def config_command(config: Path, set_only: bool, as_json: bool) -> None:
    """Show the settings in force, and the file that each value comes from. Secrets are hidden."""
    load(config)  # says what is wrong with them
    sections, origin = settings.read_files([config])
    known = [value for value in values(sections, origin) if not set_only or value.source != DEFAULT]
    if as_json:
        click.echo(selection.as_json({"settings": [asdict(value) for value in known]}))
        return
    for line in columns(
        [(f"[{one.section}] {one.key}", "=", one.value or "-", one.source) for one in known]
    ):
        click.echo(line)


def values(sections: settings.Sections, origin: Mapping[str, str]) -> Iterator[Value]:
    """All values: ours in the order of their sections, then those of PyWPS and of the service.

    Args:
        sections, origin: as :func:`pywps_hpc.settings.read_files` gives them.
    """
    ours = [entry for entry in reference.entries() if entry.section not in _OF_SOME]
    for entry in ours:
        text = sections.get(entry.section, {}).get(entry.name)
        source = origin.get(f"{entry.section}/{entry.name}", DEFAULT)
        known = _filled(text) if text is not None else entry.default or ""
        yield Value(entry.section, entry.name, hide(known), source)
    names = {entry.section for entry in ours}
    for section, keys in sections.items():
        if section in names:
            continue
        is_ours = section.startswith((PROCESS_PREFIX, OWNER_PREFIX))
        for key, text in keys.items():
            secret = not is_ours and is_secret_name(key)
            shown = HIDDEN if secret and text.strip() else hide(_filled(text))
            yield Value(section, key, shown, origin[f"{section}/{key}"])


def _filled(text: str) -> str:
    return os.path.expandvars(text).strip()
