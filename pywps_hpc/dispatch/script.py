"""From a job to its batch script.

The templates see the job's id, name, digest and folder, and the administrator's settings: nothing
that a client sent. Whatever a template prints passes :func:`quote`, whether its author thought of
it or not.
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

from joblauncher.jobdir import JobDir
from pywps_hpc import resources, values
from pywps_hpc.dispatch import container
from pywps_hpc.dispatch.schedulers.base import BatchJob
from pywps_hpc.jobs import Job
from pywps_hpc.settings import ProcessSettings, Settings, SettingsError

#: Gives the lines by which a batch system learns from the script what the job needs.
Header = Callable[[BatchJob], Sequence[str]]

#: Stands for a job in :meth:`Scripts.check`.
_ID = "00000000-0000-4000-8000-000000000000"


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

    def batch_job(self, job: Job, folder: JobDir) -> BatchJob:
        """What is handed to the batch system for this job.

        Raises:
            ValueError: a setting has no place in a script (a line break, a path with a colon).
            jinja2.TemplateError: of the administrator's own template.
        """
        return self._batch_job(job, folder, self._settings.for_process(job.process))

    def check(self) -> None:
        """Try all settings out, so that a mistake shows at start and not with the first job.

        Raises:
            SettingsError: naming the process section and what is wrong.
        """
        folder = JobDir(self._settings.spool / _ID)
        everyone = {"hpc": self._settings.defaults} | {
            f"hpc.process.{name}": own for name, own in self._settings.processes.items()
        }
        for section, own in everyone.items():
            try:
                self._batch_job(Job(_ID, "w0", "", "0" * 64), folder, own)
            except (ValueError, TypeError) as error:
                raise SettingsError(f"[{section}]: {error}") from error
            except TemplateError as error:
                words = f"{type(error).__name__}: {error.message}"
                raise SettingsError(f"the template {self._template}: {words}") from error

    def _batch_job(self, job: Job, folder: JobDir, process: ProcessSettings) -> BatchJob:
        batch = BatchJob(
            name=job.name,
            script="",
            log=str(self._on_node(folder.log)),
            path=str(self._on_node(folder.script)),
            comment=job.id,
            resources=process.resources,
        )
        launch = container.launch(folder, process, self._settings)
        script = self._environment.get_template(self._template).render(
            job_id=job.id,
            job_name=job.name,
            job_dir=folder.path,
            node_dir=self._on_node(folder.path),
            digest=job.digest,
            header=[_line(text) for text in self._header(batch)],
            program=launch.program,
            arguments=launch.arguments,
            exports=list(launch.exports.items()),
            inherited=launch.inherited,
            prefix=launch.prefix,
            resources=process.resources,
        )
        return replace(batch, script=str(script))

    def _on_node(self, path: Path) -> Path:
        """Where the compute nodes find a path of this host."""
        return values.map_path(path, self._settings.ssh.path_map)


def environment(own: Path | None = None) -> Environment:
    """Where templates come from and what becomes of the values in them.

    Args:
        own: the administrator's folder. A file there takes the place of ours of the same name,
            which can still be had as ``default/<name>``.
    """
    ours = FileSystemLoader(resources.templates_folder())
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
    """A value as one word of a shell command.

    Raises:
        ValueError: there are control characters or line separators in it.
        TypeError: not a text, number or path.
        jinja2.UndefinedError: there is no such value.
    """
    if isinstance(value, _Safe):
        return value
    if isinstance(value, Undefined):
        return str(value)  # raises, in words
    if isinstance(value, bool) or not isinstance(value, (str, int, float, PurePath)):
        raise TypeError(f"a template prints {value!r}, which is no word of a shell command")
    text = str(value)
    if not text.isprintable():
        raise ValueError(f"control characters have no place in a script: {text!r}")
    return shlex.quote(text)


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
