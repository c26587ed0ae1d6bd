"""A process that notes when its first line ran, for benchmarks/launcher.py and warm.py."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pywps import LiteralOutput, Process, Service


class FirstLine(Process):  # type: ignore[misc]
    """Writes the monotonic clock (ns) to the file that the environment names, if it does, and tells
    the time of day (ns)."""

    def __init__(self) -> None:
        super().__init__(
            self._handle,
            "first_line",
            "Notes when it started",
            outputs=[LiteralOutput("done", "Done", data_type="string")],
            store_supported=True,
            status_supported=True,
        )

    @staticmethod
    def _handle(_request: Any, response: Any) -> Any:
        clock, day = time.monotonic_ns(), time.time_ns()
        if name := os.environ.get("FIRST_LINE"):
            Path(name).write_text(str(clock))
        response.outputs["done"].data = str(day)
        return response


service = Service([FirstLine()])
