"""What the tests of all dialects share: captured answers, and a header made of a few settings."""

from __future__ import annotations

from typing import Any

from places import CAPTURED
from pywps_hpc.dispatch.schedulers.base import BatchJob, JobStatus, Resources
from pywps_hpc.dispatch.schedulers.dialect import Dialect


def captured(system: str, case: str) -> tuple[int, str, str]:
    """Return code, standard output and standard error of a real command."""
    code, out, err = (
        (CAPTURED / system / f"{case}.{part}").read_text(errors="replace")
        for part in ("rc", "stdout", "stderr")
    )
    return int(code), out, err


def told(status: JobStatus) -> str:
    """A status in a few words: phase or outcome, exit code or signal, and what is special."""
    words = [(status.outcome or status.phase).value]
    words += [str(code) for code in (status.exit_code, status.signal) if code is not None]
    words += [name for name in ("hopeless", "maintenance") if getattr(status, name)]
    return " ".join([*words, f"restarts {status.restarts}"] if status.restarts else words)


def header(dialect: Dialect, **values: Any) -> list[str]:
    """The header of a job with these attributes, those of its ``resources`` in a mapping."""
    resources = Resources(**values.pop("resources", {}))
    job = BatchJob(**{"name": "a1", "script": "", "log": "/d/log", **values}, resources=resources)
    return list(dialect.header(job))


def every_resource(*extra: str, **changes: Any) -> dict[str, Any]:
    """Of a job that asks for all that there is, with these options of the administrator."""
    asked = {"cpus": 4, "memory": 8000, "walltime": 90061, "gpus": 2}
    return {**asked, "queue": "long", "account": "climate", "extra": extra, **changes}


def assert_one_option_or_refused(dialect: Dialect, text: str) -> None:
    """Any text in the log's path stays one option of one line, or is refused."""
    try:
        lines = header(dialect, log=f"/d/{text}")
    except ValueError:
        return
    assert len(lines[1].split()) == 3
    assert "\n".join(lines).splitlines() == lines
