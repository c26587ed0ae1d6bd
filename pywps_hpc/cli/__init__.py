"""The command line, one module for each kind of command.

Imported at once is only what has to happen first: a server's start takes a while.
"""

from __future__ import annotations

import sys
from typing import Any

from pywps_hpc.lifecycle import hold_signals


def main() -> None:
    """Entry point of ``pywps-hpc``."""
    if sys.argv[1:2] and sys.argv[1] in ("serve", "web", "dispatcher"):
        hold_signals()
    from pywps_hpc.cli.main import main as run

    run()


def __getattr__(name: str) -> Any:
    if name == "commands":
        from pywps_hpc.cli.main import commands

        return commands
    raise AttributeError(name)
