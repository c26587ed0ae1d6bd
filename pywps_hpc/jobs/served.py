"""Which application the web server serves, for commands that need its processes."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from pywps_hpc.errors import TableUnavailable
from pywps_hpc.jobs.facts import Facts

#: Name of the fact in the job table.
FACT = "application"


def note(store: Facts, name: str) -> None:
    """Note that this application, ``MODULE:APP``, is served from the working directory.

    A table that cannot be reached now is told nothing: commands then have to be told the name.
    """
    with contextlib.suppress(TableUnavailable), store.facts() as facts:
        facts[FACT] = json.dumps([name, os.getcwd()])


def known(store: Facts) -> tuple[str, Path] | None:
    """The application that was served last, and from where; ``None``: none by ``pywps-hpc``."""
    told = store.fact(FACT)
    if not told:
        return None
    name, folder = json.loads(told)
    return str(name), Path(folder)
