"""What a page shows of an output beside its address: a picture, a map, or the beginning of a text.

What a process wrote is read within bounds, and nothing of it reaches a page but numbers, and text
that the template escapes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from joblauncher.shared.literal_text import text
from pywps_hpc.jobs import results
from pywps_hpc.jobs.output import Output
from pywps_hpc.kinds import is_text
from pywps_hpc.spool import JobDir
from pywps_hpc.web import media_types

#: What browsers show as a picture. SVG is none of them here: it may hold more than a picture.
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MAPS = ("application/geo+json", "application/vnd.geo+json")
#: Bytes of a map that is drawn, points in it, and characters of a text.
_MAP, _POINTS, _TEXT = 2 << 20, 20_000, 4000


@dataclass(frozen=True)
class Map:
    """Shapes on a map, as paths of SVG; x is the longitude, y the latitude turned round.

    Attributes:
        box: the part of the map that is shown: x, y, width, height.
        lines, areas: paths.
        points: x and y of each.
        radius: of a point.
    """

    box: str
    lines: str
    areas: str
    points: tuple[tuple[str, str], ...]
    radius: str


@dataclass(frozen=True)
class Shown:
    """An output on a page.

    Attributes:
        output: as the job's view has it.
        name: of its file; empty if it has a value.
        picture: whether its location is a picture.
        map: what is drawn of it.
        text: its value, or the beginning of its file; empty if there is none to show.
        is_cut: whether there is more of it.
    """

    output: Output
    name: str = ""
    picture: bool = False
    map: Map | None = None
    text: str = ""
    is_cut: bool = False


def all_shown(job: JobDir, outputs: Iterable[Output]) -> list[Shown]:
    """What is shown of a job's outputs, pictures and maps first."""
    found = [shown(job, output) for output in outputs]
    return sorted(found, key=lambda one: not (one.picture or one.map))


def shown(job: JobDir, output: Output) -> Shown:
    """An output, and what can be shown of it."""
    if not output.location:
        value = "" if output.value is None else text(output.value)
        return Shown(output, text=value[:_TEXT], is_cut=len(value) > _TEXT)
    name = output.location.rpartition("/")[2]
    kind = media_types.of_file(name)
    if kind in _PICTURES:
        return Shown(output, name, picture=True)
    is_map = kind in _MAPS or output.mime_type in _MAPS
    if not is_map and not is_text(kind):
        return Shown(output, name)
    content, is_cut = _beginning(job, output, _MAP if is_map else _TEXT)
    drawn = draw(content) if is_map and not is_cut else None
    if drawn is not None:
        return Shown(output, name, map=drawn)
    words = content.decode("utf-8", "replace")
    return Shown(output, name, text=words[:_TEXT], is_cut=is_cut or len(words) > _TEXT)


def draw(content: bytes) -> Map | None:
    """GeoJSON (RFC 7946) as a map; ``None`` if it is none, or has nothing that could be drawn."""
    try:
        shapes = list(_bounded(_geometries(json.loads(content))))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    places = [place for _, parts in shapes for part in parts for place in part]
    if not places:
        return None
    xs, ys = [x for x, _ in places], [y for _, y in places]
    box = _frame(min(xs), min(ys), max(xs), max(ys))
    lines = "".join(_path(part) for kind, parts in shapes if kind == "line" for part in parts)
    areas = "".join(_path(part) + "z" for kind, parts in shapes if kind == "area" for part in parts)
    points = tuple(
        (_number(x), _number(y))
        for kind, parts in shapes
        if kind == "point"
        for part in parts
        for x, y in part
    )
    return Map(" ".join(map(_number, box)), lines, areas, points, _number(box[2] / 120))


_Place = tuple[float, float]
_Shape = tuple[str, list[list[_Place]]]


def _geometries(found: Any) -> Iterator[_Shape]:
    kind = found["type"]
    if kind == "FeatureCollection":
        for feature in found["features"]:
            yield from _geometries(feature)
    elif kind == "Feature":
        if found["geometry"] is not None:
            yield from _geometries(found["geometry"])
    elif kind == "GeometryCollection":
        for geometry in found["geometries"]:
            yield from _geometries(geometry)
    else:
        yield from _shapes(kind, found["coordinates"])


def _shapes(kind: str, given: Any) -> Iterator[_Shape]:
    if kind == "Point":
        yield "point", [_places([given])]
    elif kind == "MultiPoint":
        yield "point", [_places(given)]
    elif kind == "LineString":
        yield "line", [_places(given)]
    elif kind == "MultiLineString":
        yield "line", [_places(line) for line in given]
    elif kind == "Polygon":
        yield "area", [_places(ring) for ring in given]
    elif kind == "MultiPolygon":
        for polygon in given:
            yield "area", [_places(ring) for ring in polygon]
    else:
        raise ValueError("this is no geometry of GeoJSON")


def _places(given: Any) -> list[_Place]:
    found = [(float(place[0]), -float(place[1])) for place in given]
    if not all(abs(x) <= 360 and abs(y) <= 90 for x, y in found):
        raise ValueError("these are no longitudes and latitudes")
    return found


def _bounded(shapes: Iterator[_Shape]) -> Iterator[_Shape]:
    left = _POINTS
    for kind, parts in shapes:
        left -= sum(map(len, parts))
        if left < 0:
            raise ValueError("more points than a page may have")
        yield kind, parts


def _frame(west: float, north: float, east: float, south: float) -> tuple[float, ...]:
    """The part of the map around some shapes, twice as wide as high."""
    width = max(east - west, 2 * (south - north), 0.02) * 1.15
    middle, centre = (west + east) / 2, (north + south) / 2
    return middle - width / 2, centre - width / 4, width, width / 2


def _path(places: list[_Place]) -> str:
    return "".join(
        f"{'L' if number else 'M'}{_number(x)} {_number(y)}" for number, (x, y) in enumerate(places)
    )


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("this is no number")
    return f"{value:.5f}".rstrip("0").rstrip(".")


def _beginning(job: JobDir, output: Output, most: int) -> tuple[bytes, bool]:
    try:
        file = results.open_file(job, output)
        if file is None:
            return b"", False
        with file:
            content = file.read(most + 1)
    except OSError:
        return b"", False
    return content[:most], len(content) > most
