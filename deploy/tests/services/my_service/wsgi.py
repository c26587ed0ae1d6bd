"""The service that deployments are tried with: plain PyWPS, as an administrator has one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pywps import ComplexOutput, Format, LiteralInput, LiteralOutput, Process, Service


class Square(Process):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="square",
            title="Square of a number",
            inputs=[
                LiteralInput("number", "A number", data_type="integer"),
                LiteralInput("seconds", "To wait", data_type="float", default=0, min_occurs=0),
            ],
            outputs=[
                LiteralOutput("result", "Its square", data_type="integer"),
                ComplexOutput("file", "The same", [Format("text/plain")], as_reference=True),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        number = request.inputs["number"][0].data
        time.sleep(request.inputs["seconds"][0].data)
        response.outputs["result"].data = number * number
        file = Path(self.workdir, "square.txt")
        file.write_text(str(number * number))
        response.outputs["file"].file = str(file)
        return response


application = Service([Square()])
