"""A PyWPS service whose process uses as much time, processor and memory as a test wishes."""

from __future__ import annotations

import time
from typing import Any

from pywps import Process, Service

from odd_kit import OPEN, number, result, value, whole


def work(request: Any, response: Any) -> None:
    """Hold memory, compute for some seconds of processor time, then sleep."""
    held = bytearray(b"x") * (value(request, "mebibytes") * 2**20)
    end = time.process_time() + value(request, "burn")
    while time.process_time() < end:
        sum(range(10_000))
    time.sleep(value(request, "sleep"))
    response.outputs["result"].data = str(len(held))


service = Service(
    [
        Process(
            work,
            identifier="work",
            title="work",
            inputs=[number("burn"), number("sleep"), whole("mebibytes")],
            outputs=[result()],
            **OPEN,
        )
    ]
)
