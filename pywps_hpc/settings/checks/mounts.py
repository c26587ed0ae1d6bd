"""Which file system holds a path, and whether it may be on another host."""

from __future__ import annotations

import re
from pathlib import Path

#: Types of file systems whose locks SQLite cannot build upon (mount(8); SQLite FAQ, 5).
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "smbfs", "afs", "ceph"),
        *("glusterfs", "panfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "wekafs", "9p"),
    }
)
#: File systems in user space that are on this host; of all others that is not known.
_LOCAL_FUSE = ("fuse-overlayfs", "overlayfs", "bindfs", "ntfs-3g", "gocryptfs", "encfs", "lxcfs")


def file_system(path: Path, mounts: str) -> tuple[str, str]:
    """Where the file system is mounted that holds a path, and its type.

    Args:
        path: absolute, without links.
        mounts: as in ``/proc/self/mountinfo`` (proc(5)): a later mount hides an earlier one.
    """
    place, kind, _ = _mount(path, mounts)
    return place, kind


def options(path: Path, mounts: str) -> frozenset[str]:
    """The options with which the file system that holds a path is mounted, and its own.

    Args:
        path, mounts: as for :func:`file_system`.
    """
    return _mount(path, mounts)[2]


def _mount(path: Path, mounts: str) -> tuple[str, str, frozenset[str]]:
    found: tuple[str, str, frozenset[str]] = ("/", "", frozenset())
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, own = before.split(" "), after.split(" ")
        if len(fields) < 6 or not after:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if path.is_relative_to(place) and len(place) >= len(found[0]):
            found = place, own[0], frozenset(fields[5].split(",") + own[-1].split(","))
    return found


def is_network(kind: str) -> bool:
    """Whether a file system of this type may be on another host."""
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.") not in _LOCAL_FUSE
    return kind in NETWORK
