"""Bounding boxes in requests (OGC 06-121r3, clauses 10.2.1 and 10.2.3)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from owslib.crs import axisorder_yx
from pywps.exceptions import InvalidParameterValue

from pywps_hpc.crs import key
from pywps_hpc.web.requests.content import collapse

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def of_corners(
    name: str, lower: Sequence[str], upper: Sequence[str], crs: str | None, dimensions: str | None
) -> dict[str, Any]:
    """A box from its corners, as PyWPS hands it to processes: x before y, whatever the order of
    axes in its reference system. Its ``corners`` are as they were given.

    Args:
        name: of the input.
        crs, dimensions: as given; ``None`` if not.

    Raises:
        InvalidParameterValue: it is no box.
    """
    if len(lower) != len(upper):
        raise InvalidParameterValue(f"input {name}: its corners do not match.", name)
    box = _box(name, [*lower, *upper], crs, dimensions)
    box["corners"] = [*map(float, lower), *map(float, upper)]
    known = key(crs or "")
    if known is not None:
        box["crs"] = f"urn:ogc:def:crs:{known[0]}::{known[1]}"
        if known[0] == "EPSG" and known[1].isdigit() and int(known[1]) in axisorder_yx:
            half = len(lower)
            for at in (0, half):
                data = box["data"]
                data[at], data[at + 1] = data[at + 1], data[at]
    return box


def of_list(name: str, text: str) -> dict[str, Any]:
    """A box from a list: the corners' coordinates, then perhaps its reference system and the
    number of dimensions; numbers as they are.

    Raises:
        InvalidParameterValue: it is no box.
    """
    parts = [part.strip() for part in collapse(text).split(",")]
    numbers = 0
    while numbers < len(parts) and _NUMBER.fullmatch(parts[numbers]):
        numbers += 1
    crs, *rest = [*parts[numbers:], ""] if numbers < len(parts) else [None, ""]
    if len(rest) > 2 or crs == "":
        raise InvalidParameterValue(
            f"input {name}: a box is its corners' coordinates, then its CRS and its dimensions.",
            name,
        )
    return _box(name, parts[:numbers], crs, rest[0] or None)


def fit(name: str, box: dict[str, Any], supported: Iterable[str], dimensions: Any) -> None:
    """Make sure that a process takes a box.

    Raises:
        InvalidParameterValue: it does not.
    """
    known = {key(str(crs)) or str(crs) for crs in supported}
    crs = box.get("crs")
    if crs and (key(str(crs)) or str(crs)) not in known:
        names = ", ".join(map(str, supported))
        raise InvalidParameterValue(
            f"input {name}: the CRS {crs} is not supported; it takes {names}.", name
        )
    numbers = box["data"]
    if not isinstance(numbers, list) or not all(_is_number(number) for number in numbers):
        raise InvalidParameterValue(f"input {name}: a coordinate of the box is not a number.", name)
    if len(numbers) != 2 * int(dimensions or 2) or box.get("dimensions") not in (
        None,
        dimensions or 2,
    ):
        raise InvalidParameterValue(
            f"input {name}: a box of {dimensions or 2} dimensions is required.", name
        )


def _box(
    name: str, numbers: Sequence[str], crs: str | None, dimensions: str | None
) -> dict[str, Any]:
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        raise InvalidParameterValue(f"input {name}: a coordinate of the box is not a number.", name)
    if len(numbers) < 4 or len(numbers) % 2:
        raise InvalidParameterValue(f"input {name}: the box needs two complete corners.", name)
    if dimensions and dimensions != str(len(numbers) // 2):
        raise InvalidParameterValue(
            f"input {name}: the corners of the box do not have the {dimensions} dimensions given.",
            name,
        )
    return {
        "data": [float(number) for number in numbers],
        "crs": crs or None,
        "dimensions": len(numbers) // 2,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
