"""Processes with an input and an output of every kind, described in every way there is."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from pywps import (
    UOM,
    BoundingBoxInput,
    BoundingBoxOutput,
    ComplexInput,
    ComplexOutput,
    Format,
    LiteralInput,
    LiteralOutput,
    Process,
    Service,
)
from pywps.app.Common import Metadata
from pywps.inout.literaltypes import LITERAL_DATA_TYPES, AllowedValue, AnyValue, ValuesReference
from pywps.validator.allowed_value import RANGECLOSURETYPE

from odd_kit import OPEN

GML = Format("text/xml; subtype=gml/3.1.1", extension=".gml", schema="http://schemas.example/gml")
KML = Format("text/xml; subtype=gml/3.1.1", extension=".kml", schema="http://schemas.example/kml")
TIFF = Format("image/tiff", extension=".tif", encoding="base64")
TEXT, XML = Format("text/plain", extension=".txt"), Format("application/xml", extension=".xml")
JSON = Format("application/json", extension=".json")
UNITS = [UOM("metre"), UOM("feet", reference="urn:ogc:def:uom:EPSG::9002")]
DEFAULTS: dict[str, Any] = {
    "boolean": True,
    "anyURI": "http://example.org/a?b=c&d",
    "date": datetime.date(2011, 2, 3),
    "dateTime": datetime.datetime(2012, 12, 31, 6, 30, tzinfo=datetime.timezone.utc),
    "time": datetime.time(12, 30),
    "string": "a <b> & c",
}
FRENCH = {"fr-CA": {"title": "Titre", "abstract": "Résumé & suite"}}


def literal(name: str, kind: str, **more: Any) -> LiteralInput:
    return LiteralInput(name, name, data_type=kind, min_occurs=0, **more)


INPUTS = [
    *(
        literal(kind, kind, default=DEFAULTS.get(kind, 1), metadata=[Metadata("A type")])
        for kind in LITERAL_DATA_TYPES
    ),
    *(literal(f"{kind}s", kind, max_occurs=3) for kind in LITERAL_DATA_TYPES),
    literal("length", "float", uoms=UNITS, translations=FRENCH),
    literal("colour", "string", allowed_values=["red", "green"], default="green"),
    literal("any", "string", allowed_values=[AnyValue()]),
    literal("listed", "string", allowed_values=ValuesReference("http://example.org/values")),
    literal(
        "range",
        "integer",
        allowed_values=[
            AllowedValue(minval=1, maxval=9, range_closure=RANGECLOSURETYPE.OPENCLOSED),
            AllowedValue(minval=20, maxval=30, spacing=5),
            0,
        ],
    ),
    ComplexInput("doc", "Doc", [TEXT, GML, KML, TIFF, XML, JSON], min_occurs=0, max_occurs=4),
    BoundingBoxInput("box", "Box", ["EPSG:4326", "EPSG:3035"], min_occurs=0),
    BoundingBoxInput("cube", "Cube", ["EPSG:4979"], min_occurs=0, dimensions=3),
]
OUTPUTS = [
    LiteralOutput("seen", "Seen", "string", metadata=[Metadata("x", "http://example.org/x")]),
    LiteralOutput("length", "Length", "float", uoms=UNITS),
    ComplexOutput("doc", "Doc", [TEXT, XML, TIFF], translations=FRENCH),
    BoundingBoxOutput("box", "Box", ["EPSG:4326", "EPSG:3035"]),
]


def tell(request: Any, response: Any) -> None:
    """What reached the process."""
    found = {name: [told(item) for item in items] for name, items in request.inputs.items()}
    response.outputs["seen"].data = json.dumps(found)
    response.outputs["length"].data = 2.5
    kind = response.outputs["doc"].data_format.mime_type
    response.outputs["doc"].data = b"\x00\xff" if kind == "image/tiff" else "<a>1 &amp; 2</a>"
    response.outputs["box"].data = [1, 2, 3, 4]


def told(item: Any) -> Any:
    """One input as plain data."""
    if isinstance(item, ComplexInput):
        content = Path(item.file).read_bytes().decode("latin-1")
        return [content, item.data_format.mime_type, item.data_format.extension]
    if isinstance(item, BoundingBoxInput):
        return [item.data, str(item.crs), item.dimensions]
    value = item.data.geturl() if hasattr(item.data, "geturl") else item.data
    return [value if isinstance(value, str | int | float) else str(value), str(item.uom or "")]


def fail(request: Any, response: Any) -> None:
    raise ValueError("no")


ABOUT = {
    "abstract": "All & <more>",
    "keywords": ["a keyword", "b & c"],
    "metadata": [
        Metadata("Plain"),
        Metadata("A & B", "http://example.org/?a=b&c=d", "http://example.org/role"),
    ],
    "profile": ["http://example.org/profile", "urn:other"],
    "version": "1.2.3",
    "translations": FRENCH,
}
service = Service(
    [
        Process(tell, "tell", "Tell", inputs=INPUTS, outputs=OUTPUTS, **ABOUT, **OPEN),
        Process(fail, "fail", "Fail", inputs=INPUTS, outputs=OUTPUTS, **OPEN),
        Process(tell, "shut", "Keeps nothing", outputs=OUTPUTS),
    ]
)
