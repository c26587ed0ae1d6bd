"""A process with an output as large as is asked for, in a file or in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pywps import ComplexOutput, Format, Process, Service

from odd_kit import OPEN, value, whole, word

BINARY = Format("application/x-netcdf", extension=".nc", encoding="base64")


def large(request: Any, response: Any) -> None:
    output = response.outputs["output"]
    parts = [bytes(range(256)) * 4096] * value(request, "size")
    if value(request, "kind") == "memory":
        output.data = b"".join(parts)
        return
    path = Path(output.workdir, "large.nc")
    with path.open("wb") as file:
        file.writelines(parts)
    output.file = str(path)


service = Service(
    [
        Process(
            large,
            identifier="large",
            title="Large",
            inputs=[whole("size"), word("kind")],
            outputs=[ComplexOutput("output", "Output", supported_formats=[BINARY])],
            **OPEN,
        )
    ]
)
