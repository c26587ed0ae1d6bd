"""System calls on namespaces, mounts and privileges that Python has no functions for."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

#: unshare(2)
NEW_MOUNTS, NEW_IPC = 0x00020000, 0x08000000
NEW_USERS, NEW_PIDS, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
#: mount(2)
READ_ONLY, NO_SUID, NO_DEVICES, NO_PROGRAMS = 0x1, 0x2, 0x4, 0x8
REMOUNT, BIND, RECURSIVE, PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
RELATIVE_TIMES = 0x200000
_FLAGS = {
    "ro": READ_ONLY,
    "nosuid": NO_SUID,
    "nodev": NO_DEVICES,
    "noexec": NO_PROGRAMS,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "relatime": RELATIVE_TIMES,
}
#: open_tree(2) and move_mount(2): system calls since 424 have one number on all architectures.
_OPEN_TREE, _MOVE_MOUNT = 428, 429
_CURRENT_FOLDER, _CLONE, _CLOSE_ON_EXEC, _FROM_DESCRIPTOR = -100, 0x1, 0o2000000, 0x4
#: prctl(2), capabilities(7)
_DROP_FROM_BOUND, _NO_NEW_PRIVILEGES, _LAST_CAPABILITY = 24, 38, 63
_CAPABILITIES_VERSION = 0x20080522
#: netdevice(7)
_SET_FLAGS, _UP_RUNNING = 0x8914, 0x41

_C = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    result: int = getattr(_C, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave namespaces of the parent's; those of process ids only for children yet to come.

    Raises:
        OSError: the kernel, or its configuration, does not allow it.
    """
    _call("unshare", ctypes.c_int(flags))


def unshare_users(flags: int) -> None:
    """The same, for a new user namespace (user_namespaces(7)) with this account alone, which has
    all capabilities in it.

    Raises:
        OSError: the kernel, or its configuration, does not allow it.
    """
    account = os.geteuid(), os.getegid()  # afterwards they are nobody's, until they are mapped
    unshare(NEW_USERS | flags)
    map_account(*account)


def map_account(user: int, group: int) -> None:
    """Have this account, and no other, in the new user namespace of this process.

    Raises:
        OSError: the kernel, or its configuration, does not allow it.
    """
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2).

    Raises:
        OSError: it cannot be mounted.
    """
    try:
        _call(
            "mount",
            ctypes.c_char_p(os.fsencode(source)),
            ctypes.c_char_p(os.fsencode(target)),
            ctypes.c_char_p(kind.encode() or None),
            ctypes.c_ulong(flags),
            ctypes.c_char_p(options.encode() or None),
        )
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({kind or 'bind'} on {target})") from None


def mount_flags(options: str) -> int:
    """Those of a mount's own options in proc(5), mountinfo: a remount must not lose any."""
    return sum(_FLAGS.get(word, 0) for word in options.split(","))


def copy_mount(path: str) -> int:
    """A folder as a mount that is nowhere yet; its descriptor, which may go to another process.

    Raises:
        OSError: the kernel is older than 5.2, or this process may not mount.
    """
    flags = ctypes.c_uint(_CLONE | _CLOSE_ON_EXEC)
    folder = ctypes.c_char_p(os.fsencode(path))
    return _call("syscall", ctypes.c_long(_OPEN_TREE), ctypes.c_int(_CURRENT_FOLDER), folder, flags)


def attach_mount(descriptor: int, target: str) -> None:
    """Put what :func:`copy_mount` made in its place.

    Raises:
        OSError: it cannot be put there.
    """
    _call(
        "syscall",
        ctypes.c_long(_MOVE_MOUNT),
        ctypes.c_int(descriptor),
        ctypes.c_char_p(b""),
        ctypes.c_int(_CURRENT_FOLDER),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_FROM_DESCRIPTOR),
    )


def raise_loopback() -> None:
    """Turn on the only interface of a new network namespace.

    Raises:
        OSError: it cannot be turned on.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP_RUNNING))


def drop_privileges() -> None:
    """Give up all capabilities, for this process and whatever it starts.

    Raises:
        OSError: they are still there.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        _C.prctl(_DROP_FROM_BOUND, capability, 0, 0, 0)  # above the last one: EINVAL
    header = struct.pack("Ii", _CAPABILITIES_VERSION, 0)
    _call("capset", header, bytes(24))
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
