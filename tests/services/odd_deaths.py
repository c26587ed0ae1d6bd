"""Processes that end in every way but the proper one, and one that ends well but leaves a child."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

from odd_kit import OPEN, number, result, value
from pywps import Process
from pywps.app.exceptions import ProcessError


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


def import_missing(_request: Any, _response: Any) -> None:
    """A module that the compute environment lacks."""
    import a_module_that_nobody_has  # noqa: F401


def leave_child(request: Any, response: Any) -> None:
    """End well, with a child still asleep in a session of its own."""
    seconds = str(value(request, "seconds"))
    subprocess.Popen(["sleep", seconds], start_new_session=True)
    response.outputs["result"].data = seconds


DEATHS = {
    "segfault": crash,
    "os_exit": leave_at_once,
    "sigkill": kill_itself,
    "sys_exit": call_exit,
    "value_error": raise_value_error,
    "process_error": raise_process_error,
    "missing_module": import_missing,
}
PROCESSES = [
    *(
        Process(handler, identifier=identifier, title=identifier, outputs=[result()], **OPEN)
        for identifier, handler in DEATHS.items()
    ),
    Process(
        leave_child,
        identifier="leaves_child",
        title="leaves_child",
        inputs=[number("seconds")],
        outputs=[result()],
        **OPEN,
    ),
]
