"""The echo process that the OGC's test suite of WPS 2.0 asks of a service."""

from __future__ import annotations

from typing import Any

from pywps import (
    BoundingBoxInput,
    BoundingBoxOutput,
    ComplexInput,
    ComplexOutput,
    Format,
    LiteralInput,
    LiteralOutput,
    Process,
)

XML = Format("text/xml", extension=".xml")
CRSS = ["urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:OGC:1.3:CRS84"]


class Echo(Process):
    """Gives each input back as the output of its kind; what is not given has an empty value."""

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="org.n52.javaps.test.EchoProcess",
            title="Echo",
            abstract="Gives back what it is given: a text, an XML document, a bounding box.",
            keywords=["echo", "conformance"],
            version="1.0",
            inputs=[
                LiteralInput("literalInput", "Text", "string", min_occurs=0),
                ComplexInput("complexInput", "XML document", [XML], min_occurs=0),
                BoundingBoxInput("boundingboxInput", "Bounding box", CRSS, min_occurs=0),
            ],
            outputs=[
                LiteralOutput("literalOutput", "Text", "string"),
                ComplexOutput("complexOutput", "XML document", [XML]),
                BoundingBoxOutput("boundingboxOutput", "Bounding box", CRSS),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        given = {name: items[0] for name, items in request.inputs.items()}
        text, document = given.get("literalInput"), given.get("complexInput")
        box = given.get("boundingboxInput")
        response.outputs["literalOutput"].data = text.data if text else ""
        response.outputs["complexOutput"].data = document.data if document else "<empty/>"
        response.outputs["boundingboxOutput"].data = box.data if box else [0.0, 0.0, 0.0, 0.0]
        if box:
            response.outputs["boundingboxOutput"].crs = box.crs
        return response
