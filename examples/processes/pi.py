"""The process ``pi``: MPI ranks on as many nodes as the administrator gives it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from pywps import FORMATS, ComplexOutput, LiteralInput, LiteralOutput
from pywps.app import Process
from pywps.app.exceptions import ProcessError

from joblauncher import ranks

PROGRAM = "examples.programs.pi_of_ranks"


class Pi(Process):
    """The number pi, each rank summing up its part; tells on which nodes they were."""

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="pi",
            title="Pi by MPI",
            abstract="Integrates 4 / (1 + x²) from 0 to 1 in MPI ranks. "
            "Shows how a process starts ranks on the nodes of its job.",
            version="1.0",
            inputs=[
                LiteralInput("points", "Points", "integer", min_occurs=0, default=10_000_000),
            ],
            outputs=[
                LiteralOutput("pi", "The number", data_type="float"),
                ComplexOutput("ranks", "Node of each rank", [FORMATS.JSON]),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        if importlib.util.find_spec("mpi4py") is None:
            raise ProcessError("This process needs mpi4py and an MPI, which are not installed.")
        points = request.inputs["points"][0].data
        response.update_status(f"Starting {ranks.tasks()} ranks", 10)
        printed = ranks.run([sys.executable, "-m", PROGRAM, str(points)])
        result = json.loads(printed.splitlines()[-1])
        response.outputs["pi"].data = result["pi"]
        path = Path(self.workdir) / "ranks.json"
        path.write_text(json.dumps(result["nodes"]), encoding="utf-8")
        response.outputs["ranks"].file = str(path)
        return response
