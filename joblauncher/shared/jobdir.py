"""Every path of a job."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

#: Working folders, of any attempt.
_SCRATCH = re.compile(r"(work|tmp)(\..*)?|ranks", re.DOTALL)


@dataclass(frozen=True)
class JobDir:
    """The folder of one job on the shared file system; mode 0700, the same path on every host.

    Attributes:
        path: the folder; its name is the job id.
        attempt: whose working folders are meant. The batch system may start a job again while its
            first start, on a node that it lost sight of, is still at work.
        access: what stands for the job in the addresses that its client is given, where that is
            known. The id does not do: the batch system's queue shows it to everybody.
    """

    path: Path
    attempt: int = 0
    access: str = ""

    @property
    def job_id(self) -> str:
        """The job id."""
        return self.path.name

    @property
    def dump(self) -> Path:
        """Process and request, written once by the web server."""
        return self.path / "job.dump"

    @property
    def sent(self) -> Path:
        """The inputs as the client sent them, written once by the web server."""
        return self.path / "request.json"

    @property
    def sent_values(self) -> Path:
        """The large values among those inputs, one after the other."""
        return self.path / "request.values"

    @property
    def script(self) -> Path:
        """A copy of the batch script, for people; the scheduler keeps its own."""
        return self.path / "job.sh"

    @property
    def status(self) -> Path:
        """The WPS status document."""
        return self.path / "status.xml"

    @property
    def report(self) -> Path:
        """The same facts as data."""
        return self.path / "outcome.json"

    @property
    def response(self) -> Path:
        """The body of the answer to a synchronous Execute."""
        return self.path / "response.body"

    @property
    def form(self) -> Path:
        """How the results are wanted, written once by the web server."""
        return self.path / "form.json"

    @property
    def ranks(self) -> Path:
        """Requests of a job of several nodes, see :mod:`joblauncher.remote`; others have none."""
        return self.path / "ranks"

    @property
    def log(self) -> Path:
        """Standard output and error of the job."""
        return self.path / "job.log"

    @property
    def node(self) -> Path:
        """The name of the node on which its container was to start."""
        return self.path / "node"

    @property
    def work(self) -> Path:
        """The process's working directory; removed at the end."""
        return self._own("work")

    @property
    def temporary(self) -> Path:
        """``TMPDIR`` of the job; removed at the end."""
        return self._own("tmp")

    @property
    def storage(self) -> Path:
        """PyWPS's ``outputpath`` during the job."""
        return self.path / "outputs"

    @property
    def outputs(self) -> Path:
        """Where PyWPS's file storage puts outputs: ``<outputpath>/<access>``."""
        return self.storage / (self.access or self.job_id)

    @property
    def references(self) -> Path:
        """Inputs that the server has to fetch before the job can be submitted; gone afterwards."""
        return self.path / "references.json"

    @property
    def inputs(self) -> Path:
        """What the service prepared for the job, which only reads it; removed at the end."""
        return self.path / "inputs"

    @property
    def prepared(self) -> Path:
        """The working folder of the web server while it read the request."""
        return self.inputs / "request"

    @property
    def fetched(self) -> Path:
        """Inputs that the dispatcher fetched, by number."""
        return self.inputs / "fetched"

    @property
    def values(self) -> Path:
        """Large values of the request, one after the other, written once by the web server."""
        return self.inputs / "values"

    def lease(self, attempt: int) -> Path:
        """Taken by the launcher of this attempt, and by no second one."""
        return self.path / f"lease.{attempt}"

    def stop_request(self, attempt: int) -> Path:
        """The signal by which the batch system asked this attempt to stop; written once."""
        return self.path / f"stop.{attempt}"

    def attempts(self) -> set[int]:
        """The attempts that a launcher has begun.

        Raises:
            OSError: the folder cannot be listed.
        """
        # Listing, since an NFS client may answer from its cache that a file is not there (nfs(5)).
        found = (re.fullmatch(r"lease\.(\d+)", name) for name in os.listdir(self.path))
        return {int(match[1]) for match in found if match}

    def scratch(self) -> list[Path]:
        """What a finished job no longer needs, of all attempts."""
        found = [name for name in self._names() if _SCRATCH.fullmatch(name)]
        return [*(self.path / name for name in found), self.inputs]

    def unfinished(self) -> list[Path]:
        """What writers of our own files left that were killed, or that gave way to one of them."""
        written = (self.status, self.report, self.response, self.script)
        beginnings = tuple(f".{path.name}." for path in written)
        return [self.path / name for name in self._names() if name.startswith(beginnings)]

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except OSError:
            return []

    def _own(self, name: str) -> Path:
        return self.path / (f"{name}.{self.attempt}" if self.attempt else name)
