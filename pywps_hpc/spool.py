"""The spool: one folder a job on the file system that web server, dispatcher and nodes share."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from joblauncher.shared import storage
from joblauncher.shared.files import atomic_write, make_usable, read_plain, remove_tree
from joblauncher.shared.jobdir import JobDir

__all__ = ["JOB_ID", "JobDir", "Spool", "atomic_write", "is_job_id"]

#: Folder, beside the jobs' own, of what the elements of one job array have in common.
ARRAYS = "arrays"
#: Folder of the job folders that are being removed: what is in it goes, with or without a row.
TRASH = "trash"
#: File that says which spool this is.
IDENTITY = "spool.id"
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
        self._identity = ""

    def recognise(self, identity: str) -> None:
        """Say which spool this has to be, from now on."""
        self._identity = identity

    @property
    def is_recognised(self) -> bool:
        """Whether it has been said which spool this has to be."""
        return bool(self._identity)

    def identity(self) -> str:
        """Which spool this is, as is written in it.

        Raises:
            OSError: nothing is written, or it cannot be read.
        """
        return read_plain(self.root / IDENTITY, most=100).decode("ascii", "replace").strip()

    def mark(self, identity: str) -> str:
        """Write down which spool this is, unless that has been done; what is written there now.

        Raises:
            OSError: it cannot be written.
        """
        # Linked into its place when it is whole: whoever comes first is the only one.
        written = self.root / f".{IDENTITY}.{identity}"
        atomic_write(written, f"{identity}\n".encode())
        try:
            (self.root / IDENTITY).hardlink_to(written)
        except FileExistsError:
            pass
        except OSError:  # some file systems have no links
            if not (self.root / IDENTITY).exists():
                written.rename(self.root / IDENTITY)
        finally:
            written.unlink(missing_ok=True)
        return self.identity()

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
        for folder in (job.inputs, job.prepared, job.work, job.temporary, job.storage):
            folder.mkdir(mode=0o700)
        return job

    def array(self, name: str) -> Path:
        """The folder of a job array, whether or not it exists.

        Args:
            name: of the array in the batch system.
        """
        return self.root / ARRAYS / name

    def create_array(self, name: str, job_ids: Mapping[int, str]) -> Path:
        """Make a job array's folder: a batch system finds the log of each element there by its
        index, and each job finds the script that it was started by.

        Args:
            name: of the array.
            job_ids: by index.
        """
        folder = self.array(name)
        for place in (folder.parent, folder):  # a parent made along the way has the umask's mode
            place.mkdir(mode=0o700, exist_ok=True)
        script = JobDir(folder).script
        for index, job_id in job_ids.items():
            job = self.open(job_id)
            with suppress(FileExistsError):
                _link_log(folder / f"log-{index}", job.log)
            with suppress(FileExistsError):
                job.script.symlink_to(os.path.relpath(script, job.path))
        return folder

    def arrays(self) -> Iterator[str]:
        """The names of all arrays that have a folder."""
        arrays = self.root / ARRAYS
        return (folder.name for folder in arrays.iterdir()) if arrays.is_dir() else iter(())

    def remove_orphaned(self, arrays: Iterable[str]) -> None:
        """Delete the folders of those arrays of which no job's folder is left."""
        for folder in map(self.array, arrays):
            with suppress(OSError):  # somebody else is at it
                if not any(_has_job(log) for log in folder.glob("log-*")):
                    remove_tree(folder)

    def remove(self, job_id: str) -> None:
        """Delete the folder of a job that has not run, if it is there.

        Raises:
            OSError: something of it stays.
        """
        remove_tree(self.open(job_id).path)

    def require(self) -> None:
        """Make sure that the spool is there, and the one that it has to be: an empty folder is a
        file system that is not mounted.

        Raises:
            OSError: it is not.
        """
        if self._identity:
            try:
                found = self.identity()
            except FileNotFoundError:
                raise FileNotFoundError(errno.ENOENT, "the spool is missing") from None
            if found != self._identity:
                raise OSError(errno.ESTALE, "this is the spool of another job table")
            return
        with os.scandir(self.root) as entries:
            if next(entries, None) is None:
                raise FileNotFoundError(errno.ENOENT, "the spool is empty", str(self.root))

    def discard(self, job_id: str) -> None:
        """Move a job's folder out of the way, if it is there: at once, however large it is.

        Raises:
            OSError: it cannot be moved, or the spool is missing.
        """
        self.require()
        job = self.open(job_id)
        if os.path.lexists(job.path):
            (self.root / TRASH).mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError, NotADirectoryError):
                make_usable(job.path)  # a folder without rights cannot be moved
            with suppress(FileNotFoundError):  # somebody else did
                job.path.rename(self.root / TRASH / job_id)

    def discarded(self) -> Iterator[str]:
        """The ids of jobs whose folders have been moved, and not been deleted yet."""
        return (name for name in self._in_trash() if is_job_id(name))

    def array_of_discarded(self, job_id: str) -> str:
        """The array whose script such a job was started by; empty if it had its own."""
        try:
            script = Path(os.readlink(self._discarded(job_id).script))
        except OSError:
            return ""
        return script.parent.name if script.parent.parent.name == ARRAYS else ""

    def delete_discarded(self, job_id: str) -> None:
        """Delete the files of such a job.

        Raises:
            OSError: some cannot be deleted.
        """
        remove_tree(self._discarded(job_id).path)

    def _discarded(self, job_id: str) -> JobDir:
        return JobDir(self.root / TRASH / self.open(job_id).job_id)

    def discard_work(self, job_id: str) -> None:
        """Have what a finished job no longer needs deleted by whoever calls :meth:`delete_work`;
        its outputs, documents and log stay. It is noted in the spool, so that nothing is forgotten
        when a program ends."""
        note = self._note(job_id)
        try:
            note.parent.mkdir(mode=0o700, exist_ok=True)
            note.touch(mode=0o600)
        except OSError:  # there is no room even for that: now is the time to make some
            self.delete_work(job_id)

    def discarded_work(self) -> Iterator[str]:
        """The ids of the jobs for which that was noted, and has not been done yet."""
        names = (name.rpartition(".") for name in self._in_trash())
        return (job_id for job_id, _, kind in names if kind == "work" and is_job_id(job_id))

    def delete_work(self, job_id: str, *, outputs: bool = False) -> list[OSError]:
        """Delete what a finished job no longer needs.

        Args:
            outputs: whether its outputs go as well.

        Returns:
            Why some of it could not be deleted. That is not tried again, unless the storage is in
            trouble: it goes with the job's folder.
        """
        errors = []
        for path in self._needless(job_id, outputs=outputs):
            try:
                remove_tree(path)
            except OSError as error:
                errors.append(error)
        if not any(map(storage.trouble, errors)):
            with suppress(OSError):
                self._note(job_id).unlink()
        return errors

    def has_work(self, job_id: str, *, outputs: bool = False) -> bool:
        """Whether a finished job has left something that it no longer needs.

        Args:
            outputs: whether its outputs count as well.
        """
        return any(map(os.path.lexists, self._needless(job_id, outputs=outputs)))

    def _needless(self, job_id: str, *, outputs: bool) -> list[Path]:
        job = self.open(job_id)
        with suppress(OSError):  # its process may have taken us the rights
            make_usable(job.path)
        return [*job.scratch(), *job.unfinished(), *([job.storage, job.response] * outputs)]

    def _note(self, job_id: str) -> Path:
        return self.root / TRASH / f"{self.open(job_id).job_id}.work"

    def _in_trash(self) -> list[str]:
        with suppress(FileNotFoundError):
            return os.listdir(self.root / TRASH)
        return []

    def now(self) -> float:
        """The file system's clock, seconds since the epoch: its times are told by no other one.

        Raises:
            OSError: nothing can be written.
        """
        with tempfile.TemporaryFile(dir=self.root) as probe:
            return os.fstat(probe.fileno()).st_mtime

    def job_ids(self) -> Iterator[str]:
        """The ids of all job folders."""
        return (entry.name for entry in self.root.iterdir() if is_job_id(entry.name))


def _link_log(link: Path, log: Path) -> None:
    """Give a log a second name. TORQUE's MOM, told to write logs where they belong, takes an
    existing file of the job's owner and refuses a symbolic link (measured, exit status -9)."""
    log.touch(mode=0o600)
    try:
        link.hardlink_to(log)
    except FileExistsError:
        raise
    except OSError:  # some file systems have none, or none from folder to folder (BeeGFS)
        link.symlink_to(os.path.relpath(log, link.parent))


def _has_job(log: Path) -> bool:
    """Whether the job is there whose log this is in an array's folder."""
    if log.is_symlink():
        return (log.parent / os.readlink(log)).parent.is_dir()
    return log.stat().st_nlink > 1
