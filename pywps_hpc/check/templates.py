"""The batch scripts' templates, and what of the settings cannot stand in a script."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from pywps_hpc import package_data
from pywps_hpc.check.configuration import of_message
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.settings import Settings, SettingsError


def look(own: Settings, scheduler: Scheduler) -> Iterator[Finding]:
    """Whether each process would get a script."""
    if own.templates is not None:
        yield from of_folder(own.templates)
    try:
        Scripts(own, scheduler.system, scheduler.header).check()
    except SettingsError as problem:
        yield of_message(str(problem), "[hpc] templates", "correct the template, or remove it")
    else:
        yield ok("batch script", f"can be written for {1 + len(own.processes)} sets of settings")


def of_folder(folder: Path) -> Iterator[Finding]:
    """Files in an administrator's folder that nothing uses."""
    ours = sorted(path.name for path in package_data.templates_folder().glob("*.j2"))
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    )
    for path in sorted(folder.glob("*.j2")):
        if b"\r" in path.read_bytes():
            yield error(
                "[hpc] templates",
                f"{path} has line breaks of Windows, which no shell reads",
                f"sed -i 's/\\r$//' {path}",
            )
    for path in sorted(folder.iterdir()):
        if path.name in ours or path.name.startswith(".") or f'"{path.name}"' in text:
            continue
        near = difflib.get_close_matches(path.name, ours, n=1, cutoff=0.5)
        yield warning(
            "[hpc] templates",
            f"{path} is never used: no template has this name"
            + (f"; did you mean {near[0]}?" if near else ""),
            f"the names are {', '.join(ours)}",
        )
