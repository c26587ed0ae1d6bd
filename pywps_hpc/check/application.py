"""The application: whether it can be imported, which processes it has, and which files it reads.

It is imported by an interpreter of its own: what it starts or changes there ends with it. As inside
a job, nothing of it is wrapped, so neither job table nor spool are touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from joblauncher.shared import IN_JOB
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.settings.checks import warnings
from pywps_hpc.timing import TIMING


@dataclass(frozen=True)
class Application:
    """What is known of the application.

    Attributes:
        processes: identifier -> the module of its class that a job imports by name; empty where the
            process is sent as a whole.
        takes_references: identifiers of processes with complex inputs.
        server: PyWPS's section ``server`` as it stands after the import.
        files: that PyWPS was told to read.
        sections: of all these files.
    """

    processes: Mapping[str, str] = field(default_factory=dict)
    takes_references: tuple[str, ...] = ()
    server: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def load(name: str, config: Path) -> Application | Finding:
    """Import the application.

    Args:
        name: ``MODULE:NAME``.
        config: the service's configuration file.

    Returns:
        What is known of it; or why it cannot be imported, with the remedy.
    """
    environment = os.environ | {"PYWPS_CFG": str(config.absolute()), IN_JOB: "check"}
    command = [sys.executable, "-c", f"from {__name__} import main; main()", name]
    try:
        ended = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=TIMING.check_import,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return error(
            "application",
            f"{name} is not imported within {TIMING.check_import:g} s",
            "let it do what takes long when a process runs, not while it is imported",
        )
    answer = ended.stdout.rpartition(_MARK)[2]
    if ended.returncode == 0 and answer:
        facts: dict[str, Any] = json.loads(answer)
        if "error" in facts:
            return error("application", facts["error"], facts["remedy"])
        return Application(**facts | {key: tuple(facts[key]) for key in _TUPLES})
    said = (ended.stderr.strip() or f"exit status {ended.returncode}").splitlines()[-1]
    return error(
        "application",
        f"{name} cannot be imported: {said}",
        f"its interpreter ended: see what it says to {sys.executable} -c "
        f"'import {name.partition(':')[0]}', in this folder",
    )


#: Stands before the answer: an application may print whatever it wants.
_MARK = "pywps-hpc check: "
_TUPLES = ("takes_references", "files")


def main() -> None:
    """In the other interpreter: print what is known."""
    name = sys.argv[1]
    try:
        facts = _facts(name)
    except (Exception, SystemExit) as problem:
        from pywps_hpc.web.server.importing import why_not

        reason = why_not(name, problem)
        facts = {"error": reason.what, "remedy": reason.remedy}
    print(f"\n{_MARK}{json.dumps(facts)}", flush=True)
    os._exit(0)  # whatever threads it has started


def _facts(name: str) -> dict[str, Any]:
    from pywps import ComplexInput, Service, configuration

    from joblauncher.shared.by_name.modules import importable

    files: list[str] = []
    load_as_it_is = configuration.load_configuration

    def load_configuration(given: Any = None) -> None:
        files.extend([given] if isinstance(given, str) else map(str, given or ()))
        load_as_it_is(given)

    configuration.load_configuration = load_configuration
    application = _imported(name)
    found = [application] if isinstance(application, Service) else []
    if not found:
        module = sys.modules.get(name.partition(":")[0])
        found = [thing for thing in vars(module).values() if isinstance(thing, Service)]
    if not configuration.CONFIG:
        load_configuration()
    processes: dict[str, Any] = {}
    for service in found:
        processes |= dict(service.processes)
    modules = {
        identifier: type(process).__module__ if importable(type(process).__module__) else ""
        for identifier, process in processes.items()
    }
    server = {
        key: _text(configuration, "server", key) for key in ("url", "outputurl", "outputpath")
    }
    return {
        "processes": modules,
        "takes_references": [
            identifier
            for identifier, process in processes.items()
            if any(isinstance(given, ComplexInput) for given in process.inputs)
        ],
        "server": server,
        "files": list(dict.fromkeys(files)),
        "sections": {
            section: {str(key): str(text) for key, text in keys.items()}
            for section, keys in configuration.CONFIG._sections.items()
        },
    }


def _imported(name: str) -> Any:
    """The application as gunicorn would import it; without gunicorn, by its module."""
    from pywps_hpc.web.server.importing import LoadFailed, import_application

    if find_spec("gunicorn") is not None:
        return import_application(name)
    from importlib import import_module

    sys.path.insert(0, os.getcwd())
    module, _, attribute = name.partition(":")
    found, attribute = import_module(module), attribute or "application"
    if not hasattr(found, attribute):
        raise LoadFailed(f"{name} cannot be imported: {module} has no {attribute}")
    return getattr(found, attribute)


def _text(configuration: Any, section: str, key: str) -> str:
    try:
        return str(configuration.get_config_value(section, key))
    except Exception:  # configparser's: told by the check of the file
        return ""


def look(known: Configuration, name: str, found: Application) -> Iterator[Finding]:
    """What the application tells, held against the configuration."""
    if find_spec("gunicorn") is None:
        yield warning(
            "application",
            "gunicorn is not installed: pywps-hpc serve and web do not run without it",
            "pip install 'pywps-hpc[server]'; with another WSGI server it is not needed",
        )
    own = known.settings
    if not found.processes:
        yield warning(
            "application", f"{name} has no processes", "name the service itself, MODULE:NAME"
        )
    else:
        count = len(found.processes)
        has = "1 process" if count == 1 else f"{count} processes"
        yield ok("application", f"{name} can be imported; it has {has}")
    for line in warnings.of_processes(own, found.processes) if found.processes else ():
        subject, _, what = line.partition(": ")
        yield warning(
            subject,
            what,
            f"its processes are: {_some(found.processes)}",
        )
    yield from _files(known, found)
    yield from _references(known, found)


def _files(known: Configuration, found: Application) -> Iterator[Finding]:
    """Files that the web server reads beside the one that the dispatcher is given."""
    files = dict.fromkeys(map(str, map(Path, found.files)))
    others = [file for file in files if Path(file).absolute() != known.file.absolute()]
    missing = [file for file in others if not Path(file).exists()]
    for file in missing:
        yield warning(
            "application",
            f"it has PyWPS read {file}, which does not exist here",
            "correct the name, or write it as an absolute path",
        )
    differing = sorted(
        f"[{section}] {key}"
        for section, keys in found.sections.items()
        if section.split(".")[0] == "hpc"
        for key, text in keys.items()
        if known.sections.get(section, {}).get(key) != text
    )
    if differing:
        yield warning(
            differing[0],
            f"the web server reads another value of it than {known.file} has"
            + (f"; also: {_some(differing[1:])}" if differing[1:] else ""),
            f"keep all sections of pywps-hpc in one file: web server and dispatcher have to agree "
            f"(the application reads {', '.join(others) or 'others'})",
        )


def _references(known: Configuration, found: Application) -> Iterator[Finding]:
    """Inputs by reference that nobody can fetch."""
    own = known.settings
    remote = [scheme for scheme in own.inputs.schemes if scheme != "file"]
    if own.inputs.fetch != "node" or not remote:
        return
    cut_off = [
        name
        for name in found.takes_references
        if not own.for_process(name).container.network
        and own.for_process(name).container.runtime != "none"
    ]
    if cut_off:
        yield warning(
            "[hpc.inputs] fetch",
            f"node, but jobs have no network ([hpc.container] network = no): inputs given by "
            f"{' or '.join(remote)} fail in {_some(cut_off)}",
            "set fetch = server, or network = yes; or schemes = file if there are no such inputs",
        )


def _some(names: Any, most: int = 5) -> str:
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more
