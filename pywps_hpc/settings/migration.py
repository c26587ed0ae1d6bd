"""From a configuration of plain PyWPS to one of ours, with a comment at whatever changes.

Nothing is guessed: what cannot be known from the old file is marked with :data:`TODO`, which the
settings refuse, and what cannot be translated stands in a comment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from pywps_hpc.settings.keys import keys_of
from pywps_hpc.settings.model import Sections
from pywps_hpc.settings.resources import Resources
from pywps_hpc.systems import ALIASES, SYSTEMS
from pywps_hpc.systems.options import use_key

#: Stands for a value that the administrator has to give.
TODO = "TODO"
LOCAL = "local"
#: Modes of PyWPS in which jobs run on the web server's host.
_ON_THIS_HOST = ("", "default", "multiprocessing", "detachprocessing")
#: Keys of PyWPS that are left out, and why.
_DROPPED = {
    "server": {
        "outputurl": "outputs are served beside the endpoint",
        "outputpath": "outputs stay in the job's folder in the spool",
        "workdir": "a job works in its own folder in the spool",
        "temp_path": "a job has a temporary folder of its own",
        "sethomedir": "a job has a home folder of its own",
        "cleantempdir": "working folders are always removed; results go by [hpc.retention]",
        "storagetype": "outputs stay in the spool",
        "processes_path": "the application brings its processes",
    },
    "processing": {"path": "the image, or [hpc.container] python, has the launcher"},
}
#: What becomes of the jobs that PyWPS counts.
_COUNTED = ("maxprocesses", "parallelprocesses")


@dataclass
class _Draft:
    """The new configuration, section by section.

    Attributes:
        lines: of each section; a comment stands before the key that it is about.
    """

    lines: dict[str, list[str]] = field(default_factory=dict)

    def put(self, section: str, key: str, value: str) -> None:
        """Add a key; lines of a value after the first are indented."""
        first, *others = f"{key} = {value}".split("\n")
        whole = [first.rstrip(), *(f"    {line}" for line in others)]
        self.lines.setdefault(section, []).extend(whole)

    def say(self, section: str, comment: str) -> None:
        """Add a comment."""
        self.lines.setdefault(section, []).extend(f"# {line}" for line in comment.splitlines())

    def text(self) -> str:
        return "\n".join(
            f"[{section}]\n" + "".join(f"{line}\n" for line in lines)
            for section, lines in self.lines.items()
        )


def migrate(
    old: Sections,
    origin: Mapping[str, str],
    *,
    scheduler: str = "",
    spool: str = "",
    image: str = "",
) -> str:
    """The new configuration.

    Args:
        old, origin: as :func:`~pywps_hpc.settings.loader.read_files` gives them.
        scheduler: the batch system; empty: none where the old mode needs none.
        spool, image: paths, where the administrator gives them.

    Raises:
        ValueError: it is one of ours already.
    """
    if any(section.split(".")[0] == "hpc" for section in old):
        raise ValueError("it has sections of [hpc] already")
    mode = old.get("processing", {}).get("mode", "").lower()
    scheduler = scheduler or (LOCAL if mode in _ON_THIS_HOST else TODO)
    draft = _Draft()
    _server(draft, old.get("server", {}), origin)
    _processing(draft, old.get("processing", {}), origin)
    for section, keys in old.items():
        if section not in _DROPPED:
            draft.lines.setdefault(section, [])
            for key, value in keys.items():
                _comment_log(draft, section, key, value)
                draft.put(section, key, value)
    _hpc(draft, old, scheduler, spool)
    _container(draft, scheduler, image)
    _resources(draft, old.get("processing", {}).get("drmaa_native_specification", ""), scheduler)
    return draft.text()


def _server(draft: _Draft, keys: Mapping[str, str], origin: Mapping[str, str]) -> None:
    if "url" not in keys:
        draft.say("server", f"{TODO}: the endpoint as clients see it; all links are made from it.")
        draft.put("server", "url", TODO)
    for key, value in keys.items():
        if key in _DROPPED["server"]:
            draft.say("server", _was("server", key, value, origin))
        elif key == "allowedinputpaths" and "/" in (path.strip() for path in value.split(":")):
            draft.say(
                "server", f"{TODO}: folders that clients may name in file:// inputs. Left out:"
            )
            draft.say(
                "server", "/ holds the spool, so each job would see the folders of all others."
            )
            draft.say("server", f"{key} = {value}")
        elif key not in _COUNTED:
            draft.put("server", key, value)


def _processing(draft: _Draft, keys: Mapping[str, str], origin: Mapping[str, str]) -> None:
    if keys.get("mode", "") != "scheduler":
        draft.say("processing", f"Was: {keys.get('mode') or 'not set'}.")
    draft.put("processing", "mode", "scheduler")
    for key, value in keys.items():
        if key in _DROPPED["processing"]:
            draft.say("processing", _was("processing", key, value, origin))


def _was(section: str, key: str, value: str, origin: Mapping[str, str]) -> str:
    """For a key that is left out."""
    told = " ".join(value.split())
    return f"Left out: {_DROPPED[section][key]}.\n{key} = {told} ({origin[f'{section}/{key}']})"


def _comment_log(draft: _Draft, section: str, key: str, value: str) -> None:
    if (section, key) == ("logging", "file") and not value.startswith(("/", "$")) and value:
        draft.say(section, "Better an absolute path: this one depends on the working folder.")
    if (section, key) == ("logging", "database"):
        draft.say(section, "PyWPS's own log of requests. Jobs are in [hpc] database.")


def _hpc(draft: _Draft, old: Sections, scheduler: str, spool: str) -> None:
    server = old.get("server", {})
    if not spool:
        draft.say("hpc", f"{TODO}: a folder on the shared file system, of the service's account:")
        draft.say("hpc", "install -d -m 700 -o ACCOUNT FOLDER")
    draft.put("hpc", "spool", spool or TODO)
    if scheduler == TODO:
        known = ", ".join((LOCAL, *SYSTEMS))
        draft.say("hpc", f"{TODO}: one of {known}; or drmaa, with system and drmaa_library.")
    draft.put("hpc", "scheduler", scheduler)
    if scheduler != LOCAL:
        draft.say("hpc", "On a network file system the job table must not be in the spool:")
        draft.say("hpc", "database = sqlite:////var/lib/pywps-hpc/jobs.sqlite")
    running, waiting = (
        _count(server.get(key, "")) for key in ("parallelprocesses", "maxprocesses")
    )
    if running and scheduler == LOCAL:
        draft.say("hpc", f"Was: parallelprocesses = {running}. Counts cores; further jobs wait.")
        draft.put("hpc", "slots", str(running))
    if running and waiting:
        draft.say("hpc", f"Was: parallelprocesses = {running} and maxprocesses = {waiting}, which")
        draft.say("hpc", "could wait. Of all jobs that have not ended; beyond it HTTP 503.")
        draft.put("hpc", "max_active", str(running + waiting))


def _count(text: str) -> int:
    """A number of jobs; 0 where PyWPS has no limit."""
    return int(text) if text.strip().isdigit() else 0


def _container(draft: _Draft, scheduler: str, image: str) -> None:
    if scheduler == LOCAL and not image:
        draft.say("hpc.container", "As before, without a container: for processes that you trust.")
        draft.put("hpc.container", "runtime", "none")
        draft.say("hpc.container", "Folders of the service's modules, unless they are installed:")
        draft.say("hpc.container", "python_path = /srv/my-service")
        return
    draft.put("hpc.container", "runtime", "apptainer")
    if not image:
        draft.say("hpc.container", f"{TODO}: pywps-hpc image build IMAGE -r MY-SERVICE. Or")
        draft.say("hpc.container", "runtime = none, and python: the interpreter on the nodes.")
    draft.put("hpc.container", "image", image or TODO)


def _resources(draft: _Draft, specification: str, scheduler: str) -> None:
    if not specification.strip():
        draft.say("hpc.resources", "What every job asks for; [hpc.process.ID] for one process.")
        draft.say("hpc.resources", "memory = 2G\nwalltime = 01:00:00")
        return
    draft.say("hpc.resources", f"Was: drmaa_native_specification = {specification}")
    system = ALIASES.get(scheduler, scheduler)
    if system not in SYSTEMS:
        draft.say("hpc.resources", "Name the batch system (--scheduler) to have it translated.")
        return
    extra = []
    for option in _options(specification):
        problems = list(import_module(f"pywps_hpc.systems.{system}").reserved(option, 0))
        key = next((key for key in keys_of(Resources) if problems and _is_for(problems, key)), "")
        if not problems:
            extra.append(shlex.join(option))
        elif not key or key in _OF_MPI or not (value := _value(option, key)):
            draft.say("hpc.resources", f"Not translated: {shlex.join(option)}: {problems[0][1]}")
        else:
            draft.put("hpc.resources", key, value)
    if extra:
        draft.put("hpc.resources", "extra", "\n".join(["", *extra]))


#: A process of PyWPS's ran once whatever it was given; whether it is for MPI only its author knows.
_OF_MPI = frozenset({"nodes", "tasks"})


def _options(specification: str) -> Iterator[list[str]]:
    """The options, each with its values."""
    found: list[str] = []
    try:
        arguments = shlex.split(specification)
    except ValueError:
        arguments = specification.split()
    for word in arguments:
        if word.startswith("-") and found:
            yield found
            found = []
        found.append(word)
    if found:
        yield found


def _is_for(problems: list[tuple[str, str]], key: str) -> bool:
    """Whether an option is nothing but what a key says."""
    return [advice for _, advice in problems] == [use_key(key)]


def _value(option: list[str], key: str) -> str:
    """An option's value, if the key takes it as it is; else empty."""
    text = option[1] if len(option) == 2 else option[0].partition("=")[2]
    try:
        keys_of(Resources)[key].read(text)
    except ValueError:
        return ""
    return "" if "=" in text else text
