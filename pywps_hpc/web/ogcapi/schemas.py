"""Inputs and outputs of a process as JSON schemas (OGC 18-062r2, clause 8.1 and schema.yaml)."""

from __future__ import annotations

from typing import Any

from pywps.inout.basic import BasicBoundingBox, BasicComplex
from pywps.inout.literaltypes import AllowedValue
from pywps.validator.allowed_value import ALLOWEDVALUETYPE, RANGECLOSURETYPE

from pywps_hpc.kinds import is_json, is_text
from pywps_hpc.ogc_json.values import CRS84, CRS84H, TYPES, json_value

_WITHOUT_LOWER = (RANGECLOSURETYPE.OPEN, RANGECLOSURETYPE.OPENCLOSED)
_WITHOUT_UPPER = (RANGECLOSURETYPE.OPEN, RANGECLOSURETYPE.CLOSEDOPEN)


def of_item(item: Any, *, is_input: bool) -> dict[str, Any]:
    """The schema of an input or output; of a literal input that may be given several times, that of
    the list of its values."""
    if isinstance(item, BasicBoundingBox):
        return _box(item)
    if isinstance(item, BasicComplex):
        branches = [_format(found) for found in item.supported_formats]
        return branches[0] if len(branches) == 1 else {"oneOf": branches}
    single = _literal(item)
    most = most_of(item) if is_input else 1
    if most == 1:
        return single
    found: dict[str, Any] = {"type": "array", "items": single}
    if item.min_occurs > 1:
        found["minItems"] = item.min_occurs
    return found if most is None else found | {"maxItems": most}


def most_of(item: Any) -> int | None:
    """How often an input may be given; ``None``: as often as one likes."""
    most = item.max_occurs
    return most if isinstance(most, int) and most < (1 << 31) else None


def _literal(item: Any) -> dict[str, Any]:
    found = dict(TYPES.get(item.data_type, {"type": "string"}))
    allowed = list(getattr(item, "allowed_values", None) or [])  # an output has none
    if not all(isinstance(one, AllowedValue) for one in allowed):
        allowed = []  # any value, or those of a list elsewhere
    values = [one for one in allowed if one.allowed_type != ALLOWEDVALUETYPE.RANGE]
    branches = [_range(item.data_type, one) for one in allowed if one not in values]
    if values:
        named = [json_value(item.data_type, _plain(one.value)) for one in values]
        branches.append({"enum": named})
    if len(branches) == 1:
        found |= branches[0]
    elif branches:
        found["anyOf"] = branches
    default = item.data if hasattr(item, "max_occurs") else None
    if default is not None:
        found["default"] = json_value(item.data_type, default)
    return found


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


def _range(data_type: str, allowed: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value, without in (
        ("minimum", allowed.minval, allowed.range_closure in _WITHOUT_LOWER),
        ("maximum", allowed.maxval, allowed.range_closure in _WITHOUT_UPPER),
    ):
        limit = None if value is None else json_value(data_type, value)
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            found[name] = limit
            if without:
                found[f"exclusive{name.capitalize()}"] = True
    return found


def _format(known: Any) -> dict[str, Any]:
    """Of a complex value by value."""
    kind = str(known.mime_type or "application/octet-stream")
    found: dict[str, Any]
    if is_json(kind):
        found = {"type": "object"}
    elif is_text(kind) and str(known.encoding or "").lower() != "base64":
        found = {"type": "string"}
    else:
        found = {"type": "string", "format": "byte", "contentEncoding": "base64"}
    found["contentMediaType"] = kind
    if known.schema:
        found["contentSchema"] = str(known.schema)
    return found


def _box(item: Any) -> dict[str, Any]:
    """A box, with the reference systems that may be named."""
    sides = 2 * int(item.dimensions or 2)
    systems = [str(crs) for crs in item.crss or []]
    implied, same = (CRS84, "EPSG:4326") if sides == 4 else (CRS84H, "EPSG:4979")
    codes = {crs.upper().replace("URN:OGC:DEF:CRS:EPSG::", "EPSG:") for crs in systems}
    is_known = not systems or implied in systems or same in codes
    named = list(dict.fromkeys([*([implied] if is_known else []), *systems]))
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": sides, "maxItems": sides}
    content = {
        "type": "object",
        "format": "ogc-bbox",
        "required": ["bbox"] if is_known else ["bbox", "crs"],
        "properties": {
            "bbox": numbers,
            "crs": {"type": "string", "enum": named} | ({"default": implied} if is_known else {}),
        },
    }
    return {"allOf": [content]}
