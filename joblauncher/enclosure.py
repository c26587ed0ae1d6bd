"""Shut one job of a nursery in a container into namespaces of its own.

A container keeps jobs from the host; jobs of one container, and its nursery, are kept from each
other by what happens here, before anything of a job is read: namespaces of its own for users,
mounts, processes, shared memory and, where the container has no network, for that. Then the job's
folder is mounted, file systems for temporary files are replaced by empty ones, and whatever else
could be written is read-only. At the end no capability is left, so nothing of it can be undone: in
a user namespace that the process makes for itself, all these mounts are locked
(mount_namespaces(7)).

The nursery sees no folder of any job: whoever supervises a job, outside, hands over its folder as a
mount (:func:`offer`). So a nursery that a job should take over would find nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from joblauncher import siblings
from joblauncher.shared import namespaces as kernel
from joblauncher.shared.jobdir import JobDir

#: Folders in which a job finds an empty file system of its own, with the size of the container's.
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
_FRESH = kernel.NO_SUID | kernel.NO_DEVICES
_TERMINALS = kernel.NO_SUID | kernel.NO_PROGRAMS
#: They have their own rules about who may write, or are replaced.
_SPECIAL = ("proc", "devpts", "mqueue")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A line of proc(5), mountinfo.

    Attributes:
        target: where.
        options: of this mount.
        kind: of file system.
        own_options: of that.
    """

    target: str
    options: str
    kind: str
    own_options: str

    @property
    def is_writable(self) -> bool:
        """Whether it is mounted read-write (proc(5), mountinfo)."""
        return "rw" in self.options.split(",")


def offer(job: Path) -> int:
    """A job's folder as a mount that :func:`enclose` takes; to be called outside, in a process that
    does nothing else, since it leaves its namespaces.

    Raises:
        OSError: the kernel does not allow it.
    """
    kernel.unshare_users(kernel.NEW_MOUNTS)
    return kernel.copy_mount(str(job))


def leave(*, network: bool) -> None:
    """Leave the namespaces of the container but that of mounts. The next child is the first process
    of the job's own.

    Args:
        network: whether the job uses that of the container.

    Raises:
        OSError: the kernel does not allow it.
    """
    kernel.unshare_users(_own(network=network))
    if not network:
        kernel.raise_loopback()


def fork(*, network: bool) -> int:
    """The same and that child at once, a child of this process's parent; 0 in the child, else its
    process id. The child has yet to :func:`arrive`.

    Raises:
        OSError: it is to be done in two steps, or not at all.
    """
    return siblings.fork(kernel.NEW_USERS | _own(network=network))


def arrive(user: int, group: int, *, network: bool) -> None:
    """In the child of :func:`fork`: complete what :func:`leave` does.

    Args:
        user: id of the account, as it was before; ``group``, likewise.
        network: as there.

    Raises:
        OSError: the kernel does not allow it.
    """
    kernel.map_account(user, group)
    if not network:
        kernel.raise_loopback()


def _own(*, network: bool) -> int:
    return kernel.NEW_PIDS | kernel.NEW_IPC | (0 if network else kernel.NEW_NETWORK)


def enclose(job: JobDir, folder: int, writable: Collection[str]) -> None:
    """Lay out what the job sees, and give up all rights; in the first process of new namespaces.

    Args:
        job: at its path, below the folder that shows the nursery's own files in its place.
        folder: descriptor from :func:`offer`; closed.
        writable: where the administrator has the container bind folders to write to.

    Raises:
        OSError: something cannot be done. The process has to end.
    """
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    spool = str(job.path.parent)
    mounts = list(_mounts())
    for mount in mounts:
        if mount.is_writable and mount.kind not in _SPECIAL and mount.target not in writable:
            flags = kernel.mount_flags(mount.options) | kernel.READ_ONLY
            _remount(mount.target, flags)
    for target in _TEMPORARY:
        for mount in mounts:
            if mount.target == target and mount.kind == "tmpfs" and target not in writable:
                _empty(mount, [one.target for one in mounts if one.target != spool])
    for mount in mounts:
        if mount.kind == "devpts":
            kernel.mount("devpts", mount.target, "devpts", _TERMINALS, "newinstance,ptmxmode=0666")
        if mount.kind == "mqueue":
            kernel.mount("mqueue", mount.target, "mqueue", _FRESH)
    os.makedirs(spool, exist_ok=True)
    kernel.mount("tmpfs", spool, "tmpfs", _FRESH, "size=64k,mode=0755")
    job.path.mkdir()
    kernel.attach_mount(folder, str(job.path))
    os.close(folder)
    kernel.mount("none", str(job.path), flags=kernel.PRIVATE)
    _remount(str(job.path), _flags_at(job.path) | _FRESH)
    _remount(spool, _FRESH | kernel.READ_ONLY)
    # As in a container of its own: they cannot be replaced from inside.
    for path in (job.dump, job.log, job.inputs):
        kernel.mount(str(path), str(path), flags=kernel.BIND)
        _remount(str(path), _flags_at(path) | kernel.READ_ONLY)
    kernel.mount("proc", "/proc", "proc", _FRESH | kernel.NO_PROGRAMS)
    kernel.drop_privileges()


def _mounts() -> Iterator[Mount]:
    """What is mounted here; of several at one place the last, which covers the others."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        target = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        found[target] = Mount(target, fields[5], rest[0], rest[2])
    yield from found.values()


def _remount(target: str, flags: int) -> None:
    kernel.mount("none", target, flags=kernel.REMOUNT | kernel.BIND | flags)


def _flags_at(path: Path) -> int:
    """Flags of the mount that holds a path (statvfs(3)); the numbers are those of mount(2), but for
    that of relatime."""
    found = os.statvfs(path).f_flag
    known = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_DEVICES | kernel.NO_PROGRAMS
    return found & (known | os.ST_NOATIME | os.ST_NODIRATIME) | (
        kernel.RELATIVE_TIMES if found & os.ST_RELATIME else 0
    )


def _empty(mount: Mount, others: Collection[str]) -> None:
    """Put an empty file system over this one; what is mounted below it stays in its place."""
    below = [one for one in others if one.startswith(f"{mount.target}/")]
    # Of those that lie in each other the outermost brings the others along.
    below = [one for one in below if not any(one.startswith(f"{other}/") for other in below)]
    kept = [(one, os.path.isdir(one), os.open(one, os.O_PATH)) for one in below]
    size = [word for word in mount.own_options.split(",") if word.startswith("size=")]
    kernel.mount("tmpfs", mount.target, "tmpfs", _FRESH, ",".join(["mode=1777", *size]))
    for target, is_folder, descriptor in kept:
        if is_folder:
            os.makedirs(target, mode=0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            with suppress(FileExistsError):
                Path(target).touch(exist_ok=False)
        source = f"/proc/self/fd/{descriptor}"
        kernel.mount(source, target, flags=kernel.BIND | kernel.RECURSIVE)
        os.close(descriptor)
