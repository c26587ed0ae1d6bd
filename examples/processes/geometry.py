"""The process ``clip_features``: GeoJSON features cut along a bounding box of any listed CRS."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pywps import (
    FORMATS,
    UOM,
    BoundingBoxInput,
    BoundingBoxOutput,
    ComplexInput,
    ComplexOutput,
    LiteralOutput,
)
from pywps.app import Process
from pywps.app.exceptions import ProcessError

# EPSG:3035 is ETRS89 / LAEA Europe, the equal-area grid of the European Union's INSPIRE directive.
CRSS = ("epsg:4326", "epsg:3035")
WGS84 = 4326
SQUARE_KILOMETRE = UOM("km2", reference="http://www.opengis.net/def/uom/UCUM/km2")
EDGE_PARTS = 64  # a straight edge of a projected box is a curve in longitude and latitude
DECIMALS = 7  # of a degree: a centimetre


class ClipFeatures(Process):
    """Cut features to a box; give the pieces, their extent in the box's CRS, and their area.

    The features are GeoJSON, so longitude and latitude on WGS 84 (RFC 7946, section 4). The extent
    is in the CRS of the box, its numbers in the axis order of that CRS, as OGC documents have it:
    latitude first for EPSG:4326, northing first for EPSG:3035. The area is that on the ellipsoid.

    :raises ProcessError: no GeoJSON, a box without an inside, another CRS, nothing in the box
    """

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="clip_features",
            title="Clip features to a bounding box",
            abstract="Cuts GeoJSON features along a bounding box, given in longitude and latitude "
            "(EPSG:4326) or on the European equal-area grid (EPSG:3035).",
            version="1.0",
            keywords=["vector", "GeoJSON", "clip"],
            inputs=[
                ComplexInput("features", "Features", [FORMATS.GEOJSON]),
                BoundingBoxInput("bbox", "Box to cut along", list(CRSS)),
            ],
            outputs=[
                ComplexOutput("features", "Pieces inside the box", [FORMATS.GEOJSON]),
                BoundingBoxOutput(
                    "extent", "Extent of the pieces, in the CRS of the box", list(CRSS)
                ),
                LiteralOutput("area", "Area of the pieces", "float", uoms=[SQUARE_KILOMETRE]),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        box = request.inputs["bbox"][0]
        code = _code(box.crs)
        features = _read(Path(request.inputs["features"][0].file))
        mask = _mask(box.data, code)
        pieces = []
        for number, feature in enumerate(features, start=1):
            piece = _clip(feature, mask)
            if piece is not None:
                pieces.append(piece)
            if number % max(1, len(features) // 10) == 0:
                response.update_status(
                    f"{number} of {len(features)} features cut", 90 * number // len(features)
                )
        if not pieces:
            raise ProcessError("No feature lies in the bounding box.")
        path = Path(self.workdir) / "features.geojson"
        path.write_text(_collection(pieces), encoding="utf-8")
        response.outputs["features"].file = str(path)
        response.outputs["extent"].crs = f"epsg:{code}"
        response.outputs["extent"].data = _extent([shape for _, shape in pieces], code)
        response.outputs["area"].data = round(sum(_area(shape) for _, shape in pieces), 6)
        response.outputs["area"].uom = SQUARE_KILOMETRE
        return response


def _code(crs: str | None) -> int:
    """EPSG code of ``epsg:4326``, ``urn:ogc:def:crs:EPSG::4326`` and the like."""
    match = re.fullmatch(r".*epsg[:/].*?(\d+)", crs or CRSS[0], re.IGNORECASE)
    if match is None or f"epsg:{match[1]}" not in CRSS:
        raise ProcessError(f"The bounding box must be in one of these systems: {', '.join(CRSS)}.")
    return int(match[1])


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        raise ProcessError("The features are not JSON.") from None
    kind = document.get("type") if isinstance(document, dict) else None
    features = document.get("features") if kind == "FeatureCollection" else None
    if kind == "Feature":
        features = [document]
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise ProcessError("The features must be a GeoJSON Feature or FeatureCollection.")
    return features


def _mask(corners: Sequence[float] | None, code: int) -> Any:
    """The box as a polygon in longitude and latitude.

    :param corners: minx, miny, maxx, maxy with x to the east
    """
    import shapely

    if not corners or len(corners) != 4 or not all(map(math.isfinite, corners)):
        raise ProcessError("The bounding box must have two corners of two numbers.")
    west, south, east, north = corners
    if code == WGS84 and west > east:  # across the date line, RFC 7946, section 5.2
        return shapely.union(
            shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
        )
    if west >= east or south >= north:
        raise ProcessError(
            "The bounding box is empty: its lower corner is not below the upper one."
        )
    box = shapely.box(west, south, east, north)
    if code == WGS84:
        return box
    box = shapely.segmentize(box, max(east - west, north - south) / EDGE_PARTS)
    polygon = _project(box, code, WGS84)
    if not shapely.is_valid(polygon) or not all(map(math.isfinite, polygon.bounds)):
        raise ProcessError(f"The bounding box lies outside the area of use of epsg:{code}.")
    return polygon


def _clip(feature: dict[str, Any], mask: Any) -> tuple[dict[str, Any], Any] | None:
    import shapely
    from shapely.geometry import shape

    if feature.get("geometry") is None:
        return None
    try:
        geometry = shape(feature["geometry"])
        piece = shapely.intersection(shapely.make_valid(geometry), mask)
    except (shapely.errors.ShapelyError, ValueError, TypeError, LookupError, AttributeError):
        raise ProcessError("A feature has a geometry that is not valid GeoJSON.") from None
    # A polygon that only touches the box leaves a line or a point: not a piece of it.
    if piece.is_empty or shapely.get_dimensions(piece) < shapely.get_dimensions(geometry):
        return None
    return feature, piece


def _project(geometry: Any, source: int, target: int) -> Any:
    import shapely
    from pyproj import Transformer

    transformer = Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(geometry, transformer.transform, interleaved=False)


def _extent(shapes: list[Any], code: int) -> list[float]:
    """Lower and upper corner in the axis order of the CRS, which is y, x for both systems."""
    import shapely

    together = shapely.GeometryCollection(shapes)
    if code != WGS84:
        together = _project(together, WGS84, code)
    west, south, east, north = together.bounds
    digits = DECIMALS if code == WGS84 else 3
    return [round(number, digits) for number in (south, west, north, east)]


def _area(shape: Any) -> float:
    """Square kilometres on the ellipsoid WGS 84; lines and points have none."""
    import shapely
    from pyproj import Geod

    # A ring the other way round would count as the rest of the Earth.
    polygons = [p for p in shapely.get_parts(shape) if shapely.get_dimensions(p) == 2]
    oriented = shapely.orient_polygons(shapely.MultiPolygon(polygons))
    return float(Geod(ellps="WGS84").geometry_area_perimeter(oriented)[0]) / 1e6


def _collection(pieces: list[tuple[dict[str, Any], Any]]) -> str:
    import shapely
    from shapely.geometry import mapping

    features = [
        {
            **{k: v for k, v in feature.items() if k != "bbox"},
            "geometry": mapping(shapely.set_precision(shape, 10**-DECIMALS)),
        }
        for feature, shape in pieces
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    # WPS 1.0 carries it inside XML: no angle bracket or ampersand may stand there bare.
    return text.replace("<", "\\u003c").replace("&", "\\u0026")
