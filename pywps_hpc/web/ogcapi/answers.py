"""Answers in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from pywps_hpc.ogc_json.links import JSON


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A document in JSON, which is different the next time."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    known = {"Cache-Control": "no-store"} | dict(headers or {})
    return Response(text, status, known, mimetype=JSON)
