"""The batch scripts' templates, and what of the settings cannot stand in a script."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jinja2 import TemplateError, nodes

from pywps_hpc import package_data
from pywps_hpc.check.configuration import of_message
from pywps_hpc.check.findings import Finding, Level, error, ok, warning
from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.dispatch.scripts.script import Scripts, environment
from pywps_hpc.settings import Settings, SettingsError
from pywps_hpc.settings.model import PROCESS_PREFIX
from pywps_hpc.systems import SYSTEMS


def look(own: Settings, scheduler: Scheduler) -> Iterator[Finding]:
    """Whether each process would get a script."""
    if own.templates is not None:
        of_files = list(of_folder(own.templates, scheduler.system))
        yield from of_files
        if any(f.level is Level.ERROR for f in of_files):
            return  # no script can be made of them
    try:
        Scripts(own, scheduler.system, scheduler.header).check()
    except SettingsError as problem:
        about = str(problem)
        if "cannot be bound" not in about or not any(str(p) in about for p in own.input_paths):
            yield _of_problem(about, own)  # what is wrong with folders of inputs is told already
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


def _of_problem(problem: str, own: Settings) -> Finding:
    """Why no script can be written: a template, or a value of the settings."""
    found = of_message(problem, "[hpc] templates", "correct the template, or remove it")
    if not problem.startswith("[hpc"):
        return found
    section = problem[1:].partition("]")[0]
    for sign, subject, remedy in _KEYS:
        if sign == "cannot be bound" and str(own.spool) in found.what:
            what = f'{own.spool} cannot be bound in a container: it has : , " or \\ in it'
            return replace(found, subject="[hpc] spool", what=what, remedy="name it otherwise")
        if sign in found.what:
            _, _, key = subject.partition("] ")
            is_own = section.startswith(PROCESS_PREFIX)
            return replace(
                found, subject=f"[{section}] {key}" if is_own else subject, remedy=remedy
            )
    return replace(found, remedy="correct the value that it names")


def of_folder(folder: Path, system: str = "") -> Iterator[Finding]:
    """Files in an administrator's folder that nothing uses, or that no shell or Jinja reads.

    Args:
        folder: with the templates.
        system: the batch system whose templates count; empty: any.
    """
    ours = sorted(path.name for path in package_data.templates_folder().glob("*.j2"))
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if not any(path.suffix == ".j2" for path in files) and not files:
        what = f"{folder} has no template in it"
        yield warning("[hpc] templates", what, f"put one there: {', '.join(ours)}; or remove it")
    yield from _contents([path for path in files if path.suffix == ".j2"])
    yield from _blocks(folder, ours)
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    )
    for path in files:
        if f'"{path.name}"' in text:
            continue
        other = path.name.partition(".")[0]
        if path.name in ours and system and other in SYSTEMS and other != system:
            yield warning(
                "[hpc] templates",
                f"{path} is never used: [hpc] scheduler is {system}",
                f"name it {system}.sh.j2, or remove it",
            )
        if path.name in ours:
            continue
        near = difflib.get_close_matches(path.name, ours, n=1, cutoff=0.5)
        yield warning(
            "[hpc] templates",
            f"{path} is never used: no template has this name"
            + (f"; did you mean {near[0]}?" if near else ""),
            f"the names are {', '.join(ours)}",
        )


def _contents(files: Sequence[Path]) -> Iterator[Finding]:
    """What is wrong with files of templates before anybody understands them."""
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as problem:
            what = f"{path} cannot be read: {problem.strerror}"
            yield error("[hpc] templates", what, "make it a file that this account can read")
            continue
        if b"\r" in content:
            what = f"{path} has line breaks of Windows, which no shell reads"
            yield error("[hpc] templates", what, f"sed -i 's/\\r$//' {path}")
        if content.startswith(codecs.BOM_UTF8):
            what = f"{path} begins with a byte order mark: the script would have no shell"
            yield error("[hpc] templates", what, rf"sed -i '1s/^\xEF\xBB\xBF//' {path}")
        try:
            content.decode()
        except UnicodeDecodeError:
            what = f"{path} is not in UTF-8"
            yield error("[hpc] templates", what, f"write it anew: iconv -f LATIN1 -t UTF-8 {path}")


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
