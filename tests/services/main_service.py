"""A service that is a script: its process is defined in ``__main__``, which no node can import.

python main_service.py PORT
"""

from __future__ import annotations

import math
import sys
from typing import Any

from pywps import LiteralInput, LiteralOutput, Process, Service
from werkzeug.serving import run_simple

from pywps_hpc import hpc

EARTH_RADIUS = 6371.0
UNITS = {"km": 1.0, "miles": 0.621371}


class Unit:
    """A class of the script that the process keeps an object of."""

    def __init__(self, name: str) -> None:
        self.name = name

    def show(self, kilometres: float) -> str:
        """In this unit, without decimals."""
        return f"{kilometres * UNITS[self.name]:.0f} {self.name}"


def arc(degrees: float) -> float:
    """Length of an arc on the Earth, in kilometres."""
    return math.radians(degrees) * EARTH_RADIUS


class Distance(Process):
    """Uses a function, a class and a global of the script."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        super().__init__(
            self._handler,
            identifier="distance",
            title="Distance",
            inputs=[LiteralInput("degrees", "Degrees", data_type="float")],
            outputs=[LiteralOutput("distance", "Distance", data_type="string")],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> None:
        degrees = request.inputs["degrees"][0].data
        response.outputs["distance"].data = self.unit.show(arc(degrees))


application = hpc(Service([Distance(Unit("miles"))]))

if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
