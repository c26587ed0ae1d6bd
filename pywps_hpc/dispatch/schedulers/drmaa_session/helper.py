"""The process that holds the DRMAA session: ``python -m …drmaa_session.helper``.

DRMAA libraries crash, hang, and lose their session when the server goes away; two of the four known
ones take the calling process with them. So the session lives here, in a process that may die: it
reads one JSON object a line on standard input, does one call, and answers with one line. The
dispatcher's side is :class:`~.process.Helper`.

The functions are those of DRMAA 1.0 (GFD-R-P.022, GFD.133), through the python-drmaa binding.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

#: Seconds to end the session; some libraries hang in that.
LEAVE = 3


class Session:
    """One DRMAA session and what may be asked of it. Opens the session; may crash doing so."""

    def __init__(self) -> None:
        import drmaa

        self._drmaa = drmaa
        self._session = drmaa.Session()
        self._session.initialize()

    def hello(self) -> dict[str, Any]:
        """What the library says of itself."""
        return {
            "drms": str(self._session.drmsInfo),
            "implementation": str(self._session.drmaaImplementation),
            "version": ".".join(str(part) for part in self._session.version),
        }

    def submit(self, command: str, name: str, log: str, native: str) -> dict[str, Any]:
        """``drmaa_run_job``: one job; its id."""
        with self._template(command, name, log, native) as template:
            return {"ids": [self._session.runJob(template)]}

    def submit_array(
        self, command: str, name: str, log: str, native: str, first: int, last: int
    ) -> dict[str, Any]:
        """``drmaa_run_bulk_jobs``: an array; the ids of its elements from ``first`` to ``last``."""
        log = f"{log}/log-{self._drmaa.JobTemplate.PARAMETRIC_INDEX}"
        with self._template(command, name, log, native) as template:
            return {"ids": list(self._session.runBulkJobs(template, first, last, 1))}

    def status(self, ids: Sequence[str]) -> dict[str, Any]:
        """``drmaa_job_ps`` of each; a job that is not known is left out."""
        found = {}
        for job in ids:
            with contextlib.suppress(self._drmaa.errors.InvalidJobException):
                found[job] = str(self._session.jobStatus(job))
        return {"states": found}

    def control(self, ids: Sequence[str], action: str) -> dict[str, Any]:
        """``drmaa_control`` of each; the errors by id, and the ids that are not known."""
        errors = {}
        unknown = []
        code = getattr(self._drmaa.JobControlAction, action)
        for job in ids:
            try:
                self._session.control(job, code)
            except self._drmaa.errors.InvalidJobException:
                unknown.append(job)
            except self._drmaa.errors.DrmaaException as error:
                errors[job] = [type(error).__name__, _message(error)]
        return {"errors": errors, "unknown": unknown}

    def leave(self) -> None:
        """``drmaa_exit``: jobs stay. Without it Grid Engine keeps our session for minutes, of
        which it has only so many."""
        signal.alarm(LEAVE)
        self._session.exit()

    @contextlib.contextmanager
    def _template(self, command: str, name: str, log: str, native: str) -> Iterator[Any]:
        """A job without arguments and without an environment: everything stands in the script."""
        template = self._session.createJobTemplate()
        try:
            template.remoteCommand = command
            template.jobName = name
            template.workingDirectory = "/"
            template.outputPath = f":{log}"  # [host]:path
            template.joinFiles = True
            template.nativeSpecification = native
            yield template
        finally:
            # An error here must not hide that the job was taken.
            with contextlib.suppress(self._drmaa.errors.DrmaaException):
                self._session.deleteJobTemplate(template)


def answer(session: Session, line: str) -> dict[str, Any]:
    """Do what one line asks."""
    request = json.loads(line)
    operation: Callable[..., dict[str, Any]] = getattr(session, request.pop("do"))
    try:
        return operation(**request)
    except Exception as error:  # whatever the binding raises belongs to this call alone
        return {"error": [type(error).__name__, _message(error)]}


def _message(error: Exception) -> str:
    """The library's message; python-drmaa puts it behind ``code N: ``, sometimes as bytes."""
    text = error.args[0] if error.args else ""
    whole = text.decode(errors="replace") if isinstance(text, bytes) else str(error)
    _, code, message = whole.partition(": ")
    return (message if code and whole.startswith("code ") else whole).strip()


def main() -> None:
    """Serve until standard input ends."""
    # The library may print: that must not get between the answers.
    answers: TextIO = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        session = Session()
        hello = session.hello()
    except Exception as error:
        print(json.dumps({"error": [type(error).__name__, _message(error)]}), file=answers)
        sys.exit(1)
    print(json.dumps(hello), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(session, line)), file=answers)
    with contextlib.suppress(Exception):
        session.leave()
    os._exit(0)  # a library's own threads may not end


if __name__ == "__main__":
    main()
