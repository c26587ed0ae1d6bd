"""Processes that end in every way but the proper one, and some that are ended from outside."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any

from pywps import Process
from pywps.app.exceptions import ProcessError

from odd_kit import OPEN, number, result, value, whole


def crash(_request: Any, _response: Any) -> None:
    """Read where nothing may be read."""
    print("about to crash", flush=True)
    ctypes.string_at(0)


def leave_at_once(_request: Any, _response: Any) -> None:
    """End the interpreter without any ceremony."""
    print("about to leave")
    os._exit(3)


def kill_itself(_request: Any, _response: Any) -> None:
    """What the kernel's out-of-memory killer does."""
    print("about to be killed", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def call_exit(_request: Any, _response: Any) -> None:
    """The proper way to end a program, not a process."""
    print("about to exit", flush=True)
    sys.exit(4)


def raise_value_error(_request: Any, _response: Any) -> None:
    """A mistake in the process."""
    raise ValueError("the third value is odd")


def raise_process_error(_request: Any, _response: Any) -> None:
    """An exception meant for the user."""
    raise ProcessError("The catchment has no outlet.")


def raise_brief_error(_request: Any, _response: Any) -> None:
    """An exception meant for the user, with a message that PyWPS does not show."""
    raise ProcessError("?")


def import_missing(_request: Any, _response: Any) -> None:
    """A module that the compute environment lacks."""
    import a_module_that_nobody_has  # noqa: F401


def leave_child(request: Any, response: Any) -> None:
    """End well, with a child still asleep in a session of its own."""
    seconds = str(value(request, "seconds"))
    subprocess.Popen(["sleep", seconds], start_new_session=True)
    response.outputs["result"].data = seconds


def leave_and_wait(request: Any, response: Any) -> None:
    """Wait, with a child that waits in a session of its own."""
    seconds = value(request, "seconds")
    with subprocess.Popen(["sleep", str(seconds)], start_new_session=True):
        print("waits with a child", flush=True)
    response.outputs["result"].data = "waited"


def fork_and_go_on(_request: Any, response: Any) -> None:
    """Fork, and let the copies leave this function in each way that there is."""
    codes = []
    for which in range(3):
        copy = os.fork()
        if copy == 0:
            if which == 1:
                raise ValueError("in the copy")
            if which == 2:
                sys.exit(3)
            response.outputs["result"].data = "the copy's"
            return
        codes.append(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]))
    response.outputs["result"].data = str(codes)


def stay_quiet(request: Any, response: Any) -> None:
    """Take some time without a word."""
    time.sleep(value(request, "seconds"))
    response.outputs["result"].data = "awake"


def talk(request: Any, response: Any) -> None:
    """Print much, a hundred times."""
    for _ in range(100):
        print("much" * 2048, flush=True)
        time.sleep(value(request, "seconds") / 100)
    response.outputs["result"].data = "told"


def eat_memory(request: Any, response: Any) -> None:
    """Take as much memory as asked and hold it for a while."""
    taken = bytearray(b"x") * (value(request, "mebibytes") * 2**20)
    time.sleep(60)
    response.outputs["result"].data = str(len(taken))


def fill_storage(_request: Any, _response: Any) -> None:
    """Write until nothing more fits."""
    with open("large", "wb") as file:
        while True:
            file.write(bytes(2**20))
            file.flush()


def fill_storage_unmoved(request: Any, response: Any) -> None:
    """Write until nothing more fits, and think nothing of it."""
    with contextlib.suppress(OSError):
        fill_storage(request, response)
    response.outputs["result"].data = "full"


DEATHS = {
    "segfault": crash,
    "os_exit": leave_at_once,
    "sigkill": kill_itself,
    "sys_exit": call_exit,
    "value_error": raise_value_error,
    "process_error": raise_process_error,
    "brief_error": raise_brief_error,
    "missing_module": import_missing,
    "filler": fill_storage,
    "unmoved_filler": fill_storage_unmoved,
    "forks": fork_and_go_on,
}
PROCESSES = [
    *(
        Process(handler, identifier=identifier, title=identifier, outputs=[result()], **OPEN)
        for identifier, handler in DEATHS.items()
    ),
    *(
        Process(
            handler,
            identifier=identifier,
            title=identifier,
            inputs=[given],
            outputs=[result()],
            **OPEN,
        )
        for handler, identifier, given in (
            (leave_child, "leaves_child", number("seconds")),
            (leave_and_wait, "leaves_and_waits", number("seconds")),
            (eat_memory, "hungry", whole("mebibytes")),
            (stay_quiet, "quiet", number("seconds")),
            (talk, "talker", number("seconds")),
        )
    ),
]
