"""Which application the web server serves, for commands that need its processes."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass

from pywps_hpc.errors import TableUnavailable
from pywps_hpc.jobs.facts import Facts

#: Name of the fact in the job table.
FACT = "application"


@dataclass(frozen=True)
class Served:
    """What a web server serves.

    Attributes:
        name: ``MODULE:APP``.
        folder: the working directory, from which its module is found.
        bind: ``HOST:PORT``, which is the service's address where ``[server] url`` is not set.
    """

    name: str
    folder: str
    bind: str


def note(store: Facts, name: str, bind: str) -> None:
    """Note that this application is served from the working directory.

    A table that cannot be reached now is told nothing: commands then have to be told the name.
    """
    with contextlib.suppress(TableUnavailable), store.facts() as facts:
        facts[FACT] = json.dumps(asdict(Served(name, os.getcwd(), bind)))


def known(store: Facts) -> Served | None:
    """The application that was served last; ``None``: none by ``pywps-hpc``."""
    told = store.fact(FACT)
    return Served(**json.loads(told)) if told else None
