"""What descriptions of processes are made of, for each face whose documents come from templates."""

from __future__ import annotations

import functools
from typing import Any

from pywps.inout.basic import BasicLiteral

from joblauncher.shared.literal_text import text
from joblauncher.shared.response import templates


@functools.cache
def environment() -> Any:
    """The templates of this package."""
    made = templates("pywps_hpc.web")
    made.filters["literal"] = text
    return made


def with_defaults(process: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """PyWPS's facts of a process, with default values in the lexical form of their types: PyWPS
    writes them as Python does."""
    for item, told in zip(process.inputs, facts["inputs"], strict=True):
        if isinstance(item, BasicLiteral) and item.data is not None:
            told["default_text"] = text(item.data)
    return facts
