"""What a nursery has learned of the modules that jobs import; a file, so that it outlives it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from joblauncher.shared.files import atomic_write

#: Modules that may turn out to be unfit, one start after the other, before the rest is left out.
MOST_UNFIT = 10
#: Modules that are remembered.
MOST_NAMES = 10_000
#: Why there is more to import than has been imported.
MORE = "a job has imported more"


@dataclass
class Learned:
    """What earlier jobs and starts have taught.

    Attributes:
        file: where it is kept.
        config: the service's effective configuration; ``None`` before the first job.
        names: of modules, those that others import last.
        unfit: names of modules that are not imported here, each with the reason.
        importing: what is being imported: found at a start, it has ended the one before.
    """

    file: Path
    config: dict[str, dict[str, str]] | None = None
    names: list[str] = field(default_factory=list)
    unfit: dict[str, str] = field(default_factory=dict)
    importing: str | None = None

    def save(self) -> None:
        """Keep it.

        Raises:
            OSError: it cannot be written.
        """
        facts = asdict(self)
        del facts["file"]
        atomic_write(self.file, json.dumps(facts).encode())

    def begin(self, name: str | None) -> None:
        """This module is being imported; ``None``: none is."""
        self.importing = name
        self.save()

    def leave_out(self, name: str, reason: str) -> None:
        """This module is unfit; if there are too many, so is whatever comes after it."""
        self.importing = None
        self.unfit[name] = reason
        if len(self.unfit) > MOST_UNFIT and name in self.names:
            del self.names[self.names.index(name) :]
        self.save()

    def forgive(self) -> None:
        """Try unfit modules again: code has changed."""
        self.unfit.clear()
        self.save()

    def add(self, config: dict[str, dict[str, str]], names: list[str]) -> str:
        """Take in what a job reports.

        Args:
            config: the service's configuration, under which it imported.
            names: of modules that it has imported and this process has not.

        Returns:
            Why everything is to be imported anew; empty if it is not.
        """
        fresh = [name for name in names if name not in self.names and name not in self.unfit]
        if config != self.config:
            self.config = config
            reason = "the service has another configuration"
        elif fresh and len(self.names) < MOST_NAMES and len(self.unfit) <= MOST_UNFIT:
            reason = MORE
        else:
            return ""
        self.names += fresh
        self.save()
        return reason


def read(file: Path) -> Learned:
    """What is kept in this file; nothing if it cannot be read."""
    try:
        return Learned(file, **json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Learned(file)
