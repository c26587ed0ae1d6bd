"""From jobs to their batch script.

The templates see the administrator's settings and, of each job, its id and the digest of its dump:
nothing that a client sent. Whatever a template prints passes :func:`quote`, whether its author
thought of it or not.

Jobs with the same settings have the same script but for these two values, which it keeps in the
shell variables ``job_id`` and ``digest``. So one script serves a whole job array: a table in it
says which job each index stands for.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    Undefined,
)

from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.pilotdir import PilotDir
from pywps_hpc import package_data
from pywps_hpc.dispatch.schedulers.base import BatchJob, Warm
from pywps_hpc.dispatch.scripts.launch import Launch, inherited
from pywps_hpc.dispatch.scripts.pilot import goes_to_pilot, launch_pilot, of_pilot
from pywps_hpc.dispatch.scripts.runtimes import launch, warm
from pywps_hpc.jobs import Job
from pywps_hpc.settings import ProcessSettings, Settings, SettingsError, needs, paths
from pywps_hpc.spool import Spool

#: Gives the lines by which a batch system learns from the script what the job needs.
Header = Callable[[BatchJob], Sequence[str]]

#: What a warm start on this host does without; one of the administrator's own has to be run.
_WARM_TEMPLATES = ("local.sh.j2", "base.sh.j2")
#: Stands for the id of whichever job the script runs: :func:`quote` puts the variable in its place.
ANY_JOB = "00000000-0000-4000-8000-000000000000"


class Scripts:
    """Writes batch scripts.

    Args:
        settings: of the installation.
        system: name of the batch system, and of its template (``slurm`` → ``slurm.sh.j2``).
        header: the batch system's lines.
    """

    def __init__(self, settings: Settings, system: str, header: Header = lambda job: ()) -> None:
        self._settings = settings
        self._template = f"{system}.sh.j2"
        self._header = header
        self._environment = environment(settings.templates)

    def batch_job(self, jobs: Sequence[Job]) -> BatchJob:
        """What is handed to the batch system for these jobs.

        Args:
            jobs: one job of its own, or elements of one array, whose processes have the same
                settings.

        Raises:
            ValueError: a setting cannot stand in a script (a line break, a path with a colon).
            jinja2.TemplateError: of the administrator's own template.
        """
        needs.own_of(jobs[0].resources)
        return self._batch_job(jobs, needs.of_job(self._settings, jobs[0]))

    def pilot(self, name: str, folder: PilotDir, digest: str, process: str) -> BatchJob:
        """What is handed to the batch system for a pilot (:mod:`joblauncher.pilot`).

        Args:
            name: in the queue.
            folder: the pilot's.
            digest: SHA-256 of what it is told.
            process: whose section has the settings of the jobs that it is for; empty: the defaults.

        Raises:
            ValueError, jinja2.TemplateError: as :meth:`batch_job`.
        """
        own = self._settings.for_process(process)
        paths_of = JobDir(folder.path)
        batch = BatchJob(
            name=name,
            script="",
            log=str(self._on_node(paths_of.log)),
            path=str(self._on_node(paths_of.script)),
            resources=of_pilot(own),
        )
        start = launch_pilot(folder, own, self._settings)
        element = {"id": folder.path.name, "digest": digest, "array_index": 0, "place": 0}
        return self._render(batch, [element], folder.path, start)

    def check(self) -> None:
        """Try all settings out, so that a mistake shows at start and not with the first job.

        Raises:
            SettingsError: naming the process section and what is wrong.
        """
        everyone = {"": self._settings.defaults, **self._settings.processes}
        for process, own in everyone.items():
            section = f"hpc.process.{process}" if process else "hpc"
            try:
                script = self._batch_job([Job(ANY_JOB, "w0", process, "0" * 64)], own).script
            except (ValueError, TypeError) as error:
                raise SettingsError(f"[{section}]: {error}") from error
            except TemplateError as error:
                problem = f"{type(error).__name__}: {error.message}"
                raise SettingsError(f"the template {self._template}: {problem}") from error
            except RecursionError:
                raise SettingsError(
                    f"the template {self._template} extends itself: write "
                    f'{{% extends "default/{self._template}" %}} for the one that comes with '
                    "pywps-hpc"
                ) from None
            if "joblauncher" not in script or "0" * 64 not in script:
                raise SettingsError(
                    f"the template {self._template} makes a script that does not start the job: "
                    f'write {{% extends "default/{self._template}" %}} in its first line, and the '
                    "site's own lines into {% block environment %}"
                )

    def _batch_job(self, jobs: Sequence[Job], process: ProcessSettings) -> BatchJob:
        first = jobs[0]
        indices = tuple(job.array_index for job in jobs if job.array_index)
        own = Spool(self._settings.spool)
        folder = JobDir(own.array(first.name)) if indices else own.open(first.id)
        batch = BatchJob(
            name=first.name,
            script="",
            log=str(self._on_node(folder.path if indices else folder.log)),
            path=str(self._on_node(folder.script)),
            comment="" if indices else first.id,
            array_indices=indices,
            resources=process.resources,
        )
        anywhere = own.open(ANY_JOB)
        start = launch(anywhere, process, self._settings)
        batch = self._render(batch, [_element(job) for job in jobs], anywhere.path, start)
        own_section = first.process if first.process in self._settings.processes else ""
        return replace(batch, warm=self._warm(first, process), process=own_section)

    def _render(
        self, batch: BatchJob, elements: Sequence[dict[str, object]], folder: Path, start: Launch
    ) -> BatchJob:
        """The same with its script.

        Args:
            batch: all but the script.
            elements: the jobs, as the templates see them.
            folder: where the script starts.
            start: the command.
        """
        script = self._environment.get_template(self._template).render(
            jobs=elements,
            job_name=batch.name,
            job_dir=folder,
            node_dir=self._on_node(folder),
            header=[_line(text) for text in self._header(batch)],
            program=start.program,
            arguments=start.arguments,
            remote=start.remote,
            exports=list(start.exports.items()),
            inherited=start.inherited,
            prefix=start.prefix,
            resources=batch.resources,
        )
        return replace(batch, script=str(script))

    def _warm(self, job: Job, process: ProcessSettings) -> Warm | None:
        """How a nursery or a pilot starts this job, if one may."""
        if inherited(process) or not self._may_be_warm(job, process):
            return None
        folder = Spool(self._settings.spool).open(job.id)
        return warm(folder, job.digest, process, self._settings)

    def is_for_pilots(self, job: needs.Known) -> bool:
        """Whether this job goes to a pilot, and so to no array."""
        if self._template == _WARM_TEMPLATES[0]:
            return False
        need = needs.of_job(self._settings, job).resources
        return goes_to_pilot(self._settings, job.process, need)

    def _may_be_warm(self, job: Job, process: ProcessSettings) -> bool:
        if self._template != _WARM_TEMPLATES[0]:
            return goes_to_pilot(self._settings, job.process, process.resources)
        # A nursery does what our own template does.
        own = self._settings.templates
        is_ours = own is None or not any((own / name).exists() for name in _WARM_TEMPLATES)
        return is_ours and process.container.warm is not False

    def _on_node(self, path: Path) -> Path:
        """Where the compute nodes find a path of this host."""
        return paths.map_path(path, self._settings.ssh.path_map)


def _element(job: Job) -> dict[str, object]:
    """A job as the templates see it; ``place`` is what earlier ones call the array index."""
    index = job.array_index
    return {"id": job.id, "digest": job.digest, "array_index": index, "place": index}


def environment(own: Path | None = None) -> Environment:
    """Where templates come from and what becomes of the values in them.

    Args:
        own: the administrator's folder. A file there takes the place of ours of the same name,
            which can still be had as ``default/<name>``.
    """
    ours = FileSystemLoader(package_data.templates_folder())
    loaders = [FileSystemLoader(own)] if own is not None else []
    return _Environment(
        loader=ChoiceLoader([*loaders, ours, PrefixLoader({"default": ours})]),
        undefined=StrictUndefined,
        finalize=quote,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def quote(value: object) -> str:
    """A value as one argument of a shell command.

    Raises:
        ValueError: there are control characters or line separators in it.
        TypeError: not a text, number or path.
        jinja2.UndefinedError: there is no such value.
    """
    if isinstance(value, _Safe):
        return value
    if isinstance(value, Undefined):
        return str(value)  # raises, and names it
    if isinstance(value, bool) or not isinstance(value, (str, int, float, PurePath)):
        raise TypeError(
            f"a template cannot print a {type(value).__name__}: only text, numbers and paths"
        )
    text = str(value)
    if not text.isprintable():
        raise ValueError(f"control characters cannot stand in a script: {text!r}")
    before, *rest = text.split(ANY_JOB)
    if not rest:
        return shlex.quote(text)
    return '"$job_id"'.join(part and shlex.quote(part) for part in (before, *rest))


class _Safe(str):
    """Text that needs no quoting: made of template text and quoted values, or a header line."""

    __slots__ = ()


class _Environment(Environment):
    """One whose rendered blocks (``super()``, ``set``, macros) are not quoted a second time."""

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        return _Safe("".join(parts))


def _line(text: str) -> _Safe:
    """A line of the script's header: a comment to the shell, and one line only."""
    if not text.startswith("#") or not text.isprintable():
        raise ValueError(f"not a header line: {text!r}")
    return _Safe(text)
