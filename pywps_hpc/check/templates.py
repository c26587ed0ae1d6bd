"""The batch scripts' templates, and what of the settings cannot stand in a script."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jinja2 import TemplateError, nodes

from pywps_hpc import package_data
from pywps_hpc.check.configuration import of_message
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.dispatch.scripts.script import Scripts, environment
from pywps_hpc.settings import Settings, SettingsError
from pywps_hpc.settings.model import PROCESS_PREFIX


def look(own: Settings, scheduler: Scheduler) -> Iterator[Finding]:
    """Whether each process would get a script."""
    if own.templates is not None:
        yield from of_folder(own.templates)
    try:
        Scripts(own, scheduler.system, scheduler.header).check()
    except SettingsError as problem:
        about = str(problem)
        if "cannot be bound" not in about or not any(str(p) in about for p in own.input_paths):
            yield _of_problem(about)  # what is wrong with folders of inputs is told already
    else:
        yield ok("batch script", "can be written for each process")


#: Words of what cannot stand in a script -> the key that it is the value of.
_KEYS = (
    ("the bind ", "[hpc.container] binds", "name a folder without the spool in it"),
    (
        "cannot be bound",
        "[hpc.container] python_path",
        "write one folder a line, without any of these signs",
    ),
    ("partition", "[hpc.resources] queue", "write it without quotes"),
    ("queue", "[hpc.resources] queue", "write it without quotes or blanks"),
    ("account", "[hpc.resources] account", "write it without quotes"),
    ("extra option", "[hpc.resources] extra", "write it in one line, without control characters"),
)


def _of_problem(problem: str) -> Finding:
    """Why no script can be written: a template, or a value of the settings."""
    found = of_message(problem, "[hpc] templates", "correct the template, or remove it")
    if not problem.startswith("[hpc"):
        return found
    section = problem[1:].partition("]")[0]
    for sign, subject, remedy in _KEYS:
        if sign in found.what:
            _, _, key = subject.partition("] ")
            is_own = section.startswith(PROCESS_PREFIX)
            return replace(
                found, subject=f"[{section}] {key}" if is_own else subject, remedy=remedy
            )
    return replace(found, remedy="correct the value that it names")


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
    yield from _blocks(folder, ours)
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


def _blocks(folder: Path, ours: list[str]) -> Iterator[Finding]:
    """Blocks of an administrator's templates that none of ours has: what is in them is left out."""
    known = set().union(*(_names(package_data.templates_folder() / name) for name in ours))
    for path in sorted(folder.glob("*.j2")):
        for name in sorted(_names(path) - known):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            yield warning(
                "[hpc] templates",
                f"{path} fills the block {name}, which nothing prints"
                + (f"; did you mean {near[0]}?" if near else ""),
                f"the blocks are {', '.join(sorted(known))}",
            )


def _names(template: Path) -> set[str]:
    """The blocks in a template; none in one that cannot be read."""
    try:
        tree = environment().parse(template.read_text(encoding="utf-8"))
    except (TemplateError, OSError, ValueError):
        return set()
    return {block.name for block in tree.find_all(nodes.Block)}
