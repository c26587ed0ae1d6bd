"""Every key of the configuration, described; ``docs/configuration.md`` is made from it::

python -m pywps_hpc.settings.reference > docs/configuration.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pywps_hpc.settings import keys
from pywps_hpc.settings.model import OWNER_PREFIX, PROCESS_PREFIX, SECTIONS, ProcessSettings
from pywps_hpc.settings.owners import Owner

#: What one process may have of its own.
PROCESS = f"{PROCESS_PREFIX}<identifier>"
#: What the jobs of one owner have.
OWNER = f"{OWNER_PREFIX}<name>"

_HEAD = """\
# Configuration

<!-- Made by `make docs` from pywps_hpc/settings; change the help texts there. -->

All keys of the `[hpc…]` sections, which stand in the service's own PyWPS configuration file. The
commented sample is [pywps.cfg](../pywps.cfg). Every value can use environment variables:
`${NAME}`. A section or key of ours that is not listed here is refused at start, in one line that
names file, section and key.

Of PyWPS's own sections, `[processing] mode` has to be `scheduler`; `[server] url` is the address
that clients know, `[server] allowedinputpaths` names the folders of `file://` inputs, and
`[server] maxsingleinputsize` and `maxrequestsize` bound what a client sends.
"""
_PROCESS_HEAD = (
    "What holds for one process only: any key of `[hpc.resources]` and `[hpc.container]`, and:"
)


@dataclass(frozen=True)
class Entry:
    """One key.

    Attributes:
        section, name: where it stands, and how it is called.
        form: how its value is written.
        default: as it would be written; ``None`` if it is not set.
        needed: who needs it; empty if nobody has to set it.
        help: what it is for.
    """

    section: str
    name: str
    form: str
    default: str | None
    needed: str
    help: str


def entries() -> Iterator[Entry]:
    """All keys, in the order of their sections."""
    for section, cls in {**SECTIONS, PROCESS: ProcessSettings, OWNER: Owner}.items():
        required = keys.required(cls)
        for name, key in keys.keys_of(cls).items():
            needed = "required" if name in required else key.needed
            if key.required_with is not None:
                needed = "required with `{} = {}`".format(*key.required_with)
            yield Entry(section, name, key.read.form, key.default, needed, key.help)


def markdown() -> str:
    """The page for administrators."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    known = list(entries())
    for section in (*SECTIONS, PROCESS, OWNER):
        cls = Owner if section == OWNER else SECTIONS.get(section)
        about = _PROCESS_HEAD if cls is None else _about(cls)
        yield f"## `[{section}]`\n\n{about}\n"
        yield "| key | value | default | who needs it | meaning |\n|---|---|---|---|---|"
        for entry in known:
            if entry.section == section:
                yield _row(entry)
        yield ""


def _about(cls: type) -> str:
    """The first paragraph of a section's docstring: ``[section]``: what it is."""
    paragraph, *_ = (cls.__doc__ or "").split("\n\n")
    _, _, about = " ".join(paragraph.split()).partition(": ")
    return about[:1].upper() + about[1:]


def _row(entry: Entry) -> str:
    default = "—" if entry.default is None else f"`{entry.default}`"
    columns = (f"`{entry.name}`", entry.form, default, entry.needed or "—", entry.help)
    return "| " + " | ".join(column.replace("|", "\\|") for column in columns) + " |"


if __name__ == "__main__":
    print(markdown(), end="")
