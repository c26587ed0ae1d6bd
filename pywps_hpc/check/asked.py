"""What the jobs of each process ask for, and the most that they may come to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding
from pywps_hpc.settings import Resources
from pywps_hpc.settings.owners import OWNER_PREFIX, Owner, of_file


@dataclass(frozen=True)
class Asked:
    """What the jobs of some processes ask for.

    Attributes:
        process: one of them; empty: all that have no section of their own.
        need: what a job asks for.
        known: the configuration, which tells where that is set.
    """

    process: str
    need: Resources
    known: Configuration

    def key(self, name: str, *others: str) -> str:
        """``[section] key``, by which this is set for the process."""
        return f"[{self.known.section_of(self.process, name, *others)}] {name}"

    @property
    def whose(self) -> str:
        """For a message about a value that another section sets."""
        return f" (process {self.process})" if self.process else ""


def asked(known: Configuration) -> list[Asked]:
    """All that is asked for, each once."""
    found: dict[Resources, Asked] = {}
    for process, own in known.everyone():
        found.setdefault(own.resources, Asked(process, own.resources, known))
    return list(found.values())


@dataclass(frozen=True)
class Most:
    """The most that some jobs may come to ask for, by one key.

    Attributes:
        asked: with that amount, queue or account in place of the usual one.
        field: of the resources that it replaces.
        section, key: where it is set.
        place: section of another file, if it is set there.
    """

    asked: Asked
    field: str
    section: str
    key: str
    place: str = ""

    def of(self, finding: Finding) -> Finding | None:
        """What is told of the usual resources, told of this key; ``None`` if it is not about it."""
        if not finding.subject.endswith(f"] {self.field}"):
            return None
        subject, what, remedy = f"[{self.section}] {self.key}", finding.what, finding.remedy
        if self.place:
            what = f"[{self.place}] {self.field}: {what}"
        else:
            remedy = remedy.replace(f"set {self.field} ", f"set {self.key} ")
        return replace(finding, subject=subject, what=what, remedy=remedy)


def most_asked(known: Configuration) -> Iterator[Most]:
    """What clients may ask for, what rules come to, and what owners have."""
    told = set()
    for process, own in known.everyone():
        need = own.resources
        values: list[tuple[str, str, Any]] = [
            ("queue", "client_queue", name) for name in need.client_queue
        ]
        for field in ("cpus", "memory", "walltime"):
            allowed = getattr(need, f"client_{field}")
            values += [(field, f"client_{field}", allowed[1])] if allowed else []
            is_rule = getattr(need, f"{field}_per_input", 0)
            values += [(field, f"max_{field}", getattr(need, f"max_{field}"))] if is_rule else []
        for field, key, value in values:
            changed = replace(need, **{field: value})
            if (key, changed) not in told:
                told.add((key, changed))
                section = known.section_of(process, key)
                yield Most(Asked(process, changed, known), field, section, key)
    for name, owner in known.settings.owners.items():
        yield from _of_owner(known, owner, f"{OWNER_PREFIX}{name}", "")
    file = known.settings.owners_file
    for name, owner in (of_file(file) if file else {}).items():
        yield from _of_owner(known, owner, "hpc", name)


def _of_owner(known: Configuration, owner: Owner, section: str, place: str) -> Iterator[Most]:
    usual = known.settings.defaults.resources
    usual = replace(usual, account=owner.account or usual.account)
    for field in ("account", "queue", "qos"):
        if value := getattr(owner, field):
            changes: dict[str, Any] = {field: value}
            each = Asked("", replace(usual, **changes), known)
            yield Most(each, field, section, "owners_file" if place else field, place)
