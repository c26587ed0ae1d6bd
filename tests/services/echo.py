"""The echo process, one that fails in the way that it is told, and one that computes."""

from __future__ import annotations

import os
import signal
from typing import Any

from pywps import LiteralInput, LiteralOutput, Process, Service

from examples.processes import ClimateAnomaly
from examples.processes.echo_api import Echo
from odd_kit import OPEN


def fail(request: Any, response: Any) -> None:
    if request.inputs["how"][0].data == "raise":
        raise ValueError("too cold")
    os.kill(os.getpid(), signal.SIGKILL)


service = Service(
    [
        Echo(longest=600.0),
        Process(
            fail,
            "fail",
            "Fail",
            inputs=[LiteralInput("how", "How", "string", allowed_values=["raise", "kill"])],
            outputs=[LiteralOutput("never", "Never", "string")],
            **OPEN,
        ),
        ClimateAnomaly(),
    ]
)
