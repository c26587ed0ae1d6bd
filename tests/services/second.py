"""What WPS 2.0 is tried with: an echo, inputs and outputs of every kind, and processes that take
their time or fail."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pywps import ComplexOutput, Format, LiteralInput, LiteralOutput, Process, Service
from pywps.app.exceptions import ProcessError

from examples.processes import ClimateAnomaly
from examples.processes.echo import Echo
from odd_kit import OPEN
from typed import ABOUT, INPUTS, OUTPUTS, fail, tell

TEXT, BINARY = Format("text/plain", extension=".txt"), Format("application/octet-stream")


def wait(request: Any, response: Any) -> None:
    """Take some seconds, and tell how far it is."""
    seconds = request.inputs["seconds"][0].data
    response.update_status("waiting", 40)
    time.sleep(seconds)
    response.outputs["done"].data = "yes"


def refuse(request: Any, response: Any) -> None:
    raise ProcessError("the river is dry & <cold>")


def write(request: Any, response: Any) -> None:
    """Text and bytes, as large as is asked for."""
    size = request.inputs["size"][0].data
    folder = Path(response.outputs["text"].workdir)
    (folder / "a.txt").write_text("<é>&\n" + "x" * size, encoding="utf-8")
    (folder / "b.bin").write_bytes(b"\x00\xff\r\n" * 4)
    response.outputs["text"].file = str(folder / "a.txt")
    response.outputs["bytes"].file = str(folder / "b.bin")
    response.outputs["literal"].data = "a <b> & \u2603"


service = Service(
    [
        Echo(),
        ClimateAnomaly(),
        Process(tell, "tell", "Tell", inputs=INPUTS, outputs=OUTPUTS, **ABOUT, **OPEN),
        Process(fail, "fail", "Fail", inputs=INPUTS, outputs=OUTPUTS, **OPEN),
        Process(tell, "shut", "Keeps nothing", outputs=OUTPUTS),
        Process(refuse, "refuse", "Refuse", outputs=[LiteralOutput("none", "None")], **OPEN),
        Process(
            wait,
            "wait",
            "Wait",
            inputs=[LiteralInput("seconds", "Seconds", "float", default=0.0, min_occurs=0)],
            outputs=[LiteralOutput("done", "Done", "string")],
            **OPEN,
        ),
        Process(
            wait,
            "queued",
            "Asynchronous only",
            inputs=[LiteralInput("seconds", "Seconds", "float", default=0.0, min_occurs=0)],
            outputs=[LiteralOutput("done", "Done", "string")],
            **OPEN,
        ),
        Process(
            write,
            "write",
            "Write",
            inputs=[LiteralInput("size", "Size", "integer", default=3, min_occurs=0)],
            outputs=[
                ComplexOutput("text", "Text", [TEXT]),
                ComplexOutput("bytes", "Bytes", [BINARY]),
                LiteralOutput("literal", "Literal", "string"),
            ],
            **OPEN,
        ),
    ]
)
