"""The program that tells who pays for an owner's jobs."""

from __future__ import annotations

from collections.abc import Iterator

from pywps_hpc.check.findings import Finding, error, ok
from pywps_hpc.settings import Settings
from pywps_hpc.web import owners

#: An owner whom no site knows: the program has to say nothing of him, and end well.
NOBODY = "pywps-hpc-check"


def look(own: Settings) -> Iterator[Finding]:
    """Ask it of somebody whom it does not know."""
    if own.owner_command is None:
        return
    try:
        owners.by_command(own, own.owner_command, NOBODY)
    except owners.Failed as problem:
        what = str(problem).partition("owner_command: ")[2]
        yield error(
            "[hpc] owner_command",
            f"{what}; while that is so, clients get HTTP 503",
            "run it by hand: of an owner whom it does not know it has to write nothing, and to end "
            "with exit code 0",
        )
    else:
        yield ok("[hpc] owner_command", f"{own.owner_command} answers")
