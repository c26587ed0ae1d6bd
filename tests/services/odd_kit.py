"""What the test processes share: short ways to write inputs and outputs."""

from __future__ import annotations

from typing import Any

from pywps import ComplexInput, ComplexOutput, Format, LiteralInput, LiteralOutput

#: Every test process can be run asynchronously and store its outputs.
OPEN = {"store_supported": True, "status_supported": True}
TEXT = Format("text/plain", extension=".txt", encoding="utf-8")


def word(identifier: str = "text", **more: Any) -> LiteralInput:
    """A text input."""
    return LiteralInput(identifier, identifier.capitalize(), data_type="string", **more)


def number(identifier: str, **more: Any) -> LiteralInput:
    """An input of type float."""
    return LiteralInput(identifier, identifier.capitalize(), data_type="float", **more)


def whole(identifier: str, **more: Any) -> LiteralInput:
    """An input of type integer."""
    return LiteralInput(identifier, identifier.capitalize(), data_type="integer", **more)


def text(identifier: str = "text", **more: Any) -> ComplexInput:
    """Plain text as complex data."""
    return ComplexInput(identifier, identifier.capitalize(), [TEXT], **more)


def result(identifier: str = "result", data_type: str = "string", **more: Any) -> LiteralOutput:
    """A literal output."""
    return LiteralOutput(identifier, identifier.capitalize(), data_type=data_type, **more)


def document(identifier: str = "document", **more: Any) -> ComplexOutput:
    """Plain text as complex data."""
    return ComplexOutput(identifier, identifier.capitalize(), supported_formats=[TEXT], **more)


def value(request: Any, identifier: str = "text") -> Any:
    """The first value of an input."""
    return request.inputs[identifier][0].data
