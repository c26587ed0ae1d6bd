"""Every path of a job, and the one way to write a file that others read meanwhile."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobDir:
    """The folder of one job on the shared file system; mode 0700, the same path on every host.

    Attributes:
        path: the folder; its name is the job id.
    """

    path: Path

    @property
    def job_id(self) -> str:
        """The job id."""
        return self.path.name

    @property
    def dump(self) -> Path:
        """Process and request, written once by the web server."""
        return self.path / "job.dump"

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
    def log(self) -> Path:
        """Standard output and error of the job."""
        return self.path / "job.log"

    @property
    def work(self) -> Path:
        """The process's working directory; removed at the end."""
        return self.path / "work"

    @property
    def temporary(self) -> Path:
        """``TMPDIR`` of the job; removed at the end."""
        return self.path / "tmp"

    @property
    def storage(self) -> Path:
        """PyWPS's ``outputpath`` during the job."""
        return self.path / "outputs"

    @property
    def outputs(self) -> Path:
        """Where PyWPS's file storage puts outputs: ``<outputpath>/<job id>``."""
        return self.storage / self.job_id

    def lease(self, attempt: int) -> Path:
        """Taken by the launcher of this attempt, and by no second one."""
        return self.path / f"lease.{attempt}"


def atomic_write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole: a reader sees the old or the new content, never less.

    The content is on disk before the name points to it. On a network file system a rename within
    one folder is atomic too (rename(2), NFS RFC 8881 section 18.26).

    Raises:
        OSError: the old file is untouched, no temporary file stays.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
