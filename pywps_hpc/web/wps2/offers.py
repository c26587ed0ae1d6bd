"""What is offered for each process: job control options, and how outputs are transmitted."""

from __future__ import annotations

from typing import Any

from pywps_hpc.settings import Settings

#: Job control options of the standard (OGC 14-065, clauses 8.3 and 11), by what the settings call
#: them.
MODES = {"async": "async-execute", "sync": "sync-execute"}
#: The standard's extension, and the options of our own (``docs/wps2.md``).
CONTROL = ("dismiss", "pause", "resume")


def modes(settings: Settings, identifier: str) -> tuple[str, ...]:
    """How a process may be executed: ``async``, ``sync``."""
    return settings.for_process(identifier).modes or tuple(MODES)


def job_control(settings: Settings, identifier: str) -> tuple[str, ...]:
    """The job control options of a process."""
    return (*(MODES[mode] for mode in modes(settings, identifier)), *CONTROL)


def transmission(process: Any) -> tuple[str, ...]:
    """How the outputs of a process can be had: ``value``, ``reference``."""
    return ("value", "reference") if process.store_supported == "true" else ("value",)
