"""Fork a process that is a child of this one's parent (clone(2), CLONE_PARENT).

What a nursery starts shall be no child of its own. Without this that takes two forks, the first of
which ends at once, and both copy the page tables of all modules.

The C library knows nothing of such a fork: its handlers for forks (pthread_atfork(3)) are not run,
which is right only where there is one thread. A process with more gets ENOTSUP.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

#: One number on all architectures; Linux 5.3.
_CLONE3 = 435
_PARENT = 0x00008000
#: clone(2), struct clone_args: what it does, and seven fields that stay empty. Its end is signalled
#: as that of this process.
_ARGUMENTS = struct.Struct("8Q")
#: Keeps the lock of the interpreter, which the child could not take again.
_C = ctypes.PyDLL(None, use_errno=True)


def fork(flags: int = 0) -> int:
    """As :func:`os.fork`, of a sibling.

    Args:
        flags: namespaces of its own (clone(2)), of which it is the first process.

    Raises:
        OSError: it cannot be had, here or at all.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    arguments = _ARGUMENTS.pack(_PARENT | flags, *[0] * 7)
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = int(_C.syscall(ctypes.c_long(_CLONE3), arguments, ctypes.c_size_t(_ARGUMENTS.size)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        number = ctypes.get_errno()
        python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid


def fork_away() -> bool:
    """Fork a process that is no child of this one, and leads a session of its own; whether this is
    it.

    Raises:
        OSError: there is none.
    """
    try:
        pid = fork()
    except OSError:
        if pid := os.fork():
            os.waitpid(pid, 0)
        else:
            _end_unless_forked()
    if pid == 0:
        os.setsid()
    return pid == 0


def _end_unless_forked() -> None:
    """Go on in a child alone, which nobody waits for."""
    try:
        if os.fork() == 0:
            return
    except OSError:
        os._exit(1)
    os._exit(0)
