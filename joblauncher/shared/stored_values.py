"""Outputs wanted by reference that are no files: a literal value, a bounding box."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from pywps import Format
from pywps.inout.basic import BasicBoundingBox, BasicComplex
from pywps.inout.outputs import ComplexOutput

from joblauncher.shared.literal_text import text
from joblauncher.shared.status_xml import OWS
from joblauncher.shared.xml_text import attributes, escaped

_TEXT = Format("text/plain", extension=".txt", encoding="utf-8")
_BOX = Format("text/xml", extension=".xml")


def by_reference(output: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """What a document tells of an output; its value is stored if it is wanted by reference.

    PyWPS does so for complex outputs, and puts all others into the document.

    Args:
        output: of the process, with its value.
        facts: what PyWPS tells of it.
    """
    if isinstance(output, BasicBoundingBox) and output.data:
        # PyWPS takes each box for one of two dimensions.
        half = len(output.data) // 2
        facts |= {"ll": output.data[:half], "ur": output.data[half:]}
    if isinstance(output, BasicComplex) or not output.as_reference or output.data is None:
        return facts
    if isinstance(output, BasicBoundingBox):
        kind, content = _BOX, _box(facts)
    else:
        kind, content = _TEXT, text(output.data)
    name = re.sub(r"[^\w.-]", "_", output.identifier) + kind.extension
    file = Path(tempfile.mkdtemp(dir=output.workdir), name)
    file.write_text(content, encoding="utf-8")
    holder = ComplexOutput(
        output.identifier, output.title, [kind], workdir=output.workdir, as_reference=True
    )
    holder.uuid = output.uuid
    holder.file = str(file)
    stored: dict[str, Any] = holder.json
    reference = {key: stored.get(key, "") for key in ("type", "href", "mimetype", "encoding")}
    kept = ("identifier", "title", "abstract", "translations")
    return {key: facts.get(key) for key in kept} | reference


def _box(facts: dict[str, Any]) -> str:
    lower, upper = (" ".join(map(str, facts[corner])) for corner in ("ll", "ur"))
    kind = {"xmlns:ows": OWS, "crs": facts["crs"], "dimensions": facts["dimensions"]}
    return (
        f"<ows:BoundingBox{attributes(kind)}>"
        f"<ows:LowerCorner>{escaped(lower)}</ows:LowerCorner>"
        f"<ows:UpperCorner>{escaped(upper)}</ows:UpperCorner></ows:BoundingBox>\n"
    )
