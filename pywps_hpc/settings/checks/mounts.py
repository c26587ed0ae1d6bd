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
    found = ("/", "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if path.is_relative_to(place) and len(place) >= len(found[0]):
            found = place, after.split(" ")[0]
    return found


def is_network(kind: str) -> bool:
    """Whether a file system of this type may be on another host."""
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.") not in _LOCAL_FUSE
    return kind in NETWORK
