"""The results of a job that succeeded: how they were asked for, and each output's content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from joblauncher.shared.files import open_beneath, read_plain
from joblauncher.shared.literal_text import text
from pywps_hpc.jobs.output import Output
from pywps_hpc.spool import JobDir, atomic_write

#: Bytes of a form that is read; a process could write there.
_MOST = 1 << 20


@dataclass(frozen=True)
class Asked:
    """An output as a client asked for it.

    Attributes:
        identifier: of the output.
        transmission: ``value``, ``reference``, or empty: as its process would have it.
        mime_type, encoding, schema: its format; empty where that is not told.
        data_type: of a literal output, as its process has it; empty where nobody has noted it.
    """

    identifier: str
    transmission: str = ""
    mime_type: str = ""
    encoding: str = ""
    schema: str = ""
    data_type: str = ""


@dataclass(frozen=True)
class Form:
    """How a client wants the results.

    Attributes:
        raw: whether as they are, not in a document.
        outputs: that it wants; none: all.
    """

    raw: bool = False
    outputs: tuple[Asked, ...] = ()


def keep(job: JobDir, form: Form) -> None:
    """Note how the results of a job are wanted, for when it has ended.

    Raises:
        OSError: it cannot be written.
    """
    atomic_write(job.form, json.dumps(asdict(form)).encode(), mode=0o400)


def form_of(job: JobDir) -> Form:
    """How the results of a job are wanted: all in a document, unless its request said otherwise."""
    try:
        told = json.loads(read_plain(job.form, _MOST))
        outputs = tuple(_asked(facts) for facts in told["outputs"])
        return Form(told["raw"] is True, outputs)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Form()


def _asked(facts: Any) -> Asked:
    asked = Asked(**facts)
    if not all(isinstance(value, str) for value in asdict(asked).values()):
        raise TypeError("a member of an output is no text")
    return asked


def wanted(form: Form, outputs: Sequence[Output]) -> list[tuple[Asked, Output]]:
    """The outputs that a client wants, in its order, each as it was asked for.

    Raises:
        KeyError: one is not there.
    """
    found = {output.identifier: output for output in outputs}
    if not form.outputs:
        return [(Asked(output.identifier), output) for output in outputs]
    return [(asked, found[asked.identifier]) for asked in form.outputs]


def open_file(job: JobDir, output: Output) -> BinaryIO | None:
    """The file of an output; ``None`` if it has a value, or is elsewhere.

    Raises:
        OSError: it is not there any more.
    """
    names = _names(job, output)
    if not names:
        return None
    return open_beneath(job.path, *job.outputs.relative_to(job.path).parts, *names)


def path_of(job: JobDir, output: Output) -> Path:
    """Where the file of an output is that has been opened."""
    return job.outputs.joinpath(*_names(job, output))


def _names(job: JobDir, output: Output) -> list[str]:
    """Below the job's outputs; none if the output is not there."""
    _, inside, name = output.location.partition(f"/{job.access or job.job_id}/")
    return [unquote(part) for part in name.split("/")] if inside else []


def literal(output: Output) -> str:
    """The value of an output in the lexical form of XML Schema."""
    return text(output.value)
