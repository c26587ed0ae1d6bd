"""A whole service in one file: what PyWPS promises a process, and what a process leaves undone.

It is served twice: imported by name, and as a WSGI script that its server loads under a name of its
own (see wsgi_script.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from pywps import BoundingBoxOutput, ComplexOutput, Format, LiteralOutput, Process, Service

from odd_kit import OPEN, result, value, word
from pywps_hpc import hpc

LOCK = threading.RLock()
COUNTED: list[str] = []
TEXT = Format("text/plain")


class Region(Service):
    """A service with an attribute and a method of its own, and something that cannot travel."""

    def __init__(self, processes: list[Process]) -> None:
        super().__init__(processes)
        self.region = "north"
        self.lock = threading.Lock()
        self.pipe = os.popen("true")

    def lookup(self, name: str) -> str:
        """A place in this region."""
        return f"{name} in the {self.region}"


class Counting:
    """What both processes of this file have in common."""

    def count(self) -> int:
        """How often something was counted in this job."""
        with LOCK:
            COUNTED.append(type(self).__name__)
            return len(COUNTED)


class Sibling(Counting, Process):
    """Is called by another process of the service."""

    def __init__(self) -> None:
        super().__init__(
            self.work, identifier="sibling", title="Sibling", outputs=[result()], **OPEN
        )

    def work(self, _request: Any, response: Any) -> None:
        """Nothing but to count."""
        response.outputs["result"].data = str(self.count())


class Asking(Counting, Process):
    """Asks its service for whatever PyWPS gives a process."""

    def __init__(self) -> None:
        super().__init__(self.ask, identifier="asking", title="Asking", outputs=[result()], **OPEN)

    def ask(self, _request: Any, response: Any) -> None:
        """Puts down what it was told."""
        sibling = self.service.prepare_process_for_execution("sibling")
        tool = [sys.executable, "-m", "odd_kit"]
        told = {
            "processes": sorted(self.service.processes),
            "kind": [type(self.service).__name__, isinstance(self.service, Service)],
            "lookup": self.service.lookup("ford"),
            "same": [service.region, hpc(service) is service, application.region],
            "status": self.status_url,
            "counted": [self.count(), sibling.count(), sibling.title],
            "module": subprocess.run(tool, capture_output=True, check=False).returncode,
        }
        response.outputs["result"].data = json.dumps(told)


class Tidy(Process):
    """Leaves a file elsewhere, which its own ``clean()`` removes, and then goes wrong."""

    def __init__(self) -> None:
        inputs = [word("scratch"), word("end")]
        super().__init__(
            self.work, identifier="tidy", title="Tidy", inputs=inputs, outputs=[result()], **OPEN
        )

    def work(self, request: Any, response: Any) -> None:
        """Ends as it is asked to."""
        self.scratch = Path(value(request, "scratch"))
        self.scratch.write_text("large")
        response.outputs["result"].data = "done"
        if value(request, "end") == "fail":
            raise ValueError("as asked")

    def clean(self) -> None:
        """Removes the file, and says so."""
        with self.scratch.with_suffix(".cleaned").open("a") as said:
            said.write("once ")
        self.scratch.unlink()
        super().clean()
        raise RuntimeError("the end of clean()")


def undone(identifier: str, output: Any, *, file: bool = False) -> Process:
    """A process that does not set its output, or sets it to a file that is gone at the end."""

    def handler(_request: Any, response: Any) -> None:
        if file:
            path = Path("vanished.txt").absolute()
            path.write_text("text")
            response.outputs["result"].file = str(path)
            path.unlink()

    return Process(handler, identifier=identifier, title="Undone", outputs=[output], **OPEN)


service = Region(
    [
        Asking(),
        Sibling(),
        Tidy(),
        undone("unset_literal", LiteralOutput("result", "Result", data_type="string")),
        undone("unset_box", BoundingBoxOutput("result", "Result", crss=["epsg:4326"])),
        undone("unset_complex", ComplexOutput("result", "Result", supported_formats=[TEXT])),
        undone("gone", ComplexOutput("result", "Result", supported_formats=[TEXT]), file=True),
    ]
)
application = hpc(service)
