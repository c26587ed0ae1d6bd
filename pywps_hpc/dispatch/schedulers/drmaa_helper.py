"""The process that holds the DRMAA session: ``python -m …drmaa_helper``.

DRMAA libraries crash, hang, and lose their session when the server goes away; two of the four known
ones take the calling process with them. So the session lives here, in a process that may die: it
reads one JSON object a line on standard input, does one call, and answers with one line. The
dispatcher's side is :class:`~.drmaa.Helper`.

The functions are those of DRMAA 1.0 (GFD-R-P.022, GFD.133), through the python-drmaa binding.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO


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
            "drms": self._session.drmsInfo,
            "implementation": self._session.drmaaImplementation,
            "version": ".".join(str(part) for part in self._session.version),
        }

    def submit(self, script: str, name: str, log: str, native: str) -> dict[str, Any]:
        """``drmaa_run_job``: one job; its id."""
        with self._template(script, name, log, native) as template:
            return {"id": self._session.runJob(template)}

    def submit_bulk(
        self, script: str, name: str, log: str, native: str, count: int
    ) -> dict[str, Any]:
        """``drmaa_run_bulk_jobs``: indices 1 to ``count``; their ids in order."""
        with self._template(script, name, log, native) as template:
            return {"ids": list(self._session.runBulkJobs(template, 1, count, 1))}

    def status(self, ids: Sequence[str]) -> dict[str, Any]:
        """``drmaa_job_ps`` of each; a job that the session does not know is left out."""
        found = {}
        for job in ids:
            with contextlib.suppress(self._drmaa.errors.InvalidJobException):
                found[job] = str(self._session.jobStatus(job))
        return {"states": found}

    def control(self, ids: Sequence[str], action: str) -> dict[str, Any]:
        """``drmaa_control`` of each; the errors by id. A job that is not known is no error."""
        errors = {}
        code = getattr(self._drmaa.JobControlAction, action)
        for job in ids:
            try:
                self._session.control(job, code)
            except self._drmaa.errors.InvalidJobException:
                continue
            except self._drmaa.errors.DrmaaException as error:
                errors[job] = [type(error).__name__, _words(error)]
        return {"errors": errors}

    @contextlib.contextmanager
    def _template(self, script: str, name: str, log: str, native: str) -> Any:
        """A job without arguments and without an environment: everything stands in the script."""
        template = self._session.createJobTemplate()
        try:
            template.remoteCommand = script
            template.jobName = name
            template.workingDirectory = os.path.dirname(script)
            template.outputPath = f":{log}"  # [host]:path
            template.joinFiles = True
            template.nativeSpecification = native
            yield template
        finally:
            self._session.deleteJobTemplate(template)


def answer(session: Session, line: str) -> dict[str, Any]:
    """Do what one line asks."""
    request = json.loads(line)
    operation: Callable[..., dict[str, Any]] = getattr(session, request.pop("do"))
    try:
        return operation(**request)
    except Exception as error:  # whatever the binding raises belongs to this call alone
        return {"error": [type(error).__name__, _words(error)]}


def _words(error: Exception) -> str:
    """The library's message; python-drmaa puts it behind ``code N: ``, sometimes as bytes."""
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def main() -> None:
    """Serve until standard input ends."""
    # The library may print: that must not get between the answers.
    answers: TextIO = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        session = Session()
    except Exception as error:
        print(json.dumps({"error": [type(error).__name__, _words(error)]}), file=answers)
        sys.exit(1)
    print(json.dumps(session.hello()), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(session, line)), file=answers)
    # drmaa_exit is not called: some libraries hang in it, and jobs do not depend on it.
    os._exit(0)


if __name__ == "__main__":
    main()
