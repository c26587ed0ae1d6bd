"""The process ``countdown``: long enough to be watched, paused and dismissed."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pywps import FORMATS, ComplexOutput, LiteralInput
from pywps.app import Process
from pywps.inout.literaltypes import AllowedValue
from pywps.validator.allowed_value import ALLOWEDVALUETYPE


class Countdown(Process):
    """Count some steps of some seconds each, and tell at which moments it ticked.

    The ticks (UTC, ISO 8601) show a pause as a gap.
    """

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="countdown",
            title="Countdown",
            abstract="Waits a number of steps and tells how many are left. "
            "Shows what pausing and dismissing do to a running job.",
            version="1.0",
            inputs=[
                LiteralInput(
                    "steps",
                    "Number of steps",
                    "integer",
                    min_occurs=0,
                    default=10,
                    allowed_values=[_range(1, 100000)],
                ),
                LiteralInput(
                    "seconds",
                    "Length of a step in seconds",
                    "float",
                    min_occurs=0,
                    default=1.0,
                    allowed_values=[_range(0, 3600)],
                ),
            ],
            outputs=[ComplexOutput("ticks", "Moment of each tick, UTC", [FORMATS.TEXT])],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        steps = request.inputs["steps"][0].data
        seconds = request.inputs["seconds"][0].data
        path = Path(self.workdir) / "ticks.txt"
        with path.open("w", encoding="utf-8") as ticks:
            for step in range(1, steps + 1):
                time.sleep(seconds)
                now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
                print(step, now, file=ticks, flush=True)
                response.update_status(f"{steps - step} of {steps} left", 100 * step // steps)
        response.outputs["ticks"].file = str(path)
        return response


def _range(low: float, high: float) -> AllowedValue:
    return AllowedValue(allowed_type=ALLOWEDVALUETYPE.RANGE, minval=low, maxval=high)
