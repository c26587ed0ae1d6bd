"""What descriptions of processes are made of, for each face whose documents come from templates."""

from __future__ import annotations

import datetime
import functools
from typing import Any
from urllib.parse import ParseResult

from jinja2 import Environment, PackageLoader
from pywps.inout.basic import BasicLiteral
from pywps.translations import get_translation

from joblauncher.shared.literal_text import text


@functools.cache
def environment() -> Any:
    """The templates of this package, compiled once a process; PyWPS does so anew for each response,
    and its documents are not valid."""
    made = Environment(
        loader=PackageLoader("pywps_hpc.web", "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    made.globals["get_translation"] = get_translation
    made.filters["literal"] = text
    return made


def in_json(facts: Any) -> Any:
    """PyWPS's facts as JSON can hold them: dates and addresses as text."""
    if isinstance(facts, ParseResult | datetime.date | datetime.time):
        return text(facts)
    if isinstance(facts, dict):
        return {key: in_json(value) for key, value in facts.items()}
    return [in_json(one) for one in facts] if isinstance(facts, list | tuple) else facts


def with_defaults(process: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """PyWPS's facts of a process, with default values in the lexical form of their types: PyWPS
    writes them as Python does."""
    for item, told in zip(process.inputs, facts["inputs"], strict=True):
        if isinstance(item, BasicLiteral) and item.data is not None:
            told["default_text"] = text(item.data)
    return facts
