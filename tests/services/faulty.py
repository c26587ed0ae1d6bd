"""A PyWPS service for fault tests: one process a fault, so that each can have settings of its own.

Its modules are made to lie, where the service wishes so, about the versions it runs: a dump then
looks like one from a host that was upgraded while the image was not.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pywps import Process, Service
from pywps.app.exceptions import ProcessError

import odd_data
import odd_deaths
import odd_ends
import odd_shapes
from joblauncher.shared import dump
from odd_kit import OPEN, document, number, result, value, whole

#: Processes that count, each for the fault that its settings invite.
COUNTING = (
    *("counts", "slow", "bad_image", "no_image", "no_partition", "no_account", "too_long"),
    *("no_log", "spare", "second", "preempted"),
)
#: Version of whatever the service of this process pretends to run.
PRETENDED = {"mismatch_python": "3.1.4", "mismatch_dill": "9.9.9", "mismatch_pywps": "3.2.1"}


def wait() -> None:
    """Until there is a file called "go" in the job's folder: a test says when."""
    go = Path.cwd().parent / "go"
    while not go.exists():
        time.sleep(0.1)


def count(process: Process, request: Any, response: Any) -> None:
    """Count some steps; every one is written by whoever counts, with his process id. Where that is
    wanted, the last one is made when a test says so."""
    steps, seconds = value(request, "steps"), value(request, "seconds")
    ticks = Path(process.workdir) / "ticks.txt"
    for step in range(1, steps + 1):
        time.sleep(seconds)
        if step == steps and value(request, "wait"):
            wait()
        with ticks.open("a", encoding="utf-8") as file:
            file.write(f"{step} {os.getpid()}\n")
        response.update_status(f"{steps - step} of {steps} left", 100 * step // steps)
    response.outputs["document"].file = str(ticks)


def tick(_request: Any, response: Any) -> None:
    """Count on, and tell of each step and its time, until a test says that it is enough."""
    go, ticks, step = Path.cwd().parent / "go", Path.cwd() / "ticks.txt", 0
    while not go.exists():
        step += 1
        with ticks.open("a", encoding="utf-8") as file:
            file.write(f"{step} {time.time()}\n")
        response.update_status(f"{step} counted", 50)
        time.sleep(0.25)
    response.outputs["document"].file = str(ticks)


def stay_quiet(_request: Any, response: Any) -> None:
    """Take as long as a test wishes, without a word."""
    wait()
    response.outputs["result"].data = "awake"


def die_when_told(_request: Any, _response: Any) -> None:
    """What the kernel's out-of-memory killer does, at the moment that a test wishes."""
    wait()
    os.kill(os.getpid(), signal.SIGKILL)


def eat(request: Any, response: Any) -> None:
    """Take memory, page by page, and hold it for a while."""
    taken = bytearray(b"x") * (value(request, "mebibytes") * 2**20)
    time.sleep(600)
    response.outputs["result"].data = str(len(taken))


def end_by(request: Any, response: Any) -> None:
    """Be killed by a signal of one's own."""
    os.kill(os.getpid(), value(request, "number"))
    signal.pause()


def exit_with(request: Any, response: Any) -> None:
    """End the interpreter at once."""
    os._exit(value(request, "number"))


def refuse(_request: Any, _response: Any) -> None:
    """An exception meant for the user."""
    raise ProcessError("The catchment has no outlet.")


class Counting(Process):
    """Counts; an instance for each name."""

    def __init__(self, identifier: str) -> None:
        inputs = [
            whole("steps", min_occurs=0, default=2),
            number("seconds", min_occurs=0, default=0.5),
            whole("wait", min_occurs=0, default=0),
        ]
        outputs = [document()]
        super().__init__(
            self._count, identifier, identifier, inputs=inputs, outputs=outputs, **OPEN
        )

    def _count(self, request: Any, response: Any) -> None:
        count(self, request, response)


def _ending(handler: Any, identifier: str, *inputs: Any) -> Process:
    return Process(handler, identifier, identifier, inputs=list(inputs), outputs=[result()], **OPEN)


def _pretend() -> None:
    """Let the dumps of some processes tell of other versions than are true."""
    truthful = dump.pack

    def pack(header: dump.Header, *what: Any) -> bytes:
        if header.process in PRETENDED:
            part = header.process.partition("_")[2]
            header = replace(header, **{part: PRETENDED[header.process]})
        return truthful(header, *what)

    dump.pack = pack


_pretend()
service = Service(
    [
        *map(Counting, (*COUNTING, *PRETENDED)),
        _ending(eat, "greedy", whole("mebibytes")),
        _ending(end_by, "signalled", whole("number")),
        _ending(exit_with, "exits", whole("number")),
        _ending(refuse, "refuses"),
        _ending(stay_quiet, "waits"),
        _ending(die_when_told, "killed_when_told"),
        Process(tick, "ticks", "ticks", outputs=[document()], **OPEN),
        *odd_shapes.PROCESSES,
        *odd_data.PROCESSES,
        *odd_deaths.PROCESSES,
        *odd_ends.PROCESSES,
    ]
)
