"""The process ``echo``: gives back what it gets, by one input and output of every kind.

It has what the OGC's test suite of OGC API - Processes looks for: all inputs are optional, outputs
have the ids of the inputs, and the job lasts as long as ``pause`` says.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from pywps import (
    FORMATS,
    BoundingBoxInput,
    BoundingBoxOutput,
    ComplexInput,
    ComplexOutput,
    Format,
    LiteralInput,
    LiteralOutput,
)
from pywps.app import Process
from pywps.inout.literaltypes import AllowedValue

_TIFF = Format("image/tiff; application=geotiff", extension=".tiff", encoding="base64")
_FORMATS = [FORMATS.TEXT, Format("application/xml", extension=".xml"), FORMATS.GEOJSON]
_CRS = ["EPSG:4326"]


class Echo(Process):
    """Give back the inputs.

    Args:
        longest: seconds for which a client may have it wait.
    """

    def __init__(self, longest: float = 5.0) -> None:
        pauses = [AllowedValue(minval=0.0, maxval=longest)]
        super().__init__(
            self._handler,
            identifier="echo",
            title="Echo",
            abstract="Gives back what it gets. Shows how every kind of value goes to a process "
            "and comes back.",
            version="1.0",
            inputs=[
                LiteralInput("text", "A text", "string", min_occurs=0),
                LiteralInput("numbers", "Some numbers", "integer", min_occurs=0, max_occurs=10),
                ComplexInput("document", "Text, XML or JSON", _FORMATS, min_occurs=0),
                ComplexInput("image", "A picture", [_TIFF], min_occurs=0),
                BoundingBoxInput("box", "A bounding box", _CRS, min_occurs=0),
                LiteralInput(
                    "pause",
                    "Seconds to wait",
                    "float",
                    min_occurs=0,
                    default=0.0,
                    allowed_values=pauses,
                ),
            ],
            outputs=[
                LiteralOutput("text", "The text", "string"),
                ComplexOutput("numbers", "The numbers", [FORMATS.JSON]),
                ComplexOutput("document", "The document", _FORMATS),
                ComplexOutput("image", "The picture", [_TIFF]),
                BoundingBoxOutput("box", "The bounding box", _CRS),
                LiteralOutput("pause", "The seconds", "float"),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        given, outputs = request.inputs, response.outputs
        pause = given["pause"][0].data
        response.update_status(f"Waits {pause:g} s", 10)
        time.sleep(pause)
        outputs["pause"].data = pause
        outputs["text"].data = given["text"][0].data if "text" in given else ""
        numbers = [item.data for item in given.get("numbers", [])]
        outputs["numbers"].data = json.dumps(numbers)
        box = given["box"][0].data if "box" in given else [0.0, 0.0, 0.0, 0.0]
        outputs["box"].data = box
        outputs["box"].crs = _CRS[0]
        for name in ("document", "image"):
            path = Path(self.workdir) / name
            path.write_bytes(Path(given[name][0].file).read_bytes() if name in given else b"")
            outputs[name].file = str(path)
            if name in given:
                outputs[name].data_format = given[name][0].data_format
        return response
