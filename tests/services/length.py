"""A process that tells how much it was given, for requests with a large value in them."""

from __future__ import annotations

from typing import Any

from pywps import ComplexInput, Format, Process, Service

from odd_kit import OPEN, result, value

FORMATS = [
    Format("text/plain"),
    Format("application/octet-stream", encoding="base64"),
    Format("application/xml"),
]


def length(request: Any, response: Any) -> None:
    response.outputs["length"].data = len(value(request, "content"))


service = Service(
    [
        Process(
            length,
            identifier="length",
            title="Length",
            inputs=[ComplexInput("content", "Content", supported_formats=FORMATS)],
            outputs=[result("length", "integer")],
            **OPEN,
        )
    ]
)
