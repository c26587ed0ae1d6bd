"""The spool: one folder a job on the file system that web server, dispatcher and nodes share."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from joblauncher.jobdir import JobDir, atomic_write

__all__ = ["JOB_ID", "JobDir", "Spool", "atomic_write", "is_job_id"]

#: A job id as a regular expression: a UUID in its canonical, lower-case form.
JOB_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def is_job_id(text: str) -> bool:
    """Whether this is a job id."""
    return re.fullmatch(JOB_ID, text) is not None


class Spool:
    """All job folders of one installation.

    Args:
        root: the spool folder, an absolute path that is the same on every host.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, job_id: str) -> JobDir:
        """The folder of a job, whether or not it exists.

        Raises:
            ValueError: not a job id, so that no path can be made up from a client's text.
        """
        if not is_job_id(job_id):
            raise ValueError("not a job id")
        return JobDir(self.root / job_id)

    def create(self, job_id: str) -> JobDir:
        """Make a new job's folder with the folders that PyWPS expects in it.

        Raises:
            FileExistsError: there is such a job already.
        """
        job = self.open(job_id)
        job.path.mkdir(mode=0o700)
        for folder in (job.work, job.temporary, job.storage):
            folder.mkdir(mode=0o700)
        return job

    def remove(self, job_id: str) -> None:
        """Delete a job's folder, if it is there."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.open(job_id).path)

    def discard_work(self, job_id: str) -> None:
        """Delete what a finished job no longer needs; its outputs, documents and log stay."""
        job = self.open(job_id)
        for folder in (job.work, job.temporary):
            shutil.rmtree(folder, ignore_errors=True)

    def job_ids(self) -> Iterator[str]:
        """The ids of all job folders."""
        return (entry.name for entry in self.root.iterdir() if is_job_id(entry.name))
