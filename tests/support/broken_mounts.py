"""File systems that break: full, read-only, late; whole again at the end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cluster_site as site

#: Before a command: it sees mounts of its own, which show nowhere else.
APART = ("unshare", "--mount", "--propagation", "private", "--")
_CLONE_NEWNS = 0x20000  # setns(2)
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096  # mount(2)
_KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8}


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size for the service's account, seen by the nodes as well."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "small", str(folder)],
        check=True,
    )
    try:
        shutil.chown(folder, site.user(), site.user())
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until nothing more fits; the file that has to go for others to have room."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"0")
    return ballast


def inside(pid: int, *command: str) -> None:
    """Run a command where a process sees its mounts."""
    subprocess.run(["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", *command], check=True)


@contextlib.contextmanager
def read_only(pid: int, path: Path) -> Iterator[None]:
    """What a process sees mounted at a path cannot be changed meanwhile."""
    _remount(pid, path, read_only=True)
    try:
        yield
    finally:
        try:
            _remount(pid, path, read_only=False)
        except subprocess.CalledProcessError:
            if Path(f"/proc/{pid}/ns/mnt").exists():  # otherwise they ended with it
                raise


def _remount(pid: int, path: Path, *, read_only: bool) -> None:
    """In a process of its own, which has no need of the other's mount(8)."""
    line = [sys.executable, __file__, str(pid), str(path), "ro" if read_only else "rw"]
    subprocess.run(line, check=True)


def _options(pid: int, path: Path) -> Sequence[str]:
    """Of a mount, as a process has it: proc(5), /proc/pid/mountinfo."""
    for line in reversed(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()):
        fields = line.split()
        if fields[4] == str(path):
            return fields[5].split(",")
    raise ValueError(f"nothing is mounted at {path}")


def _main(pid: int, path: Path, mode: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _MS_REMOUNT | _MS_BIND | (_MS_RDONLY if mode == "ro" else 0)
    flags |= sum(_KEPT.get(option, 0) for option in _options(pid, path))
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    for answer in (
        libc.setns(namespace, _CLONE_NEWNS),
        libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(flags), None),
    ):
        if answer != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
