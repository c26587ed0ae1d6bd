"""Literal values as text: pure."""

from __future__ import annotations

import datetime
import math
from typing import Any
from urllib.parse import ParseResult


def text(value: Any) -> str:
    """A literal value in the lexical form of its XML Schema type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if isinstance(value, ParseResult):
        return value.geturl()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return "" if value is None else str(value)


def text_of_pywps(value: Any) -> str:
    """A literal value as PyWPS writes it in WPS 1.0.0, whose clients know truth values and times in
    Python's form, too; but an address is an address."""
    return value.geturl() if isinstance(value, ParseResult) else str(value)
